"""The report's pictures as numbers: where every bar begins and how long it is."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scanmill.report.words import fates

if TYPE_CHECKING:
    from scanmill.report import ReportData

_WIDTH = 1000.0
_LEAST = 6.0
"""A fate with one page in a million is still to be seen."""

BIN = 5
HEIGHT = 190.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One fate in a bar of the books."""

    fate: str
    count: int
    left: float
    width: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One line of the law of accounts: a total, and what it is made of."""

    noun: str
    total: int
    total_word: str
    segments: tuple[Segment, ...]

    @property
    def accounted(self) -> int:
        """The sum of the fates."""
        return sum(segment.count for segment in self.segments)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar of the histogram, from `low` up to the next."""

    low: int
    count: int
    left: float
    top: float
    height: float
    is_below_floor: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How many pages were read with which confidence."""

    bars: tuple[Bar, ...]
    most: int
    floor: float | None
    pages: int
    median: float


def balances(data: "ReportData") -> tuple[Balance, Balance]:
    """Return the two lines of the law for this batch."""
    return (
        _balance(fates(data.images), noun="image", total=data.images_planned, total_word="planned"),
        _balance(fates(data.pages), noun="page", total=data.pages_found, total_word="found"),
    )


def histogram(confidences: Sequence[float], *, floor: float | None) -> Histogram | None:
    """Return the histogram of confidences in steps of five, or None without any page."""
    if not confidences:
        return None
    counts = [0] * (100 // BIN)
    for confidence in confidences:
        counts[min(max(int(confidence // BIN), 0), len(counts) - 1)] += 1
    most = max(counts)
    bars = tuple(
        _bar(index * BIN, count, most=most, floor=floor) for index, count in enumerate(counts)
    )
    middle = sorted(confidences)[math.ceil(len(confidences) / 2) - 1]
    return Histogram(bars=bars, most=most, floor=floor, pages=len(confidences), median=middle)


def _balance(
    present: Sequence[tuple[str, int]], *, noun: str, total: int, total_word: str
) -> Balance:
    widths = _widths([count for _, count in present])
    segments, left = [], 0.0
    for (fate, count), width in zip(present, widths, strict=True):
        segments.append(Segment(fate=fate, count=count, left=round(left, 2), width=width))
        left += width
    return Balance(noun=noun, total=total, total_word=total_word, segments=tuple(segments))


def _widths(counts: Sequence[int]) -> list[float]:
    raised = [max(_WIDTH * count / sum(counts), _LEAST) for count in counts]
    return [round(_WIDTH * width / sum(raised), 2) for width in raised]


def _bar(low: int, count: int, *, most: int, floor: float | None) -> Bar:
    height = max(HEIGHT * count / most, 2.0) if count else 0.0
    return Bar(
        low=low,
        count=count,
        left=low * _WIDTH / 100,
        top=round(HEIGHT - height, 2),
        height=round(height, 2),
        is_below_floor=floor is not None and low < floor,
    )
