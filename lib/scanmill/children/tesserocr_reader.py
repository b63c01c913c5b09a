"""The program that reads pages with libtesseract, its models loaded once.

It gets one JSON job as its argument: the languages, and the file of each one's model.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tesserocr
from PIL import Image

from scanmill.children.answering import answer_until_left
from scanmill.children.bilevel import packed
from scanmill.children.dark_ground import has_dark_ground
from scanmill.children.pgm import page_of

_INVERT_THRESHOLD = 0.7
"""The mean confidence below which Tesseract, by itself, reads a line inverted, too."""


def main() -> None:
    """Load the models and read page after page."""
    job = json.loads(sys.argv[1])
    folder = Path(os.environ["TMPDIR"]) / "tessdata"
    folder.mkdir()
    for name, path in job["models"].items():
        (folder / name).symlink_to(path)
    reader = _Reader(tesserocr.PyTessBaseAPI(path=str(folder), lang=job["languages"]))
    answer_until_left(reader.read)


class _Reader:
    def __init__(self, tesseract: Any) -> None:
        self._tesseract = tesseract

    def read(self, question: Mapping[str, Any], pgm: bytes) -> dict[str, str]:
        """Return the table of words of one page."""
        try:
            page = page_of(pgm, (question["width_px"], question["height_px"]))
        except ValueError as error:  # the library would read what lies behind too few pixels
            sys.exit(str(error))
        threshold = _INVERT_THRESHOLD if has_dark_ground(page) else 0
        self._tesseract.SetVariable("invert_threshold", str(threshold))
        self._tesseract.SetPageSegMode(question["psm"])
        self._set_image(packed(page))
        if not self._tesseract.Recognize():
            sys.exit("Tesseract cannot read the page.")
        return {"table": self._tesseract.GetTSVText(0)}

    def _set_image(self, page: Image.Image) -> None:
        width, height = page.size
        # Leptonica's word for one bit is 0 bytes a pixel.
        pixel_bytes, line_bytes = (0, (width + 7) // 8) if page.mode == "1" else (1, width)
        self._tesseract.SetImageBytes(page.tobytes(), width, height, pixel_bytes, line_bytes)


if __name__ == "__main__":
    main()
