"""Opens the pages that our decoder wrote."""

from pathlib import Path

from PIL import Image

from scanmill.models import Raster


def opened(raster: Raster) -> Image.Image:
    """Return a page in memory.

    Not by `Image.open`, which has a limit of its own for what a picture may be: ours was kept when
    the page was written.

    Raises:
        ValueError: the file is not the page.
    """
    size = raster.width_px, raster.height_px
    pgm = Path(raster.path).read_bytes()
    header = b"P5\n%d %d\n255\n" % size
    if not pgm.startswith(header) or len(pgm) != len(header) + raster.width_px * raster.height_px:
        raise ValueError(f"[{raster.path}] is not the page of {size} pixels that was written.")
    return Image.frombuffer("L", size, pgm[len(header) :], "raw", "L", 0, 1)
