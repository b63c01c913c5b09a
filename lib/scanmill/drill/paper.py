"""Pages that carry a known text in their pixels: what is read from them is right or wrong."""

import io
import json
import random

from PIL import Image

from scanmill.drill.reader import PAPER

_WIDTH = 100
_TEXT = (
    "the pump and valve are made of steel with two flanges each one tested under high water "
    "pressure before it leaves our workshop please check every bolt seal bearing shaft motor "
    "spring cover plate filter ring screw washer lever handle wheel chain table number page "
    "drawing machine part order weight height width length year month week day hour minute power "
    "speed oil air gas heat cold left right upper lower inner outer front back side small large"
)
_COMMON = _TEXT.split()


def prose(seed: str | int, words: int = 40) -> str:
    """Return a text of ordinary words that no other seed gives."""
    return " ".join(random.Random(seed).choices(_COMMON, k=words))  # noqa: S311 - no secret


def gibberish(seed: object, words: int = 40) -> str:
    """Return letters that are in no word list of any language."""
    chance = random.Random(f"gibberish {seed}")  # noqa: S311 - no secret
    return " ".join("".join(chance.choices("bcdfghjkqvwxz", k=7)) for _ in range(words))


def picture(text: str, *, confidence: float = 95.0) -> bytes:
    """Return a page as PNG, on which exactly this text is read."""
    return _saved([_page(text, confidence)], "PNG")


def volume(*texts: str) -> bytes:
    """Return pages bound in one TIFF."""
    return _saved([_page(text, 95.0) for text in texts], "TIFF")


def blank() -> bytes:
    """Return a page with nothing on it."""
    return _saved([Image.new("L", (_WIDTH, _WIDTH), PAPER)], "PNG")


def _page(text: str, confidence: float) -> Image.Image:
    script = json.dumps({"text": text, "confidence": confidence}).encode("ascii")
    height = max(20, -(-len(script) // _WIDTH) + 1)
    pixels = script.ljust(_WIDTH * height, bytes([PAPER]))
    return Image.frombytes("L", (_WIDTH, height), pixels)


def _saved(pages: list[Image.Image], kind: str) -> bytes:
    sink = io.BytesIO()
    more = {"save_all": True, "append_images": pages[1:]} if pages[1:] else {}
    pages[0].save(sink, kind, **more)
    return sink.getvalue()
