"""What a TIFF tells of its pages that Pillow does not ask: lost rows, and values it misreads."""

from typing import IO

from PIL import Image, TiffImagePlugin

from scanmill.errors import PageError
from scanmill.models import Reason

_BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 258, 259, 262, 266
_PLANAR, _SAMPLE_FORMAT = 284, 339
_STRIPS, _TILES = (273, 279), (324, 325)
_UNCOMPRESSED, _FAXES, _G4 = 1, {2, 3, 4}, 4
_SEPARATE, _LOWEST_BIT_FIRST, _WHITE_IS_ZERO = 2, 2, 0
_UNSIGNED, _SIGNED = 1, 2

_END_OF_BLOCK, _END_BITS = 0x001001, 24
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_SQUARE_ENOUGH, _TOO_FLAT = 1.5, 3.0


def require_sound(image: Image.Image) -> None:
    """Refuse a page of which rows would be missing, or whose values would be read as others.

    Raises:
        PageError: so it is.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    tags = image.tag_v2
    bits, form = tags.get(_BITS, (1,)), tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))
    is_raw_planar = tags.get(_PLANAR) == _SEPARATE and tags.get(_COMPRESSION) == _UNCOMPRESSED
    misread = {
        "planes of 16 bits": is_raw_planar and len(bits) > 1 and max(bits) > 8,
        "unsigned values of 32 bits": max(bits) == 32 and form[0] == _UNSIGNED,
        "signed values of 8 bits": max(bits) == 8 and form[0] == _SIGNED,
    }
    if names := [name for name, is_so in misread.items() if is_so]:
        raise PageError(Reason.UNSUPPORTED_FORMAT, f"A TIFF of {names[0]} is not read.")
    if tags.get(_COMPRESSION) == _G4 and not _all_end(image):
        detail = "The fax data has no end code: it was cut, or its writer left it out."
        raise PageError(Reason.CORRUPT_IMAGE, detail)


def is_negative(image: Image.Image) -> bool:
    """Tell whether the values of a page are brighter the smaller they are."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    return bool(image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def squared(page: Image.Image, original: Image.Image) -> Image.Image:
    """Return a fax with pixels as high as they are wide: a standard one has half as many rows."""
    if not isinstance(original, TiffImagePlugin.TiffImageFile):
        return page
    across, down = map(float, original.info.get("dpi", (1, 1)))
    if original.tag_v2.get(_COMPRESSION) not in _FAXES or min(across, down) <= 0:
        return page
    if _SQUARE_ENOUGH < across / down < _TOO_FLAT:
        return page.resize((page.width, round(page.height * across / down)))
    return page


def _all_end(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Tell whether each strip of fax data ends as T.6 wants: else libtiff fills up in silence."""
    tags, file = image.tag_v2, image.fp
    if file is None:
        raise PageError(Reason.CORRUPT_IMAGE, "The file was closed.")
    starts, sizes = _STRIPS if _STRIPS[0] in tags else _TILES
    is_reversed = tags.get(_FILL_ORDER) == _LOWEST_BIT_FIRST
    place = file.tell()
    try:
        return all(
            _ends(_strip(file, start, size), is_reversed=is_reversed)
            for start, size in zip(tags[starts], tags[sizes], strict=True)
        )
    finally:
        file.seek(place)


def _strip(file: IO[bytes], start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _ends(strip: bytes, *, is_reversed: bool) -> bool:
    end = strip.rstrip(b"\0")[-5:]
    if is_reversed:
        end = end.translate(_REVERSED)
    number = int.from_bytes(end + b"\0")
    offsets = range(8 * len(end) + 8 - _END_BITS + 1)
    return any(number >> shift & 0xFFFFFF == _END_OF_BLOCK for shift in offsets)
