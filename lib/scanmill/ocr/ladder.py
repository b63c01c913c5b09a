"""Give poorly read pages second chances, one rung after the other; the best reading wins."""

import dataclasses
import itertools
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from scanmill import sandbox
from scanmill.models import EngineInfo, Raster, Recognition, Way, worth
from scanmill.ocr import levers, tessdata
from scanmill.ocr.affine import UNCHANGED, Affine
from scanmill.ocr.engine import OcrEngine, Reading
from scanmill.ocr.levers import Lever, Trial
from scanmill.settings import Settings

_FEWER = 0.5  # of the words so far: what a reading must have that is mostly wrong, too


@dataclasses.dataclass(slots=True)
class _Page:
    """The best reading of a page so far, the raster it came from, and every way tried."""

    original: Raster
    raster: Raster
    best: Recognition
    seconds: float
    """What its first reading took."""
    rescue_seconds: float = 0.0
    tried: set[tuple[str, Raster, int | None, str | None]] = dataclasses.field(default_factory=set)
    """The engine, the picture, the segmentation and the languages of every second chance."""
    ways: list[str] = dataclasses.field(default_factory=lambda: ["plain"])
    back: Affine = UNCHANGED

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
        if self.back != UNCHANGED:
            words = tuple(
                dataclasses.replace(word, box=self.back.box_around(word.box, self.original))
                for word in words
            )
        return dataclasses.replace(
            self.best,
            words=words,
            seconds=self.seconds + self.rescue_seconds,
            rescue_seconds=self.rescue_seconds,
            attempts=tuple(self.ways),
        )


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
        by_way: dict[Way, Lever] = {
            Way.ROTATED: levers.turned,
            Way.RESCALED: levers.rescaled,
            Way.DESKEWED: levers.straightened,
            Way.THICKENED: levers.thickened,
            Way.SEGMENTED: levers.as_one_block,
            Way.LANGUAGE: levers.in_each_of(tessdata.split(self.settings.ocr_languages)),
        }
        below = self.settings.rescue_confidence
        rungs = [
            _Rung(way, lever, self.engine, below)
            for way, lever in by_way.items()
            if way in self.settings.rescue_ways
        ]
        if self.other:  # once the page is upright: it makes most of what follows needless
            limit = self.settings.rescue_engine_confidence
            after = sum(rung.way == Way.ROTATED for rung in rungs)
            rungs.insert(after, _Rung(self.other.info.name, levers.unchanged, self.other, limit))
        return rungs


def _climb(rungs: Sequence[_Rung], pages: Sequence[_Page], *, most_tries: int) -> None:
    """Try one rung after the other on some pages, each as long as it may cost more."""
    with sandbox.scratch() as work:
        for rung in rungs:
            poor = filter(rung.wants, pages)
            _read(rung, [one for page in poor for one in _attempts(rung, page, work, most_tries)])


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
        back = trial.back.then(page.back)
        return cls(page, raster, dataclasses.replace(trial, picture=None, back=back))


def _attempts(rung: _Rung, page: _Page, work: Path, most_tries: int) -> Iterator[_Attempt]:
    """Yield what a page has not been tried as yet, as long as it may cost more."""
    trials = rung.lever(page.raster, page.best)
    for trial in itertools.islice(trials, most_tries - len(page.tried)):
        attempt = _Attempt.of(page, trial, work)
        key = rung.engine.info.name, attempt.raster, trial.psm, trial.languages
        if key not in page.tried:
            page.tried.add(key)
            yield attempt


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


def _written(picture: Image.Image, work: Path) -> Raster:
    path = work / f"{uuid.uuid4().hex}.pgm"
    picture.save(path, "PPM")
    return Raster(path=str(path), width_px=picture.width, height_px=picture.height)
