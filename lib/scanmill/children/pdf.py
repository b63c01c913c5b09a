"""Draw the pages of a PDF as grey pictures, and find the text that already lies in them."""

import contextlib
import dataclasses
import io
import math
import re
import zlib
from typing import Any, BinaryIO

import pypdfium2
from PIL import Image
from pypdfium2 import raw

from scanmill.errors import PageError
from scanmill.models import Reason

_POINTS_PER_INCH = 72
_FEWEST_DPI, _MOST_DPI = 100, 600
_WHOLE_PAGE = 0.8
_ROUNDING = 0.999  # sides are rounded up to whole pixels
_JPEG_FILTERS = {"DCTDecode": "JPEG", "JPXDecode": "JPEG2000"}


_STREAM = re.compile(rb"(?<!end)stream\r?\n")
_DEFLATED = re.compile(rb"/Filter\s*(\[\s*)?/(FlateDecode|Fl)\b")
_PICTURE = re.compile(rb"/Subtype\s*/Image\b")
_ENCRYPTED = re.compile(rb"/Encrypt\b")
_HEAD_BYTES = 1000
_AT_ONCE, _MOST_UNPACKED = 1 << 20, 64 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How fine a page is drawn, and how large it may become."""

    dpi: int
    max_pixels: int
    max_side_px: int


def opened(file: BinaryIO) -> Any:
    """Return the document.

    Raises:
        PageError: it is broken, or opens with a password only.
    """
    try:
        document = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        if error.err_code == raw.FPDF_ERR_PASSWORD:
            raise PageError(Reason.PASSWORD_NEEDED, "The PDF opens with a password.") from error
        raise PageError(Reason.CORRUPT_IMAGE, f"PDF: {error}") from error
    if not len(document):
        raise PageError(Reason.CORRUPT_IMAGE, "The PDF has no pages.")
    document.init_forms()  # without it what people filled in is not drawn
    return document


def is_sound(content: bytes) -> bool:
    """Tell whether what was compressed, but for pictures, unpacks to its end and its checksum.

    A page whose drawing is damaged is drawn empty, or in part, without a word. An encrypted file
    tells nothing; what unpacks to very much is left to the limits of its page.
    """
    if _ENCRYPTED.search(content):
        return True
    left = _MOST_UNPACKED
    for start in _STREAM.finditer(content):
        head = content[max(0, start.start() - _HEAD_BYTES) : start.start()]
        head = head[head.rfind(b" obj") :]
        if not _DEFLATED.search(head) or _PICTURE.search(head):
            continue
        left, is_whole = _unpacked(content, start.end(), left)
        if not is_whole:
            return False
    return True


def _unpacked(content: bytes, start: int, left: int) -> tuple[int, bool]:
    """Unpack a stream, at most so many bytes; return what is left of these, and if it is whole."""
    unpacker = zlib.decompressobj()
    end = content.find(b"endstream", start)
    data = content[start : end if end >= 0 else None]
    try:
        while left > 0 and data and not unpacker.eof:
            left -= len(unpacker.decompress(data, min(left, _AT_ONCE)))
            data = unpacker.unconsumed_tail
    except zlib.error:
        return left, False
    return left, unpacker.eof or left <= 0


def drawn(document: Any, index: int, limits: Limits) -> tuple[Image.Image, str | None]:
    """Return one page in grey, and the text in it or None.

    A scan that fills its page is drawn in its own resolution: more holds nothing, less loses some.

    Raises:
        PageError: the page or a picture on it is broken, or it is too large to be drawn.
    """
    with contextlib.closing(document[index]) as page:
        pictures = _pictures(page)
        for picture in pictures:
            _require_sound(picture)
        scans = [] if _has_visible_text(page) else pictures
        scale = _dpi(page, scans, limits) / _POINTS_PER_INCH
        bitmap = page.render(scale=scale, grayscale=True)
        with contextlib.closing(page.get_textpage()) as text:
            embedded = text.get_text_bounded().replace("\0", "").replace("\r\n", "\n").strip()
        return bitmap.to_pil().convert("L"), embedded or None


def _pictures(page: Any) -> list[Any]:
    return list(page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]))


def _has_visible_text(page: Any) -> bool:
    """Tell whether text is printed on a page, other than what OCR programs lay under a scan."""
    return any(
        raw.FPDFTextObj_GetTextRenderMode(text.raw) != raw.FPDF_TEXTRENDERMODE_INVISIBLE
        for text in page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT])
    )


def _require_sound(picture: Any) -> None:
    """Refuse a picture that would be drawn as an empty place, or half of it."""
    for name in picture.get_filters():
        if name in _JPEG_FILTERS:
            data = picture.get_data(decode_simple=True)
            with Image.open(io.BytesIO(data), formats=[_JPEG_FILTERS[name]]) as image:
                image.load()
            return
    picture.get_bitmap()  # raises for what cannot be decoded


def _dpi(page: Any, pictures: list[Any], limits: Limits) -> float:
    width, height = (float(side) / _POINTS_PER_INCH for side in page.get_size())
    if min(width, height) <= 0:
        raise PageError(Reason.IMAGE_TOO_SMALL, f"A page of {width} x {height} inches.")
    attainable = min(
        math.sqrt(limits.max_pixels / (width * height)), limits.max_side_px / max(width, height)
    )
    if attainable < _FEWEST_DPI:
        detail = f"A page of {width:.0f} x {height:.0f} inches is too large at {_FEWEST_DPI} dpi."
        raise PageError(Reason.IMAGE_TOO_LARGE, detail)
    wanted = _own_dpi(pictures, width * height) or limits.dpi
    return min(wanted, attainable * _ROUNDING)


def _own_dpi(pictures: list[Any], page_inches: float) -> float | None:
    """Return the resolution of the one picture that is the page; None if the page is no scan."""
    if len(pictures) != 1:
        return None
    left, bottom, right, top = (float(at) / _POINTS_PER_INCH for at in pictures[0].get_bounds())
    if (right - left) * (top - bottom) < _WHOLE_PAGE * page_inches:
        return None
    across, down = pictures[0].get_px_size()
    matrix = pictures[0].get_matrix()
    if abs(matrix.b) > abs(matrix.a):  # it lies on its side
        across, down = down, across
    dpi = max(across / (right - left), down / (top - bottom))
    return float(min(max(dpi, _FEWEST_DPI), _MOST_DPI))
