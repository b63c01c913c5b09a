"""Pack pages of black and white alone: Tesseract reads the same words on them in less time.

It need not look for a threshold then. Of 12 scanned books a page took 0.68 CPU seconds in one bit,
0.72 in eight (least of four runs in turns); to pack it takes 0.01.
"""

from PIL import Image, ImageChops


def packed(page: Image.Image) -> Image.Image:
    """Return a grey page in one bit a pixel if it has no shade between, else as it is."""
    in_one_bit = page.convert("1", dither=Image.Dither.NONE)
    difference = ImageChops.difference(in_one_bit.convert("L"), page)
    return page if difference.getbbox() else in_one_bit
