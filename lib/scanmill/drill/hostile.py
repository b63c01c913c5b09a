"""Files that break programs which read images, each made here; and a strict opinion on any file.

The names say what is wrong. What has to become of a file is not written down: a strict decoder, in
a child process, is asked, and what it rejects must never end as read or as blank.
"""

import io
import resource
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pillow_heif
import pypdfium2
from PIL import Image, ImageFile

_PNG = b"\x89PNG\r\n\x1a\n"
_PDF_END_BYTES = 1024
_SIZE = (160, 120)
_CHILD_SECONDS = 60
_CHILD_BYTES = 1536 << 20
_MOST_PIXELS = 100_000_000


def files() -> dict[str, bytes]:
    """Return every hostile file by name."""
    made: dict[str, bytes] = {}
    for maker in (_no_images, _cut, _flipped, _pngs, _jpegs, _tiffs, _others, _bombs):
        made.update(maker())
    return made


# --- makers --------------------------------------------------------------------------------------


def _no_images() -> Iterator[tuple[str, bytes]]:
    yield "empty.png", b""
    yield "one_byte.png", b"\x89"
    yield "zeros.tif", bytes(4096)
    yield "text.png", b"This file was never an image.\n"
    yield "list_of_paths.png", b"/etc/passwd\n/etc/hostname\n"  # tesseract would read those
    yield "web_page.jpg", b"<!doctype html><html><body><script>alert(1)</script></body></html>"
    yield (
        "drawing.png",
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    )
    yield "postscript.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n"
    yield "archive.png", b"PK\x03\x04" + bytes(60)
    yield "program.png", b"\x7fELF\x02\x01\x01" + bytes(200)
    yield "script.png", b"#!/bin/sh\nrm -rf $HOME\n"
    yield "magick.png", b"push graphic-context\nimage over 0,0 0,0 'ephemeral:/etc/passwd'\n"
    yield "pdf.png", b"%PDF-1.4\n1 0 obj\n<< /OpenAction << /S /Launch >> >>\nendobj\n%%EOF\n"
    yield "heic.jpg", b"\x00\x00\x00\x18ftypheic" + bytes(40)
    yield "magic_only.png", _PNG
    yield "magic_only.jpg", b"\xff\xd8\xff\xe0"
    yield "magic_only.tif", b"II*\0"
    yield "magic_only.gif", b"GIF89a"
    yield "magic_only.webp", b"RIFF\x04\x00\x00\x00WEBP"
    yield "magic_only.jp2", b"\0\0\0\x0cjP  \r\n\x87\n"


def _cut() -> Iterator[tuple[str, bytes]]:
    for kind in ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "JPEG2000", "BMP"):
        whole = _saved(_page(), kind)
        for percent in (10, 50, 95):
            yield f"cut_at_{percent}.{kind.lower()}", whole[: len(whole) * percent // 100]
    pages = _saved(_page(), "TIFF", save_all=True, append_images=[_page(2), _page(3)])
    yield "cut_after_a_page.tiff", pages[: len(pages) * 2 // 3]
    frames = _saved(_page(), "GIF", save_all=True, append_images=[_page(2), _page(3)])
    yield "cut_after_a_frame.gif", frames[: len(frames) * 2 // 3]


def _flipped() -> Iterator[tuple[str, bytes]]:
    """Yield each kind with a byte of its body changed, as a bad disk leaves it."""
    for kind in ("PNG", "JPEG", "WEBP", "JPEG2000"):
        body = bytearray(_saved(_page(), kind))
        for place in range(len(body) // 2, len(body) // 2 + 8):
            body[place] ^= 0xFF
        yield f"flipped.{kind.lower()}", bytes(body)


def _pngs() -> Iterator[tuple[str, bytes]]:
    good = _saved(_page(), "PNG")
    yield "bad_checksum.png", good[:29] + bytes([good[29] ^ 1]) + good[30:]
    yield "no_data.png", _PNG + _chunk(b"IHDR", _header(9, 9)) + _chunk(b"IEND", b"")
    yield "no_size.png", _PNG + _chunk(b"IHDR", _header(0, 0)) + _chunk(b"IEND", b"")
    yield "too_little_data.png", _png(_header(64, 64), zlib.compress(bytes(20)))
    yield "too_much_data.png", _png(_header(8, 8), zlib.compress(bytes(100_000)))
    yield "negative_size.png", _png(struct.pack(">IIBBBBB", 0xFFFFFFFF, 9, 8, 0, 0, 0, 0), b"")
    yield (
        "odd_depth.png",
        _png(struct.pack(">IIBBBBB", 9, 9, 7, 0, 0, 0, 0), zlib.compress(bytes(99))),
    )
    yield "endless_chunk.png", _PNG + struct.pack(">I", 0x7FFFFFFF) + b"IDAT" + bytes(64)
    bomb = zlib.compress(bytes(64 << 20), 9)
    yield "text_bomb.png", good[:-12] + _chunk(b"zTXt", b"Comment\0\0" + bomb) + good[-12:]
    yield "profile_bomb.png", good[:33] + _chunk(b"iCCP", b"x\0\0" + bomb) + good[33:]
    yield "ends_in_a_zip.png", good + b"PK\x03\x04" + bytes(100)
    animated = _saved(_page(), "PNG", save_all=True, append_images=[_page(2)])
    yield "animated.png", animated
    yield "animated_cut.png", animated[: len(animated) * 2 // 3]


def _jpegs() -> Iterator[tuple[str, bytes]]:
    good = _saved(_page(), "JPEG")
    yield "no_end.jpg", good[:-2]
    yield "two_starts.jpg", b"\xff\xd8" + good
    yield "huge_size.jpg", _with_size(good, 65_500, 65_500)
    yield "no_height.jpg", _with_size(good, 100, 0)
    yield "bad_exif.jpg", good[:2] + _segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff") + good[2:]
    yield "bad_profile.jpg", good[:2] + _segment(0xE2, b"ICC_PROFILE\0\1\1bad") + good[2:]
    yield "many_scans.jpg", _saved(_page(), "JPEG", progressive=True) * 40
    yield "photometric_lie.jpg", _saved(_page().convert("CMYK"), "JPEG")
    comments = b"".join(_segment(0xFE, bytes(65_000)) for _ in range(40))
    yield "mostly_comment.jpg", good[:2] + comments + good[2:]


def _tiffs() -> Iterator[tuple[str, bytes]]:
    good = _saved(_page(), "TIFF")
    first = struct.unpack("<I", good[4:8])[0]
    count = struct.unpack("<H", good[first : first + 2])[0]
    link = first + 2 + 12 * count
    yield "looping_chain.tif", good[:link] + struct.pack("<I", first) + good[link + 4 :]
    yield "chain_to_nowhere.tif", good[:link] + struct.pack("<I", 0x7FFFFFF0) + good[link + 4 :]
    yield "starts_beyond.tif", b"II*\0" + struct.pack("<I", 0x7FFFFFF0) + bytes(64)
    yield "starts_in_itself.tif", b"II*\0" + struct.pack("<I", 0) + bytes(64)
    yield "many_entries.tif", b"II*\0" + struct.pack("<IH", 8, 0xFFFF) + bytes(64)
    yield "huge_size.tif", _retagged(good, 256, 0x7FFFFFFF)
    yield "strips_beyond.tif", _retagged(good, 273, 0x7FFFFFF0)
    yield "odd_compression.tif", _retagged(good, 259, 34_676)
    yield "odd_depth.tif", _retagged(good, 258, 13)
    yield "float.tif", _saved(Image.new("F", _SIZE, float("nan")), "TIFF")
    yield "wide.tif", _saved(Image.new("I;16", _SIZE, 40_000), "TIFF")
    yield "cmyk.tif", _saved(_page().convert("CMYK"), "TIFF")
    yield "fax.tif", _saved(_page().convert("1"), "TIFF", compression="group4")
    fax = _saved(_page().convert("1"), "TIFF", compression="group4")
    yield "fax_cut.tif", fax[: len(fax) // 2]
    yield "one_pixel.tif", _saved(Image.new("L", (1, 1), 0), "TIFF")
    yield "thread.tif", _saved(Image.new("L", (5000, 1), 0), "TIFF")
    many = [Image.new("L", (12, 12), shade % 250) for shade in range(700)]
    yield "many_frames.tif", _saved(many[0], "TIFF", save_all=True, append_images=many[1:])


def _others() -> Iterator[tuple[str, bytes]]:
    size = struct.pack("<ii", 0x7FFFFFFF, 0x7FFFFFFF)
    bitmap = _saved(_page(), "BMP")
    yield "huge_size.bmp", bitmap[:18] + size + bitmap[26:]
    yield "upside_down.bmp", bitmap[:22] + struct.pack("<i", -_SIZE[1]) + bitmap[26:]
    yield "endless_run.bmp", bitmap[:30] + struct.pack("<I", 1) + bitmap[34:54] + b"\xff\x00" * 400
    yield "huge_screen.gif", b"GIF89a\xff\xff\xff\xff\x80\x00\x00" + bytes(6) + b"\x2c" + bytes(20)
    frames = [Image.new("L", (12, 12), shade % 250) for shade in range(700)]
    yield "many_frames.gif", _saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield "half.pdf", _saved(_page(), "PDF")[:9000]
    yield "turned.avif", _saved(_page().convert("RGB"), "AVIF")[:-20]
    for kind in ("ICO", "TGA", "PCX", "SGI", "DDS"):  # closed: not for scans
        mode = "RGBA" if kind in {"ICO", "DDS"} else "RGB"
        yield f"other.{kind.lower()}", _saved(_page().convert(mode), kind)
    yield "photoshop.png", b"8BPS\0\1" + bytes(60)
    yield "huge.pgm", b"P5\n100000 100000\n255\n" + bytes(100)
    yield "letters.pgm", b"P2\n4 4\n255\nnot numbers at all\n"
    yield "comment.pgm", b"P5\n#" + b"x" * 1_000_000 + b"\n4 4\n255\n" + bytes(16)


def _bombs() -> Iterator[tuple[str, bytes]]:
    yield "bomb.png", _png(_header(30_000, 30_000, depth=1), _white(30_000, 30_000))
    yield "endless_roll.png", _png(_header(100, 40_000, depth=1), _white(100, 40_000))
    big = Image.new("1", (12_000, 12_000), 1)
    yield "bomb.tif", _saved(big, "TIFF", compression="group4")
    yield "bomb.gif", _saved(Image.new("L", (12_000, 9_000), 255), "GIF")


# --- building blocks -----------------------------------------------------------------------------


def _page(seed: int = 1) -> Image.Image:
    """Return a page that is not blank and that compresses badly enough to have a middle."""
    values = bytes(
        (x * x * seed + 7 * y * x + y) % 251 for y in range(_SIZE[1]) for x in range(_SIZE[0])
    )
    return Image.frombytes("L", _SIZE, values)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _header(width: int, height: int, *, depth: int = 8) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)


def _png(header: bytes, data: bytes) -> bytes:
    return _PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _white(width: int, height: int) -> bytes:
    """Return packed rows of white bits; no such image is ever in memory."""
    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * ((width + 7) // 8)
    return b"".join(packer.compress(row) for _ in range(height)) + packer.flush()


def _segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def _with_size(jpeg: bytes, width: int, height: int) -> bytes:
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + struct.pack(">HH", height, width) + jpeg[place + 4 :]


def _retagged(tiff: bytes, tag: int, value: int) -> bytes:
    """Return a TIFF with another value for one of its tags."""
    place = tiff.index(struct.pack("<H", tag), struct.unpack("<I", tiff[4:8])[0])
    return tiff[: place + 8] + struct.pack("<I", value & 0xFFFFFFFF) + tiff[place + 12 :]


# --- the strict opinion --------------------------------------------------------------------------


def rejected(paths: Sequence[Path]) -> set[Path]:
    """Return the files that a strict decoder does not read to the end, each asked in a child."""
    return {path for path in paths if not _is_read(path)}


def _is_read(path: Path) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "scanmill.drill.hostile", str(path)],
            capture_output=True,
            timeout=_CHILD_SECONDS,
            check=False,
            preexec_fn=_limit,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_CHILD_BYTES, _CHILD_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CHILD_SECONDS, _CHILD_SECONDS))


def _load_every_frame(path: Path) -> None:
    """Load all frames of a file as strictly as Pillow can; whatever is wrong with it raises."""
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    warnings.filterwarnings("error", message=r"(?i).*truncated")
    Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    pillow_heif.register_heif_opener()
    if path.read_bytes().startswith(b"%PDF-"):
        _draw_every_page(path)
        return
    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()


def _draw_every_page(path: Path) -> None:
    """Draw all pages of a PDF that is there to its end; whatever is wrong with it raises."""
    if b"%%EOF" not in path.read_bytes()[-_PDF_END_BYTES:]:
        raise ValueError("The end of the PDF is missing.")
    document = pypdfium2.PdfDocument(path)
    if not len(document):
        raise ValueError("The PDF has no pages.")
    for page in document:
        page.render()


if __name__ == "__main__":
    _load_every_frame(Path(sys.argv[1]))
