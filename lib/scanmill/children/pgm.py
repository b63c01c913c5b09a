"""Opens the pages that our decoder wrote."""

from PIL import Image


def page_of(pgm: bytes, size: tuple[int, int]) -> Image.Image:
    """Return the grey page that a file's bytes are; its size is width and height in pixels.

    Not by `Image.open`, which has a limit of its own for what a picture may be: ours was kept when
    the page was written.

    Raises:
        ValueError: the bytes are not the page.
    """
    width, height = size
    header = b"P5\n%d %d\n255\n" % size
    if not pgm.startswith(header) or len(pgm) != len(header) + width * height:
        raise ValueError(f"The file is not the page of {size} pixels that was written.")
    return Image.frombuffer("L", size, pgm[len(header) :], "raw", "L", 0, 1)
