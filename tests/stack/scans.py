"""Small scans for the running stack: words that read well, and letters that read as nonsense."""

import io
import random
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_TEXT = """
able about above across actor after again agree almost along always animal answer apple april
arrive aunt autumn baby bacon basket beach beauty become before begin behind believe below better
bicycle bird black board bottle bottom bread bridge bright broken brother brown build butter
button camera candle captain carry castle centre chair change cheese child choose church circle
clean clever climb clock cloud coffee corner cotton country cousin cover danger daughter decide
desert dinner doctor dollar double dream driver early earth effort engine enough evening family
famous farmer father finger finish flower follow forest friend garden glass grass green ground
guess habit hammer happen harbour health heart heavy history holiday honest horse hospital hotel
house hungry husband improve island jacket journey kitchen knife ladder language laugh leather
lesson letter library listen little machine market matter meadow minute mirror monday money month
morning mother mountain music narrow nature never north notice number ocean office orange order
paper parent pencil people pepper picture planet plastic player pocket police present pretty
"""
_WORDS = _TEXT.split()
_CONSONANTS = "bcdfghjklmnpqrstvwxz"
_PER_LINE = 6
_FONT_PX, _LINE_PX, _MARGIN_PX, _WIDTH_PX = 26, 42, 20, 760


MANY = 100
"""So many that reading them takes long enough to be caught at it, on a fast machine too."""


def good_scans(count: int, *, seed: int) -> list[bytes]:
    """Return scans of random words: no two texts are alike, whatever the seed."""
    rng = random.Random(f"good {seed}")
    return [_draw(rng.sample(_WORDS, 3 * _PER_LINE)) for _ in range(count)]


def nonsense_scans(count: int, *, seed: int) -> list[bytes]:
    """Return scans of random consonants: they are read with confidence, but no word is known."""
    rng = random.Random(f"nonsense {seed}")
    return [
        _draw(["".join(rng.choices(_CONSONANTS, k=rng.randint(4, 8))) for _ in range(18)])
        for _ in range(count)
    ]


def _draw(words: Sequence[str]) -> bytes:
    lines = [words[start : start + _PER_LINE] for start in range(0, len(words), _PER_LINE)]
    size = (_WIDTH_PX, 2 * _MARGIN_PX + _LINE_PX * len(lines))
    image = Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_FONT_PX)
    for number, line in enumerate(lines):
        place = (_MARGIN_PX, _MARGIN_PX + number * _LINE_PX)
        draw.text(place, " ".join(line), fill=0, font=font)
    body = io.BytesIO()
    image.save(body, "PNG")
    return body.getvalue()
