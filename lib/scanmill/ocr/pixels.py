"""Pages in memory, for engines and second chances."""

from pathlib import Path

from PIL import Image

from scanmill.children.pgm import page_of
from scanmill.models import Raster


def opened(raster: Raster) -> Image.Image:
    """Return a page in memory.

    Raises:
        ValueError: the file is not the page.
    """
    return page_of(Path(raster.path).read_bytes(), (raster.width_px, raster.height_px))
