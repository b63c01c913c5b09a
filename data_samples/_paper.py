"""A sheet of paper and what a typist and a draughtsman can put on it."""

import random
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw, ImageFont

WIDTH, HEIGHT = 1240, 1754
"""A4 at 150 dots per inch."""
MARGIN = 96

Ink = tuple[int, int, int]
Point = tuple[float, float]
Box = tuple[float, float, float, float]

BLACK: Ink = (26, 28, 34)
GREY: Ink = (120, 124, 132)
PALE: Ink = (226, 229, 233)
BLUE: Ink = (28, 62, 140)
RED: Ink = (176, 38, 44)
GREEN: Ink = (22, 104, 66)


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the typeface that Pillow brings along, in this size."""
    return ImageFont.load_default(size=size)


def split_accents(text: str) -> tuple[str, list[tuple[int, str]]]:
    """Return the text without accents, and (position, accent) of those taken off."""
    plain, accents = "", []
    for char in unicodedata.normalize("NFD", text.replace("œ", "oe")):
        if unicodedata.combining(char):
            accents.append((len(plain) - 1, char))
        else:
            plain += char
    return plain, accents


def text_width(text: str, size: int) -> float:
    """Return how wide this text is on paper."""
    return font(size).getlength(split_accents(text)[0])


def wrap(text: str, size: int, width: float) -> list[str]:
    """Break a text into lines that fit the width."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line for line in lines if line]


class Sheet:
    """One page being drawn; `y` is where the next block goes."""

    def __init__(self, paper: Ink = (255, 255, 255)) -> None:
        """Take a blank sheet."""
        self.image = Image.new("RGB", (WIDTH, HEIGHT), paper)
        self.draw = ImageDraw.Draw(self.image)
        self.y: float = MARGIN

    def text(
        self, at: Point, text: str, size: int = 24, *, ink: Ink = BLACK, bold: bool = False
    ) -> None:
        """Write one line with its top left corner here."""
        plain, accents = split_accents(text)
        weight = size / 44 if bold else 0
        self.draw.text(at, plain, fill=ink, font=font(size), stroke_width=weight)
        for position, accent in accents:
            self._accent(at, plain, position, accent, size=size, ink=ink)

    def _accent(
        self, at: Point, plain: str, position: int, accent: str, *, size: int, ink: Ink
    ) -> None:
        """Draw an accent by hand, as the typeface has none."""
        face = font(size)
        left = at[0] + face.getlength(plain[:position])
        box = self.draw.textbbox((left, at[1]), plain[position], font=face)
        middle, unit = (box[0] + box[2]) / 2, size / 24
        strokes = {
            "\N{COMBINING ACUTE ACCENT}": ((-1, -2), (4, -6)),
            "\N{COMBINING GRAVE ACCENT}": ((-4, -6), (1, -2)),
            "\N{COMBINING CIRCUMFLEX ACCENT}": ((-4, -2), (0, -6), (4, -2)),
            "\N{COMBINING CEDILLA}": ((0, 0), (2, 3), (-2, 5)),
        }[accent]
        edge = box[3] if accent == "\N{COMBINING CEDILLA}" else box[1]
        line = [(middle + dx * unit, edge + dy * unit) for dx, dy in strokes]
        self.draw.line(line, fill=ink, width=max(2, round(2 * unit)), joint="curve")

    def centred(
        self, middle: float, y: float, text: str, size: int, *, ink: Ink = BLACK, bold: bool = False
    ) -> None:
        """Write one line around this middle."""
        self.text((middle - text_width(text, size) / 2, y), text, size, ink=ink, bold=bold)

    def heading(self, text: str, size: int = 28, *, ink: Ink = BLACK) -> None:
        """Write a heading and move below it."""
        self.text((MARGIN, self.y), text, size, ink=ink, bold=True)
        self.y += size * 1.7

    def paragraph(
        self,
        text: str,
        size: int = 24,
        *,
        x: float = MARGIN,
        width: float = WIDTH - 2 * MARGIN,
        leading: float = 1.42,
    ) -> None:
        """Write running text and move below it."""
        for line in wrap(text, size, width):
            self.text((x, self.y), line, size)
            self.y += size * leading
        self.y += size * 0.5

    def bullets(self, lines: Sequence[str], size: int = 24, *, marks: str = "dot") -> None:
        """Write a list with dots, numbers or boxes to tick, and move below it."""
        for number, line in enumerate(lines, start=1):
            top = self.y + size * 0.2
            if marks == "number":
                self.text((MARGIN, self.y), f"{number}.", size, bold=True)
            elif marks == "box":
                self.draw.rectangle((MARGIN, top, MARGIN + 22, top + 22), outline=BLACK, width=2)
            else:
                self.draw.ellipse((MARGIN + 6, top + 7, MARGIN + 15, top + 16), fill=BLACK)
            self.paragraph(line, size, x=MARGIN + 48, width=WIDTH - 2 * MARGIN - 48, leading=1.35)

    def columns(self, texts: Sequence[str], size: int = 22) -> None:
        """Set texts side by side and move below the longest."""
        top, gap = self.y, 48
        width = (WIDTH - 2 * MARGIN - gap * (len(texts) - 1)) / len(texts)
        bottoms = []
        for index, text in enumerate(texts):
            self.y = top
            self.paragraph(text, size, x=MARGIN + index * (width + gap), width=width)
            bottoms.append(self.y)
        self.y = max(bottoms)

    def rule(self, *, width: int = 2, ink: Ink = BLACK, after: float = 20) -> None:
        """Draw a line across the page and move below it."""
        self.draw.line((MARGIN, self.y, WIDTH - MARGIN, self.y), fill=ink, width=width)
        self.y += after

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        shares: Sequence[float],
        *,
        style: str = "grid",
        size: int = 23,
        x: float = MARGIN,
        width: float = WIDTH - 2 * MARGIN,
    ) -> None:
        """Draw a table and move below it; style is `grid`, `lines` or `bands`."""
        height, top = size * 1.85, self.y
        edges = [x]
        for share in shares:
            edges.append(edges[-1] + share / sum(shares) * width)
        for index, row in enumerate([header, *rows]):
            y = top + index * height
            self._row_ground((x, y, x + width, y + height), index, style)
            for left, cell in zip(edges, row, strict=False):
                at = (left + 14, y + size * 0.38)
                self.text(at, cell, size, bold=index == 0)
        bottom = top + (len(rows) + 1) * height
        if style == "grid":
            for edge in edges:
                self.draw.line((edge, top, edge, bottom), fill=BLACK, width=2)
        self.draw.line((x, bottom, x + width, bottom), fill=BLACK, width=2)
        self.y = bottom + size

    def _row_ground(self, box: Box, index: int, style: str) -> None:
        """Draw what lies behind a row: shading and the line above it."""
        if style == "bands" and index % 2 == 0:
            self.draw.rectangle(box, fill=PALE)
        if style != "bands" or index < 2:  # the header has a line on both sides
            ink = BLACK if style == "grid" or index < 2 else GREY
            self.draw.line((box[0], box[1], box[2], box[1]), fill=ink, width=2)

    def mark(self, at: Point, size: float, style: int, ink: Ink) -> None:
        """Draw the maker's mark: a gear, a ringed triangle or a stack of bars."""
        x, y = at
        if style == 0:
            self.draw.regular_polygon((x + size / 2, y + size / 2, size / 2), 12, fill=ink)
            hole = size * 0.28
            self.draw.ellipse((x + hole, y + hole, x + size - hole, y + size - hole), fill="white")
        elif style == 1:
            self.draw.ellipse((x, y, x + size, y + size), outline=ink, width=6)
            self.draw.regular_polygon((x + size / 2, y + size / 2, size * 0.34), 3, fill=ink)
        else:
            for step in range(4):
                top = y + step * size / 4
                self.draw.rectangle((x, top, x + size * (1 - step * 0.2), top + size / 7), fill=ink)

    def stamp(self, at: Point, lines: Sequence[str], *, angle: float, ink: Ink) -> None:
        """Press a rubber stamp on the page; what lies below shows through."""
        width = round(max(text_width(line, 34) for line in lines)) + 64
        height = 48 * len(lines) + 36
        small = Sheet()
        small.image = Image.new("RGB", (width, height), "white")
        small.draw = ImageDraw.Draw(small.image)
        small.draw.rounded_rectangle((3, 3, width - 4, height - 4), 14, outline=ink, width=5)
        small.draw.rounded_rectangle((12, 12, width - 13, height - 13), 8, outline=ink, width=2)
        for index, line in enumerate(lines):
            small.centred(width / 2, 16 + 48 * index, line, 34, ink=ink, bold=True)
        turned = small.image.rotate(
            angle, expand=True, fillcolor="white", resample=Image.Resampling.BICUBIC
        )
        layer = Image.new("RGB", self.image.size, "white")
        layer.paste(turned, (round(at[0]), round(at[1])))
        self.image = ImageChops.multiply(self.image, layer)
        self.draw = ImageDraw.Draw(self.image)

    def signature(self, at: Point, rng: random.Random) -> None:
        """Scribble a signature that is no name."""
        (x, y), knots = at, []
        for index in range(15):
            knots.append((x, y + (-1) ** index * rng.randrange(6, 34 - 2 * index + 8)))
            x += rng.randrange(8, 34)
        self.draw.line(_smooth(knots), fill=BLUE, width=4, joint="curve")


def _smooth(knots: Sequence[Point]) -> list[Point]:
    """Return the points of a flowing line that follows the knots."""
    middles = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairwise(knots)]
    points = []
    for start, knot, end in zip(middles, knots[1:], middles[1:], strict=False):
        for step in range(8):
            t = step / 8  # a quadratic curve from middle to middle, pulled toward the knot
            points.append(
                tuple(
                    (1 - t) ** 2 * a + 2 * t * (1 - t) * k + t**2 * b
                    for a, k, b in zip(start, knot, end, strict=True)
                )
            )
    return points
