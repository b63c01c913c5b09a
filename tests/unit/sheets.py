"""Printed sheets, as the decoder writes pages, and the text that was read on them."""

import itertools

from PIL import Image, ImageDraw, ImageFont

from scanmill.models import Raster

TEXT = """The quick brown fox jumps
over the lazy dog and then
sleeps until the morning sun
wakes him for his breakfast"""

_NUMBERS = itertools.count(1)


def printed(pixels=32):
    """Return a sheet with the text in letters of this size."""
    sheet = Image.new("L", (900, 460), 255)
    font = ImageFont.load_default(pixels)
    ImageDraw.Draw(sheet).multiline_text((100, 90), TEXT, fill=0, font=font, spacing=20)
    return sheet


def labelled(pixels, *, ground=0, word="Fax", pad=6):
    """Return a sheet with the text and a light word on a dark label."""
    sheet = printed(24)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(pixels)
    left, top, right, bottom = draw.textbbox((600, 300), word, font=font)
    draw.rectangle((left - pad, top - pad, right + pad, bottom + pad), fill=ground)
    draw.text((600, 300), word, fill=255, font=font)
    return sheet


def marked(marker=0, size=(60, 40)):
    """Return a sheet whose first pixels are a marker that tells the stub what to make of it."""
    sheet = Image.new("L", size, 255)
    sheet.paste(marker, (0, 0, 6, 6))  # large enough to be there when the page was smoothed
    return sheet


def written(sheet, folder):
    """Return the page that a sheet is once it is written, to a file of its own."""
    path = folder / f"sheet-{next(_NUMBERS)}.pgm"
    sheet.save(path, "PPM")
    return Raster(path=str(path), width_px=sheet.width, height_px=sheet.height)


def text_of(reading):
    """Return all words of a page."""
    return " ".join(word.text for word in reading.words)
