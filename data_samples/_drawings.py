"""Line drawings of machines: enough to look at, never enough to build from."""

import random
from collections.abc import Callable
from itertools import pairwise

from _paper import BLACK, GREY, Box, Ink, Point, Sheet


def machine(sheet: Sheet, box: Box, shape: str, rng: random.Random) -> list[Point]:
    """Draw a machine of this shape in the box and return points worth a balloon."""
    return SHAPES[shape](sheet, box, rng)


def hatch(sheet: Sheet, box: Box, step: int = 12, ink: Ink = BLACK) -> None:
    """Fill a box with the slanted lines of a cut through metal."""
    left, top, right, bottom = box
    sheet.draw.rectangle(box, outline=ink, width=3)
    start = left - (bottom - top)
    while start < right:
        low = max(left, start)
        high = min(right, start + (bottom - top))
        if high > low:
            line = (low, bottom - (low - start), high, bottom - (high - start))
            sheet.draw.line(line, fill=ink, width=1)
        start += step


def centre_line(sheet: Sheet, start: Point, end: Point) -> None:
    """Draw the dash-dot line of an axis, level or upright."""
    (x0, y0), (x1, y1) = start, end
    length, at = max(x1 - x0, y1 - y0), 0.0
    across = x1 - x0 > y1 - y0
    for dash in (34, 6) * int(length // 56 + 1):
        stop = min(at + dash, length)
        line = (x0 + at, y0, x0 + stop, y0) if across else (x0, y0 + at, x0, y0 + stop)
        sheet.draw.line(line, fill=GREY, width=2)
        at = stop + 8
        if at >= length:
            return


def dimension(sheet: Sheet, start: Point, length: float, value: str) -> None:
    """Draw a level dimension line with its arrows and its value."""
    x, y = start
    sheet.draw.line((x, y, x + length, y), fill=BLACK, width=2)
    for tip, back in ((x, 14), (x + length, -14)):
        sheet.draw.polygon([(tip, y), (tip + back, y - 5), (tip + back, y + 5)], fill=BLACK)
        sheet.draw.line((tip, y - 16, tip, y + 16), fill=BLACK, width=2)
    sheet.centred(x + length / 2, y - 30, value, 20)


def balloons(sheet: Sheet, box: Box, points: list[Point]) -> None:
    """Number the points in circles along both sides of the box, with leader lines."""
    middle = (box[0] + box[2]) / 2
    left = sorted((point for point in points if point[0] < middle), key=lambda point: point[1])
    right = sorted((point for point in points if point[0] >= middle), key=lambda point: point[1])
    number = 1
    for side, x in ((left, box[0] - 44), (right, box[2] + 44)):
        for index, (px, py) in enumerate(side):
            y = box[1] + (index + 0.5) * (box[3] - box[1]) / len(side)
            sheet.draw.line((x, y, px, py), fill=BLACK, width=2)
            sheet.draw.ellipse((px - 5, py - 5, px + 5, py + 5), fill=BLACK)
            sheet.draw.ellipse(
                (x - 26, y - 26, x + 26, y + 26), fill="white", outline=BLACK, width=3
            )
            sheet.centred(x, y - 14, str(number), 24, bold=True)
            number += 1


def curve(sheet: Sheet, box: Box, rng: random.Random) -> None:
    """Draw a chart with three falling curves, as pumps and fans have them."""
    left, top, right, bottom = box
    for step in range(1, 6):
        x = left + step * (right - left) / 6
        y = top + step * (bottom - top) / 6
        sheet.draw.line((x, top, x, bottom), fill=(200, 204, 210), width=1)
        sheet.draw.line((left, y, right, y), fill=(200, 204, 210), width=1)
    sheet.draw.line((left, top, left, bottom, right, bottom), fill=BLACK, width=3)
    sheet.text((left + 12, top), "head", 20)
    sheet.text((right - 44, bottom - 28), "flow", 20)
    for start in (0.12, 0.3, 0.48):
        fall, reach = rng.uniform(0.28, 0.42), rng.uniform(0.75, 0.95)
        ground, across = bottom - top, right - left
        points = [
            (left + across * reach * t / 20, top + ground * (start + fall * (t / 20) ** 2))
            for t in range(21)
        ]
        sheet.draw.line(points, fill=BLACK, width=3, joint="curve")


def _rotor(sheet: Sheet, box: Box, rng: random.Random) -> list[Point]:
    """A cut through a shaft with its discs, bearings and casing."""
    left, top, right, bottom = box
    wide, middle = right - left, (top + bottom) / 2
    tall = bottom - top
    casing = (left + wide * 0.26, top + tall * 0.06, left + wide * 0.74, bottom - tall * 0.06)
    thick = tall * 0.09
    hatch(sheet, (casing[0], casing[1], casing[2], casing[1] + thick))
    hatch(sheet, (casing[0], casing[3] - thick, casing[2], casing[3]))
    for x in (casing[0], casing[2] - thick):
        hatch(sheet, (x, casing[1] + thick, x + thick, middle - tall * 0.1), 9)
        hatch(sheet, (x, middle + tall * 0.1, x + thick, casing[3] - thick), 9)
    points = [(casing[0] + 40, casing[1] + 14), (casing[2] - 40, casing[3] - 14)]
    half = tall * 0.055
    sheet.draw.rectangle((left, middle - half, right, middle + half), outline=BLACK, width=3)
    count, inside = rng.randrange(2, 5), casing[2] - casing[0] - 2 * thick
    for index in range(count):
        x = casing[0] + thick + inside * (index + 0.5) / count - wide * 0.0275
        reach = tall * rng.uniform(0.2, 0.33)
        disc = (x, middle - reach, x + wide * 0.055, middle + reach)
        sheet.draw.rectangle(disc, fill="white", outline=BLACK, width=3)
        sheet.draw.line((disc[0], middle - half, disc[2], middle - half), fill=BLACK, width=2)
        sheet.draw.line((disc[0], middle + half, disc[2], middle + half), fill=BLACK, width=2)
        points.append((x + wide * 0.028, middle + (1 if index % 2 else -1) * reach * 0.8))
    for x in (left + wide * 0.13, right - wide * 0.19):
        for sign in (-1, 1):
            y = middle + sign * (half + tall * 0.07)
            bearing = (x, y - tall * 0.07, x + wide * 0.06, y + tall * 0.07)
            sheet.draw.rectangle(bearing, fill="white", outline=BLACK, width=3)
            sheet.draw.line(bearing, fill=BLACK, width=2)
            sheet.draw.line((bearing[0], bearing[3], bearing[2], bearing[1]), fill=BLACK, width=2)
        points.append((x + wide * 0.03, middle - half - tall * 0.1))
    hatch(sheet, (left + wide * 0.02, middle - tall * 0.16, left + wide * 0.06, middle - half), 8)
    hatch(sheet, (left + wide * 0.02, middle + half, left + wide * 0.06, middle + tall * 0.16), 8)
    points.append((left + wide * 0.04, middle + tall * 0.13))
    centre_line(sheet, (left - 20, middle), (right + 20, middle))
    return points


def _frame(sheet: Sheet, box: Box, rng: random.Random) -> list[Point]:
    """A front view of a frame with columns, braces, rollers and a drive."""
    left, top, right, bottom = box
    wide, tall = right - left, bottom - top
    floor = bottom - tall * 0.08
    hatch(sheet, (left, floor, right, bottom), 16)
    columns = [left + wide * share for share in (0.1, 0.36, 0.62, 0.88)]
    deck = top + tall * rng.uniform(0.26, 0.36)
    for x in columns:
        sheet.draw.rectangle((x - 12, deck, x + 12, floor), fill="white", outline=BLACK, width=3)
        sheet.draw.rectangle((x - 30, floor - 12, x + 30, floor), fill=BLACK)
    for first, second in pairwise(columns):
        sheet.draw.line((first + 12, floor - 14, second - 12, deck + 30), fill=BLACK, width=4)
        sheet.draw.line((first + 12, deck + 30, second - 12, floor - 14), fill=BLACK, width=2)
    beam = (left + wide * 0.04, deck, right - wide * 0.04, deck + 26)
    sheet.draw.rectangle(beam, fill="white", outline=BLACK, width=3)
    count, radius = rng.randrange(6, 10), tall * 0.06
    points = [(columns[0], floor - tall * 0.3), (columns[3], floor - tall * 0.2)]
    for index in range(count):
        x = beam[0] + radius + index * (beam[2] - beam[0] - 2 * radius) / (count - 1)
        y = deck - radius
        sheet.draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=BLACK, width=3)
        sheet.draw.ellipse((x - 5, y - 5, x + 5, y + 5), outline=BLACK, width=2)
        if index % 3 == 1:
            points.append((x, y - radius * 0.6))
    drive = right - wide * rng.uniform(0.32, 0.42)
    motor = (drive, top, drive + wide * 0.2, deck - 2.6 * radius)
    sheet.draw.rounded_rectangle(motor, 12, outline=BLACK, width=3)
    for step in range(1, 7):
        x = motor[0] + step * (motor[2] - motor[0]) / 7
        sheet.draw.line((x, motor[1] + 10, x, motor[3] - 10), fill=BLACK, width=2)
    points.append((motor[0] + 20, (motor[1] + motor[3]) / 2))
    points.append(((columns[1] + columns[2]) / 2, (floor + deck + 16) / 2))
    return points


def _valve(sheet: Sheet, box: Box, rng: random.Random) -> list[Point]:
    """A cut through a body with flanges, a stem and a wheel on top."""
    left, top, right, bottom = box
    wide, tall = right - left, bottom - top
    x, pipe = (left + right) / 2, bottom - tall * 0.24
    bore = tall * rng.uniform(0.08, 0.11)
    body = wide * rng.uniform(0.16, 0.2)
    for sign in (-1, 1):
        tube = sorted((x + sign * body * 0.5, x + sign * wide * 0.4))
        flange = sorted((x + sign * wide * 0.4, x + sign * wide * 0.46))
        hatch(sheet, (tube[0], pipe - bore - 20, tube[1], pipe - bore))
        hatch(sheet, (tube[0], pipe + bore, tube[1], pipe + bore + 20))
        hatch(sheet, (flange[0], pipe - bore - 64, flange[1], pipe - bore), 8)
        hatch(sheet, (flange[0], pipe + bore, flange[1], pipe + bore + 64), 8)
    hatch(sheet, (x - body * 0.5, pipe - bore - 60, x - body * 0.3, pipe + bore + 40))
    hatch(sheet, (x + body * 0.3, pipe - bore - 60, x + body * 0.5, pipe + bore + 40))
    wedge = [
        (x - 40, pipe - bore),
        (x + 40, pipe - bore),
        (x + 24, pipe + bore),
        (x - 24, pipe + bore),
    ]
    sheet.draw.polygon(wedge, fill="white", outline=BLACK, width=3)
    neck = pipe - bore - 60
    hatch(sheet, (x - body * 0.7, neck - 30, x + body * 0.7, neck))
    yoke = top + tall * 0.16
    sheet.draw.line((x - body * 0.45, neck - 30, x - body * 0.2, yoke), fill=BLACK, width=4)
    sheet.draw.line((x + body * 0.45, neck - 30, x + body * 0.2, yoke), fill=BLACK, width=4)
    sheet.draw.rectangle(
        (x - 11, top + 20, x + 11, pipe - bore), fill="white", outline=BLACK, width=3
    )
    for y in range(round(yoke), round(neck - 40), 12):
        sheet.draw.line((x - 11, y, x + 11, y + 8), fill=BLACK, width=2)
    wheel = wide * 0.2
    sheet.draw.rounded_rectangle(
        (x - wheel, yoke - 26, x + wheel, yoke), 12, fill="white", outline=BLACK, width=4
    )
    centre_line(sheet, (x, top), (x, bottom))
    centre_line(sheet, (left, pipe), (right, pipe))
    return [
        (x - wheel + 16, yoke - 12),
        (x + 12, (yoke + neck) / 2),
        (x + body * 0.6, neck - 14),
        (x - body * 0.4, pipe - bore - 30),
        (x - 16, pipe + bore * 0.4),
        (x + wide * 0.3, pipe + bore + 10),
        (x - wide * 0.43, pipe + bore + 40),
    ]


SHAPES: dict[str, Callable[[Sheet, Box, random.Random], list[Point]]] = {
    "rotor": _rotor,
    "frame": _frame,
    "valve": _valve,
}
