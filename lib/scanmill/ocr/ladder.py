"""Give poorly read pages second chances, one rung after the other; the best reading wins."""

import dataclasses
import itertools
import math
import statistics
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from scanmill import sandbox
from scanmill.models import (
    EVEN_CONFIDENCE,
    Box,
    EngineInfo,
    Raster,
    Recognition,
    Way,
    Word,
    worth,
)
from scanmill.ocr import tessdata
from scanmill.ocr.engine import OcrEngine, Reading
from scanmill.ocr.pixels import opened
from scanmill.settings import Settings

Affine = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): the point (x, y) of a changed picture lies at (ax+by+c, dx+ey+f) before."""

_SAME: Affine = (1, 0, 0, 0, 1, 0)

WORD_HEIGHT_PX = 30
"""Word boxes of about this height hold letters of 22 px, which Tesseract reads best."""

_MIN_FACTOR, _MAX_FACTOR = 1.5, 3.0
_BLIND_FACTOR, _COARSE_PIXELS = 2.0, 1_500_000  # an A4 page of 120 dpi
_MAX_PIXELS = 50_000_000
_MIN_SKEW, _MAX_SKEW = 0.5, 8.0
_FEW_WORDS = 10
_FAINT = 70  # on 40 scans, thicker strokes were of use below it, and of none above
_DOUBTED = 65  # below it nearly half of the words are wrong: the layout may be, too
_FEWER = 0.5  # of the words so far: what a reading must have that is mostly wrong, too
_ONE_BLOCK = 6  # the segmentation mode of a page without columns, as receipts are
_SKETCH_PX = 800


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One more way to read a page."""

    picture: Image.Image | None = None
    """The page, changed; None: as it was read last."""
    back: Affine = _SAME
    """From the changed picture to the one it was made of."""
    psm: int | None = None
    languages: str | None = None
    is_turned: bool = False
    """Whether it has to be more right than wrong to be believed: most pages stand upright."""


@dataclasses.dataclass(slots=True)
class _Page:
    """The best reading of a page so far, the raster it came from, and every way tried."""

    original: Raster
    raster: Raster
    best: Recognition
    seconds: float
    """What its first reading took."""
    rescue_seconds: float = 0.0
    tries: int = 0
    ways: list[str] = dataclasses.field(default_factory=lambda: ["plain"])
    back: Affine = _SAME

    def consider(self, way: str, trial: Trial, raster: Raster, reading: Reading) -> None:
        """Keep a reading if it is better; any is noted as tried."""
        if isinstance(reading, Recognition):
            self.rescue_seconds += reading.seconds
        if isinstance(reading, Recognition) and self._is_better(reading, trial):
            self.raster, self.best = raster, reading
            self.back = trial.back
            self.ways = [*(tried for tried in self.ways if tried != way), way]
        elif way not in self.ways:
            self.ways.insert(0, way)

    def _is_better(self, reading: Recognition, trial: Trial) -> bool:
        gained = score(reading)
        if gained <= 0:  # mostly wrong: then a few lucky words prove nothing, nor does a turn
            has_words = len(reading.words) >= _FEWER * len(self.best.words)
            return has_words and not trial.is_turned and gained > score(self.best)
        return gained > score(self.best)

    @property
    def result(self) -> Recognition:
        """The best reading, its words where they stand on the original."""
        words = self.best.words
        if self.back != _SAME:
            words = tuple(_put_back(word, self.back, self.original) for word in words)
        return dataclasses.replace(
            self.best,
            words=words,
            seconds=self.seconds + self.rescue_seconds,
            rescue_seconds=self.rescue_seconds,
            attempts=tuple(self.ways),
        )


Lever = Callable[[_Page], Iterable[Trial]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Rung:
    """A way to read pages of a lower mean confidence than this once more."""

    way: str
    lever: Lever
    engine: OcrEngine
    below: float

    def wants(self, page: _Page) -> bool:
        """Tell whether a page reads poorly enough."""
        return page.best.mean_confidence < self.below


@dataclasses.dataclass(frozen=True)
class Ladder:
    """An engine that reads poor pages again; it is one itself."""

    engine: OcrEngine
    other: OcrEngine | None
    """Another engine for poor pages, if there is one."""
    settings: Settings

    @property
    def info(self) -> EngineInfo:
        """What reads first."""
        return self.engine.info

    @property
    def languages(self) -> list[str]:
        """The languages that the first engine could read."""
        return self.engine.languages

    def recognize(
        self, rasters: Sequence[Raster], *, psm: int | None = None, languages: str | None = None
    ) -> list[Reading]:
        """Read pages, and those of low mean confidence again: a rung is one call for them all."""
        readings = self.engine.recognize(rasters, psm=psm, languages=languages)
        pages = {
            index: _Page(raster, raster, reading, reading.seconds)
            for index, (raster, reading) in enumerate(zip(rasters, readings, strict=True))
            if isinstance(reading, Recognition)
        }
        rungs, size = self._rungs(), self.settings.chunk_pages
        poor = [page for page in pages.values() if any(rung.wants(page) for rung in rungs)]
        for start in range(0, len(poor), size):  # changed pictures take room, on the disk too
            _climb(rungs, poor[start : start + size], most_tries=self.settings.rescue_tries)
        return [pages[i].result if i in pages else reading for i, reading in enumerate(readings)]

    def _rungs(self) -> list[_Rung]:
        """Return the rungs that are wanted, from the bottom up."""
        levers: dict[Way, Lever] = {
            Way.ROTATED: _turned,
            Way.RESCALED: _rescaled,
            Way.DESKEWED: _straightened,
            Way.THICKENED: _thickened,
            Way.SEGMENTED: _as_one_block,
            Way.LANGUAGE: self._in_one_language,
        }
        below = self.settings.rescue_confidence
        rungs = [
            _Rung(way, lever, self.engine, below)
            for way, lever in levers.items()
            if way in self.settings.rescue_ways
        ]
        if self.other:  # once the page is upright: it makes most of what follows needless
            limit = self.settings.rescue_engine_confidence
            after = sum(rung.way == Way.ROTATED for rung in rungs)
            rungs.insert(after, _Rung(self.other.info.name, _unchanged, self.other, limit))
        return rungs

    def _in_one_language(self, _: _Page) -> Iterator[Trial]:
        """Yield the page for each language of the collection alone, if it has several."""
        languages = tessdata.split(self.settings.ocr_languages)
        if len(languages) > 1:
            yield from (Trial(languages=language) for language in languages)


def _climb(rungs: Sequence[_Rung], pages: Sequence[_Page], *, most_tries: int) -> None:
    """Try one rung after the other on some pages, each as long as it may cost more."""
    with sandbox.scratch() as work:
        for rung in rungs:
            attempts = []
            for page in filter(rung.wants, pages):
                for trial in itertools.islice(rung.lever(page), most_tries - page.tries):
                    page.tries += 1
                    attempts.append(_Attempt.of(page, trial, work))
            _read(rung, attempts)


@dataclasses.dataclass(frozen=True, slots=True)
class _Attempt:
    """A trial of a page, its picture written."""

    page: _Page
    raster: Raster
    trial: Trial
    """Without its picture; its way back leads to the original."""

    @classmethod
    def of(cls, page: _Page, trial: Trial, work: Path) -> "_Attempt":
        """Write the picture of a trial, which starts from the page's best raster so far."""
        raster = page.raster if trial.picture is None else _written(trial.picture, work)
        back = _chained(trial.back, page.back)
        return cls(page, raster, dataclasses.replace(trial, picture=None, back=back))


def _read(rung: _Rung, attempts: Sequence[_Attempt]) -> None:
    """Read pages once more; attempts of a kind share a call."""

    def kind(attempt: _Attempt) -> tuple[int, str]:
        return attempt.trial.psm or 0, attempt.trial.languages or ""

    for _, group in itertools.groupby(sorted(attempts, key=kind), key=kind):
        some = list(group)
        rasters, first = [attempt.raster for attempt in some], some[0].trial
        readings = rung.engine.recognize(rasters, psm=first.psm, languages=first.languages)
        for attempt, reading in zip(some, readings, strict=True):
            attempt.page.consider(rung.way, attempt.trial, attempt.raster, reading)


def score(reading: Recognition) -> float:
    """Return the worth of a reading: above 0 when its words are surely more right than wrong."""
    return worth(mean_confidence=reading.mean_confidence, word_count=len(reading.words))


# --- the rungs -----------------------------------------------------------------------------------


def _turned(page: _Page) -> Iterator[Trial]:
    """Yield the page upside down, and on its sides where hardly any word was found."""
    if page.best.mean_confidence >= EVEN_CONFIDENCE:
        return
    picture = opened(page.raster)
    width, height = picture.size
    turns: list[tuple[Image.Transpose, Affine]] = [
        (Image.Transpose.ROTATE_180, (-1, 0, width, 0, -1, height))
    ]
    if len(page.best.words) < _FEW_WORDS:
        turns += [
            (Image.Transpose.ROTATE_90, (0, -1, width, 1, 0, 0)),
            (Image.Transpose.ROTATE_270, (0, 1, 0, -1, 0, height)),
        ]
    for turn, back in turns:
        yield Trial(picture=picture.transpose(turn), back=back, is_turned=True)


def _rescaled(page: _Page) -> Iterator[Trial]:
    """Yield the page with letters of the height that is read best, if they are much smaller."""
    factor = _fitting(page)
    if factor >= _MIN_FACTOR:
        picture, back = _resized(page, factor)
        yield Trial(picture=picture, back=back)


def _resized(page: _Page, factor: float) -> tuple[Image.Image, Affine]:
    width, height = page.raster.width_px, page.raster.height_px
    size = (round(width * factor), round(height * factor))
    picture = opened(page.raster).resize(size, Image.Resampling.BICUBIC)
    return picture, (width / size[0], 0, 0, 0, height / size[1], 0)


def _fitting(page: _Page) -> float:
    """Return by how much a page should grow, within what is of use and what there is room for."""
    pixels = page.raster.width_px * page.raster.height_px
    return min(_factor(page), _MAX_FACTOR, math.sqrt(_MAX_PIXELS / pixels))


def _factor(page: _Page) -> float:
    if len(page.best.words) >= _FEW_WORDS:
        return WORD_HEIGHT_PX / statistics.median(word.height_px for word in page.best.words)
    # Nothing to measure. Only a coarse scan may hold letters too small to be found; on a fine one
    # that is all noise, blowing it up costs a minute.
    is_coarse = page.raster.width_px * page.raster.height_px < _COARSE_PIXELS
    return _BLIND_FACTOR if is_coarse else 1.0


def _straightened(page: _Page) -> Iterator[Trial]:
    """Yield the page turned by its skew, if it has any."""
    picture = opened(page.raster)
    angle = skew(picture)
    if abs(angle) >= _MIN_SKEW:
        straight = picture.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255)
        yield Trial(picture=straight, back=_rotation(angle, picture.size))


def _thickened(page: _Page) -> Iterator[Trial]:
    """Yield the page with thicker strokes, as one block: faint print falls to pieces without."""
    if page.best.mean_confidence >= _FAINT:
        return
    picture, back = _resized(page, max(1.0, _fitting(page)))
    thick = picture.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.GaussianBlur(1))
    yield Trial(picture=thick, back=back, psm=_ONE_BLOCK)


def _as_one_block(page: _Page) -> Iterator[Trial]:
    """Yield a page of doubtful layout to be read as one block of lines."""
    if page.best.mean_confidence < _DOUBTED:
        yield Trial(psm=_ONE_BLOCK)


def _unchanged(_: _Page) -> Iterator[Trial]:
    """Yield the page as it reads best so far, for another engine."""
    yield Trial()


def skew(picture: Image.Image) -> float:
    """Return the angle in degrees that sets a page straight: where its rows of ink are sharpest."""
    sketch = picture.copy()
    sketch.thumbnail((_SKETCH_PX, _SKETCH_PX), Image.Resampling.BOX)
    grey = np.asarray(sketch)
    ink = Image.fromarray(np.where(grey < grey.mean() - grey.std() / 2, 255, 0).astype(np.uint8))

    def sharpness(angle: float) -> float:
        rows = np.asarray(ink.rotate(angle)).sum(axis=1, dtype=np.float64)
        return float(np.square(np.diff(rows)).sum())

    coarse = max(np.arange(-_MAX_SKEW, _MAX_SKEW + 1), key=sharpness)
    return float(max(np.arange(coarse - 1, coarse + 1.01, 0.25), key=sharpness))


# --- pictures and places -------------------------------------------------------------------------


def _written(picture: Image.Image, work: Path) -> Raster:
    path = work / f"{uuid.uuid4().hex}.pgm"
    picture.save(path, "PPM")
    return Raster(path=str(path), width_px=picture.width, height_px=picture.height)


def _rotation(degrees: float, size: tuple[int, int]) -> Affine:
    """Return the way back from `Image.rotate`, which turns about the middle and keeps the size."""
    turn = -math.radians(degrees)
    cosine, sine = math.cos(turn), math.sin(turn)
    x, y = size[0] / 2, size[1] / 2
    return cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y


def _chained(first: Affine, then: Affine) -> Affine:
    """Return the affine map that does one after the other."""
    a, b, c, d, e, f = first
    g, h, i, j, k, m = then
    return (
        *(g * a + h * d, g * b + h * e, g * c + h * f + i),
        *(j * a + k * d, j * b + k * e, j * c + k * f + m),
    )


def _put_back(word: Word, back: Affine, page: Raster) -> Word:
    """Return a word with the upright box around its place on the original page."""
    a, b, c, d, e, f = back
    left, top, right, bottom = word.box
    corners = list(itertools.product((left, right), (top, bottom)))
    across = [min(max(a * x + b * y + c, 0), page.width_px) for x, y in corners]
    down = [min(max(d * x + e * y + f, 0), page.height_px) for x, y in corners]
    box: Box = (
        math.floor(min(across)),
        math.floor(min(down)),
        math.ceil(max(across)),
        math.ceil(max(down)),
    )
    return dataclasses.replace(word, box=box)
