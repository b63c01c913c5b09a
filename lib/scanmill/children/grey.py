"""Make a grey page of a frame that was loaded: dark on white, opaque, in 8 bits."""

import math

from PIL import Image, ImageMath, ImageOps

from scanmill.children import tiff
from scanmill.errors import PageError
from scanmill.models import Reason


def page_of(frame: Image.Image, *, original: Image.Image) -> Image.Image:
    """Return a frame as a grey page; `original` is the frame as it came, with what its file says.

    Raises:
        PageError: it holds values that are no shades.
    """
    if frame.mode in ("I", "F") or frame.mode.startswith("I;"):
        page = _stretched(frame)
        return ImageOps.invert(page) if tiff.is_negative(original) else page
    if frame.mode == "LAB":
        return frame.getchannel("L")
    if frame.has_transparency_data:
        return _opaque(frame.convert("RGBA"))
    return tiff.squared(frame.convert("L"), original)


def is_uniform(page: Image.Image) -> bool:
    """Tell whether every pixel of a grey page has the same shade."""
    low, high = page.getextrema()
    return low == high


def _opaque(rgba: Image.Image) -> Image.Image:
    """Lay a page that one can see through on paper on which it shows, on white if it does there."""
    shades, alpha = rgba.convert("L"), rgba.getchannel("A")
    if alpha.getextrema() == (0, 0):  # some writers leave it out and say that it is there
        return shades
    for paper_shade in (255, 0):
        paper = Image.new("L", rgba.size, paper_shade)
        paper.paste(shades, mask=alpha)
        if not is_uniform(paper):
            break
    return paper


def _stretched(frame: Image.Image) -> Image.Image:
    """Map 16-bit, 32-bit and float values to 0..255 by the range that the page uses."""
    wide = frame.convert("F")
    low, high = wide.getextrema()
    if not (isinstance(low, float) and isinstance(high, float)):
        raise PageError(Reason.CORRUPT_IMAGE, "More than one channel of wide values.")
    if not math.isfinite(high - low) or not _are_numbers(wide):
        raise PageError(Reason.CORRUPT_IMAGE, "Pixel values are not finite.")
    scale = 255 / (high - low) if high > low else 0.0
    return wide.point(lambda value: value * scale - low * scale).convert("L")


def _are_numbers(wide: Image.Image) -> bool:
    """Tell whether no value is "not a number": alone of all, that is not equal to itself."""
    equal = ImageMath.lambda_eval(lambda values: values["wide"] == values["wide"], wide=wide)
    return bool(equal.getextrema()[0] != 0)
