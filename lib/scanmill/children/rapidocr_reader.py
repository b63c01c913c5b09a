"""The program that reads pages with RapidOCR, its networks loaded once.

It finds lines; their words are cut at spaces, each with its share of the line's box.
"""

import io
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import rapidocr
from PIL import Image

from scanmill.children.answering import answer_until_left


def main() -> None:
    """Load the networks and read page after page."""
    logging.disable(logging.INFO)
    Image.MAX_IMAGE_PIXELS = None  # our own limit was kept when the page was written
    # One thread: pages are read side by side. And no look for lines upside down: it costs a fifth,
    # and pages that stand on their head are turned before.
    parameters = {
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "Global.use_cls": False,
    }
    reader = _Reader(rapidocr.RapidOCR(params=parameters))
    answer_until_left(reader.read)


class _Reader:
    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def read(self, question: Mapping[str, Any], pgm: bytes) -> dict[str, Any]:
        """Return the size of one page and its words: text, score from 0 to 1, line, box."""
        with Image.open(io.BytesIO(pgm), formats=["PPM"]) as picture:
            result = self._engine(np.asarray(picture.convert("RGB")))
            size = picture.size
        words: list[Any] = []
        if result.boxes is not None:
            lines = zip(result.boxes, result.txts, result.scores, strict=True)
            for number, line in enumerate(_in_reading_order(list(lines)), start=1):
                words += _words(number, line)
        return {"size": size, "words": words}


def _in_reading_order(lines: list[Any]) -> Iterator[list[Any]]:
    """Yield lines from top to bottom; what stands side by side is one line, from left to right."""
    row: list[Any] = []
    for line in sorted(lines, key=_middle):
        if row and _middle(line) > max(float(point[1]) for point in row[0][0]):
            yield sorted(row, key=lambda line: float(line[0][0][0]))
            row = []
        row.append(line)
    if row:
        yield sorted(row, key=lambda line: float(line[0][0][0]))


def _middle(line: Any) -> float:
    return float(np.mean([point[1] for point in line[0]]))


def _words(number: int, row: list[Any]) -> Iterator[list[Any]]:
    for corners, text, score in row:
        left, top = np.min(corners, axis=0)
        right, bottom = np.max(corners, axis=0)
        start = 0
        for word in text.split():
            start = text.index(word, start)
            from_, to = (
                left + (right - left) * at / len(text) for at in (start, start + len(word))
            )
            start += len(word)
            yield [word, float(score), number, [int(from_), int(top), int(to), int(bottom)]]


if __name__ == "__main__":
    main()
