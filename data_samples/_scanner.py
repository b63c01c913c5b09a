"""What a scanner, a copier and forty years in a binder do to a page, and how it is saved.

All noise is integer arithmetic on seeded draws, so that the bytes do not hang on the processor.
"""

import io
import time
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, TiffImagePlugin

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.int16]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wear:
    """How a page suffered; the default is a flawless copy."""

    seed: int = 0
    skew: float = 0.0
    """Degrees."""
    noise: int = 0
    """Largest change of a pixel, grey levels."""
    blur: float = 0.0
    """Radius in pixels."""
    specks: int = 0
    shadow: int = 0
    """Grey levels that one edge is darker than the other."""
    holes: bool = False
    """The marks of a binder's punch."""
    edge: bool = False
    """The dark strip of an open copier lid."""
    width: int = 1240
    """Pixels across after scanning."""
    colour: bool = False
    quality: int = 42
    """Of a JPEG."""


def scan(page: Image.Image, wear: Wear) -> Image.Image:
    """Return the page as a scanner with this wear would see it."""
    paper = (250, 246, 236) if wear.colour else (255, 255, 255)
    if wear.colour:
        page = ImageChops.multiply(page, Image.new("RGB", page.size, paper))
    else:
        page = page.convert("L").convert("RGB")
    page = page.rotate(wear.skew, resample=Image.Resampling.BICUBIC, fillcolor=paper)
    if wear.width != page.width:
        height = page.height * wear.width // page.width
        page = page.resize((wear.width, height), Image.Resampling.LANCZOS)
    if wear.blur:
        page = page.filter(ImageFilter.GaussianBlur(wear.blur))
    page = page if wear.colour else page.convert("L")
    return _mark(_grain(page, wear), wear)


def _grain(page: Image.Image, wear: Wear) -> Image.Image:
    """Add noise and uneven light."""
    if not wear.noise and not wear.shadow:
        return page
    pixels: Pixels = np.asarray(page).astype(np.int16)
    rng = np.random.default_rng(wear.seed)
    if wear.noise:
        # The sum of two draws falls off to both sides like a sensor's noise.
        draws = rng.integers(-wear.noise, wear.noise + 1, (2, *pixels.shape[:2]), dtype=np.int16)
        grain = draws.sum(axis=0, dtype=np.int16) // 2
        pixels += grain if pixels.ndim == 2 else grain[..., None]
    if wear.shadow:
        columns = np.arange(pixels.shape[1], dtype=np.int64)
        shade = (columns * wear.shadow // pixels.shape[1]).astype(np.int16)
        pixels -= shade if pixels.ndim == 2 else shade[:, None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _mark(page: Image.Image, wear: Wear) -> Image.Image:
    """Add specks, punch holes and the copier's edge."""
    draw, (width, height) = ImageDraw.Draw(page), page.size
    dark = (58, 54, 50) if page.mode == "RGB" else 54
    rng = np.random.default_rng(wear.seed + 1)
    for x, y, size in rng.integers(0, (width, height, 4), (wear.specks, 3)).tolist():
        draw.ellipse((x, y, x + size, y + size), fill=dark)
    if wear.holes:
        for y in (height * 36 // 100, height * 64 // 100):
            draw.ellipse((14, y - 19, 52, y + 19), fill=dark)
    if wear.edge:
        draw.polygon([(0, 0), (26, 0), (8, height), (0, height)], fill=dark)
    return page


# --- saving --------------------------------------------------------------------------------------


def encode(image: Image.Image, kind: str, *, quality: int = 42, orientation: int = 1) -> bytes:
    """Return the bytes of an image file; kind is `jpg`, `png` (16 greys), `png1` or `tif` (fax)."""
    out = io.BytesIO()
    if kind == "jpg":
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(out, "JPEG", quality=quality, exif=exif if orientation > 1 else b"")
    elif kind == "png":
        # Sixteen even greys: faint noise on white goes, as in a scanner's document mode.
        even = image.convert("L").point(lambda level: (level + 8) // 17 * 17)
        even.quantize(16, dither=Image.Dither.NONE).save(out, "PNG", optimize=True, bits=4)
    elif kind == "png1":
        to_ink(image).save(out, "PNG", optimize=True)
    else:
        to_ink(image).save(out, "TIFF", compression="group4", dpi=(150, 150))
    return out.getvalue()


def to_ink(image: Image.Image) -> Image.Image:
    """Return the page in black and white, as a fax sees it."""
    # 150: below the paper of the darkest scan, above thin grey print.
    return image.convert("L").point(lambda level: 255 * (level > 150)).convert("1")


def encode_pages(images: list[Image.Image]) -> bytes:
    """Return a TIFF of several black and white pages."""
    out = io.BytesIO()
    first, *rest = [to_ink(image) for image in images]
    first.save(out, "TIFF", save_all=True, append_images=rest, compression="tiff_adobe_deflate")
    return out.getvalue()


def encode_pdf(images: list[Image.Image], quality: int = 60) -> bytes:
    """Return a PDF of several pages, each one JPEG, and no clock in it."""
    out = io.BytesIO()
    first, *rest = [image.convert("L") for image in images]
    dpi = first.width / 8.27  # they were sheets of A4
    never = time.gmtime(0)
    first.save(
        out,
        "PDF",
        save_all=True,
        append_images=rest,
        resolution=dpi,
        quality=quality,
        creationDate=never,
        modDate=never,
    )
    return out.getvalue()


def spoil_frame(tiff: bytes, number: int) -> bytes:
    """Return the TIFF with one frame's pixels (from 1) overwritten; the chain stays whole."""
    with Image.open(io.BytesIO(tiff)) as image:
        image.seek(number - 1)
        tags = image.tag_v2
        strips = zip(
            tags[TiffImagePlugin.STRIPOFFSETS], tags[TiffImagePlugin.STRIPBYTECOUNTS], strict=True
        )
    spoilt = bytearray(tiff)
    for offset, size in strips:
        spoilt[offset : offset + size] = b"\xff" * size  # no deflate stream starts like this
    return bytes(spoilt)
