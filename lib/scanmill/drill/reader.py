"""Stands in for the tesseract program: it reads the text that a page of `paper` has in its pixels.

Standard library only: it is started anew for every chunk of pages. Its model is a file beside the
others, as Tesseract's is; with another model than the drill's it reads nonsense, as Tesseract does.
"""

import hashlib
import json
import os
import random
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODEL = b"the model with which this reader reads right"
WRONG_MODEL = b"the model of some other alphabet"
PAPER = 255
"""The pixel after the script; no character of it is one: the script is ASCII."""

_MODEL_FILE = "eng.traineddata"
SLOW_FILE = "slow"
_WORDS_PER_LINE = 8
_SLOW_SECONDS = 8


def script_of(pixels: bytes) -> dict[str, Any] | None:
    """Return what the pixels of an 8-bit grey page say, or None when they say nothing."""
    written = pixels.partition(bytes([PAPER]))[0]
    if not written.startswith(b"{"):
        return None
    script: dict[str, Any] = json.loads(written)
    return script


def nonsense(text: str) -> str:
    """Return what a wrong model makes of a text: as many words, none of any language."""
    chance = random.Random(hashlib.sha256(text.encode()).hexdigest())  # noqa: S311 - no secret
    return " ".join("".join(chance.choices("bcdfghjkqvwxz", k=7)) for _ in text.split())


def main() -> None:
    """Answer as tesseract 5 does: its version, or a table of words."""
    if sys.argv[1] == "--version":
        sys.stdout.write("tesseract 0.0-drill\n leptonica-0\n")
    else:
        # The engine hands over a link to the model; what the drill wants lies beside the file.
        model = (Path(os.environ["TESSDATA_PREFIX"]) / _MODEL_FILE).resolve()
        if (model.parent / SLOW_FILE).exists():  # so that it can be caught at work
            time.sleep(_SLOW_SECONDS)
        table = ["level\tpage_num"]
        pages = Path(sys.argv[1]).read_text(encoding="utf-8").split("\n")[:-1]
        is_right = model.read_bytes() == MODEL
        for number, path in enumerate(pages, start=1):
            table += _rows(number, _Page(Path(path).read_bytes()), is_right=is_right)
        Path(f"{sys.argv[2]}.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")


class _Page:
    """A grey TIFF in one strip, as the engine hands it over; the numbers are tags of TIFF 6.0."""

    def __init__(self, tiff: bytes) -> None:
        start = int.from_bytes(tiff[4:8], "little")
        count = int.from_bytes(tiff[start : start + 2], "little")
        entries = struct.iter_unpack("<HHII", tiff[start + 2 : start + 2 + 12 * count])
        values = {tag: value for tag, _, _, value in entries}
        self.width, self.height = values[256], values[257]
        self.pixels = tiff[values[273] :]


def _rows(number: int, page: _Page, *, is_right: bool) -> Iterator[str]:
    yield _row(1, number, 0, page.width, page.height, "-1", "")
    script = script_of(page.pixels) or {"text": "", "confidence": 0.0}
    text = script["text"] if is_right else nonsense(script["text"])
    for count, word in enumerate(text.split()):
        yield _row(5, number, count // _WORDS_PER_LINE, 9, 20, script["confidence"], word)


def _row(
    level: int, page: int, line: int, width: int, height: int, confidence: object, word: str
) -> str:
    cells = [level, page, 1, 1, line, 0, 0, 0, width, height, confidence, word]
    return "\t".join(map(str, cells))


if __name__ == "__main__":
    main()
