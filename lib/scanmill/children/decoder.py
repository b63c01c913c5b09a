"""The program that decodes images, one after the other, inside the sandbox of `scanmill.images`.

It imports nothing but the standard library, Pillow and our nouns, so that it starts in 0.12 s; what
only a PDF or a HEIC takes is imported when the first one comes.
It gets the bounds as its argument, in JSON, and the bytes of one image with every question; pages
are written to the folder that it starts in.
"""

import contextlib
import dataclasses
import functools
import io
import json
import signal
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from PIL import Image, ImageOps, UnidentifiedImageError

from scanmill.children import grey, tiff
from scanmill.children.answering import answer_until_left, fail_by_disk
from scanmill.errors import PAGE_NOTE, PageError
from scanmill.models import Raster, Reason, SetAside

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM", "AVIF")
"""What Pillow may try: 42 formats are reachable, and one of them starts Ghostscript.

MPO is opened as JPEG; under its own name Pillow knows no opener and raises KeyError.
"""

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    **dict.fromkeys((b"II*\0", b"MM\0*", b"MM*\0", b"II\0*", b"II+\0", b"MM\0+"), "TIFF"),
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
    **{b"P%d%c" % (n, blank): "PPM" for n in range(1, 7) for blank in b" \t\r\n#"},
    b"%PDF-": "PDF",
}
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"), "HEIF"),
}
_KNOWN_BUT_CLOSED = {
    b"%!PS": "PostScript",
    b"8BPS": "Photoshop",
    b"AT&TFORM": "DjVu",
    b"\0\0\1\0": "ICO",
    b"v/1\1": "OpenEXR",
}
_HEAD_BYTES = 32
_TAIL_BYTES = 1024

T = TypeVar("T")
Begin = Callable[[int], SetAside | None]
Page = Raster | SetAside
Frame = tuple[Image.Image | SetAside, str | None]
"""A page before it is written, and the text that the file holds for it, if any."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The limits on one image, copied from the settings."""

    max_object_bytes: int
    max_pixels: int
    max_side_px: int
    min_side_px: int
    max_frames: int
    max_image_pixels: int
    page_cpu_seconds: int
    pdf_dpi: int


class DiskError(Exception):
    """A page could not be written."""


def main() -> None:
    """Decode file after file, whatever became of those before."""
    bounds = Bounds(**json.loads(sys.argv[1]))
    Image.MAX_IMAGE_PIXELS = bounds.max_pixels
    try:
        answer_until_left(
            lambda asked, content: decode_image(content, bounds=bounds, skipped=asked["skipped"])
        )
    except DiskError as error:
        fail_by_disk(str(error))


def decode_image(content: bytes, *, bounds: Bounds, skipped: Collection[int]) -> dict[str, object]:
    """Decode one image into the PGM files `<page>.pgm` and return what became of it.

    Of the pages to be `skipped` nothing is decoded: they are set aside.
    """
    pages: list[Page] = []
    whole = _guarded(lambda: pages.extend(_pages(content, bounds=bounds, skipped=skipped)))
    refusal = whole if isinstance(whole, SetAside) else None
    if refusal is None and not any(isinstance(page, Raster) for page in pages):
        refusal = next(page for page in pages if isinstance(page, SetAside))
    if refusal is not None:
        for page in Path().glob("*.pgm"):
            page.unlink()
        return {"pages": [], "refusal": dataclasses.asdict(refusal)}
    return {"pages": [dataclasses.asdict(page) for page in pages], "refusal": None}


def _pages(content: bytes, *, bounds: Bounds, skipped: Collection[int]) -> Iterator[Page]:
    begin = functools.partial(_begin, bounds=bounds, skipped=skipped)
    begin(0)  # first of all: note and clock are those of the file before
    kind, is_complete = _inspected(content, bounds)
    with io.BytesIO(content) as file, warnings.catch_warnings():
        _choose_warnings()
        announced, frames = _opened(file, kind, bounds, begin)
        _restart_file_clock(announced, bounds)
        page: Page | None = None
        number = 0
        pixels = 0
        for number, (frame, text) in enumerate(frames, start=1):
            if isinstance(frame, Image.Image):
                pixels += frame.width * frame.height
            if pixels > bounds.max_image_pixels:  # a small file may unpack to more than the disk
                detail = f"more than {bounds.max_image_pixels} pixels in {number} frames."
                raise PageError(Reason.IMAGE_TOO_LARGE, detail)
            page = _settled(frame, Path(f"{number}.pgm"), text)
            if kind == "PDF" and not is_complete and isinstance(page, Raster) and page.is_blank:
                page = _set_aside(Reason.CORRUPT_IMAGE, "Nothing shows, and the PDF is damaged.")
            yield page
        if isinstance(page, SetAside) and page.reason == Reason.FRAMES_UNREADABLE:
            return
        if number < announced or not is_complete:
            detail = f"Cut in or after frame {number}, or damaged inside."
            yield _set_aside(Reason.FRAMES_UNREADABLE, detail)


def _opened(file: BinaryIO, kind: str, bounds: Bounds, begin: Begin) -> tuple[int, Iterator[Frame]]:
    """Return how many frames a file says it has, and an iterator of them."""
    if kind == "PDF":
        from scanmill.children import pdf

        document = pdf.opened(file)
        number = len(document)
        if number > bounds.max_frames:
            raise PageError(Reason.TOO_MANY_FRAMES, f"{number} pages of {bounds.max_frames}.")
        return number, _pdf_frames(document, bounds, begin)
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    with _strict_chain(kind):
        image = Image.open(file, formats=["HEIF"] if kind == "HEIF" else FORMATS)
    frames = ((frame, None) for frame in _frames(image, bounds, begin))
    return _announced_frames(image, bounds), frames


def _pdf_frames(document: Any, bounds: Bounds, begin: Begin) -> Iterator[Frame]:
    """Yield the pages of a PDF, each with the text that lies in it, if any."""
    from scanmill.children import pdf

    limits = pdf.Limits(
        dpi=bounds.pdf_dpi, max_pixels=bounds.max_pixels, max_side_px=bounds.max_side_px
    )
    for index in range(len(document)):
        if aside := begin(index + 1):
            yield aside, None
            continue
        drawn = _guarded(functools.partial(pdf.drawn, document, index, limits))
        yield (drawn, None) if isinstance(drawn, SetAside) else drawn


def _inspected(content: bytes, bounds: Bounds) -> tuple[str, bool]:
    """Return the kind of file, and whether its end is there, as far as its bytes tell."""
    size = len(content)
    if not size:
        raise PageError(Reason.EMPTY_OBJECT, "The object holds no bytes.")
    if size > bounds.max_object_bytes:
        raise PageError(Reason.IMAGE_TOO_LARGE, f"{size} bytes of {bounds.max_object_bytes}.")
    kind = _kind(content[:_HEAD_BYTES])
    end = content[-_TAIL_BYTES:].rstrip(b"\0\r\n \x1a")
    # A GIF has no count of its frames; only its last byte tells that none is missing. Of a PDF that
    # was cut, what is left is put together by whoever opens it, as if it were all.
    if kind == "PDF":
        from scanmill.children import pdf

        return kind, b"%%EOF" in end and pdf.is_sound(content)
    return kind, kind != "GIF" or end.endswith(b";")


def _kind(head: bytes) -> str:
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp":
        if head[8:12] in _BRANDS:
            return _BRANDS[head[8:12]]
        brand = head[8:12].decode("ascii", "replace")
        raise PageError(Reason.UNSUPPORTED_FORMAT, f"ISO media [{brand}] is not read.")
    for magic, kind in _KNOWN_BUT_CLOSED.items():
        if head.startswith(magic):
            raise PageError(Reason.UNSUPPORTED_FORMAT, f"{kind} is not read.")
    raise PageError(Reason.NOT_AN_IMAGE, f"Starts with {head[:12]!r}.")


def _choose_warnings() -> None:
    """Make errors of the warnings that mean lost pixels; the rest is about metadata."""
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    warnings.filterwarnings("error", message=r"(?i).*truncated")


@contextlib.contextmanager
def _strict_chain(kind: str | None) -> Iterator[None]:
    """Make errors of the warnings that mean lost frames.

    In a TIFF the chain of frames is read by the code that reads EXIF, hence that warning's words;
    anywhere else they mean what they say, and the pixels are sound.
    """
    with warnings.catch_warnings():
        if kind == "TIFF":
            warnings.filterwarnings("error", message=r"Corrupt EXIF data")
        if kind == "PNG":
            warnings.filterwarnings("error", message=r"Invalid APNG")
        yield


def _begin(number: int, *, bounds: Bounds, skipped: Collection[int]) -> SetAside | None:
    """Give a page its CPU time, or return why it is not decoded: somebody died of it before.

    The number is left behind for who asks why this process ended.
    """
    try:
        Path(PAGE_NOTE).write_text(str(number), encoding="ascii")
    except OSError as error:
        raise DiskError(f"Cannot write [{PAGE_NOTE}]: {error.strerror}.") from error
    _restart_clock(bounds)
    return _set_aside(Reason.DECODER_CRASH, "Left out.") if number in skipped else None


def _restart_clock(bounds: Bounds) -> None:
    """Give the next step the CPU time of one page: running out of it ends this process."""
    # The other timer, of user and system time, runs for the whole file.
    signal.setitimer(signal.ITIMER_VIRTUAL, bounds.page_cpu_seconds)


def _restart_file_clock(pages: int, bounds: Bounds) -> None:
    """Give a file the time of ten pages, and of each page that it has a tenth on top."""
    signal.setitimer(signal.ITIMER_PROF, bounds.page_cpu_seconds * (10 + pages / 10))


def _announced_frames(image: Image.Image, bounds: Bounds) -> int:
    """Return how many frames the file says it has; 1 when its chain is broken."""
    if image.format == "MPO":
        return 1
    with _strict_chain(image.format):
        frames = _guarded(lambda: int(getattr(image, "n_frames", 1)))
    if isinstance(frames, SetAside):
        return 1
    if frames > bounds.max_frames:
        raise PageError(Reason.TOO_MANY_FRAMES, f"{frames} frames of {bounds.max_frames}.")
    return frames


def _frames(image: Image.Image, bounds: Bounds, begin: Begin) -> Iterator[Image.Image | SetAside]:
    """Yield the grey frames in order; one that cannot be found ends them."""
    for index in range(bounds.max_frames + 1):
        aside = begin(index + 1)
        is_there = _guarded(functools.partial(_seek, image, index))
        if isinstance(is_there, SetAside):
            if index and image.tell() == index:  # it was found, and is of a kind that nobody reads
                yield is_there
                continue
            yield dataclasses.replace(is_there, reason=Reason.FRAMES_UNREADABLE)
            return
        if not is_there:
            return
        if index == bounds.max_frames:  # a broken chain hides the number until here
            raise PageError(Reason.TOO_MANY_FRAMES, f"More than {index} frames.")
        yield aside if aside else _guarded(functools.partial(_grey, image, bounds))


def _seek(image: Image.Image, index: int) -> bool:
    # The further pictures of an MPO are previews and depth maps of the first one.
    if image.format == "MPO" and index > 0:
        return False
    try:
        with _strict_chain(image.format):
            image.seek(index)
    except EOFError:
        return False
    return True


def _grey(image: Image.Image, bounds: Bounds) -> Image.Image:
    """Load one frame strictly and return it upright, opaque and in 8-bit grey."""
    _check_size(image, bounds)
    tiff.require_sound(image)
    image.load()
    turned = _guarded(lambda: ImageOps.exif_transpose(image))
    upright = image if isinstance(turned, SetAside) else turned  # broken EXIF, sound pixels
    page = grey.page_of(upright, original=image)
    _check_size(page, bounds)
    return page


def _check_size(image: Image.Image, bounds: Bounds) -> None:
    width, height = image.size
    if width * height > bounds.max_pixels or max(width, height) > bounds.max_side_px:
        raise PageError(Reason.IMAGE_TOO_LARGE, f"{width} x {height} pixels.")
    if min(width, height) < bounds.min_side_px:
        raise PageError(Reason.IMAGE_TOO_SMALL, f"{width} x {height} pixels.")


def _settled(frame: Image.Image | SetAside, path: Path, text: str | None) -> Page:
    """Write a frame, unless it is blank: nobody will read that."""
    if isinstance(frame, SetAside):
        return frame
    if grey.is_uniform(frame):
        return Raster(
            path="",
            width_px=frame.width,
            height_px=frame.height,
            is_blank=True,
            embedded_text=text,
        )
    try:
        frame.save(path, "PPM")
    except OSError as error:
        raise DiskError(f"Cannot write [{path}]: {error.strerror}.") from error
    return Raster(path=str(path), width_px=frame.width, height_px=frame.height, embedded_text=text)


def _guarded(work: Callable[[], T]) -> T | SetAside:
    """Do one step of one image's decode and turn any failure of it into the reason."""
    try:
        return work()
    except DiskError:
        raise
    except PageError as error:
        return _set_aside(error.reason, error.detail)
    except (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return _set_aside(Reason.IMAGE_TOO_LARGE, str(error) or "Not enough memory to decode it.")
    except UnidentifiedImageError:
        return _set_aside(Reason.CORRUPT_IMAGE, "Starts like an image, but no decoder reads it.")
    # Broken files raise ten classes, from OSError to KeyError: here, and nowhere else, any
    # exception is a property of the data.
    except Exception as error:  # noqa: BLE001
        return _set_aside(Reason.CORRUPT_IMAGE, f"{type(error).__name__}: {error}")


def _set_aside(reason: Reason, detail: str) -> SetAside:
    return SetAside(reason=reason, detail=detail[:300], stage="decode")


if __name__ == "__main__":
    main()
