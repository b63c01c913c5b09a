"""Give poorly read pages a second chance: turned, rescaled, set straight; the best one wins."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from scanmill.models import EVEN_CONFIDENCE, Raster, Recognition, SetAside, worth

Reading = Recognition | SetAside
Read = Callable[[Sequence[Raster]], list[Reading]]

WORD_HEIGHT_PX = 30
"""Word boxes of about this height hold letters of 22 px, which Tesseract reads best."""

_MIN_FACTOR, _MAX_FACTOR = 1.5, 3.0
_BLIND_FACTOR, _COARSE_PIXELS = 2.0, 1_500_000  # an A4 page of 120 dpi
_MAX_PIXELS = 50_000_000
_MIN_SKEW, _MAX_SKEW = 0.5, 8.0
_FEW_WORDS = 10
_SKETCH_PX = 800


@dataclasses.dataclass(slots=True)
class _Attempts:
    """The best reading of a page so far, the raster it came from, and every way tried."""

    raster: Raster
    best: Recognition
    ways: list[str]
    seconds: float

    def consider(self, way: str, raster: Raster, reading: Reading) -> None:
        """Keep a reading if it is better and more right than wrong; any is noted as tried."""
        if isinstance(reading, Recognition):
            self.seconds += reading.seconds
        if isinstance(reading, Recognition) and score(reading) > max(0, score(self.best)):
            self.raster, self.best = raster, reading
            self.ways = [*(tried for tried in self.ways if tried != way), way]
        elif way not in self.ways:
            self.ways.insert(0, way)

    @property
    def result(self) -> Recognition:
        return dataclasses.replace(self.best, seconds=self.seconds, attempts=tuple(self.ways))


def read_with_second_chance(
    rasters: Sequence[Raster], *, read: Read, below: float, work: Path
) -> list[Reading]:
    """Read pages, and again those of low mean confidence: each way is one call for all of them."""
    readings = read(rasters)
    attempts = {
        index: _Attempts(raster, reading, ["plain"], reading.seconds)
        for index, (raster, reading) in enumerate(zip(rasters, readings, strict=True))
        if isinstance(reading, Recognition)
    }
    for way, lever in (("rotated", _turned), ("rescaled", _rescaled), ("deskewed", _straightened)):
        poor = [page for page in attempts.values() if mean_confidence(page.best) < below]
        trials = [
            (page, _saved(picture, work / f"{way}-{id(page)}-{number}.pgm"))
            for page in poor
            for number, picture in enumerate(lever(page))
        ]
        for (page, raster), reading in zip(trials, read([r for _, r in trials]), strict=True):
            page.consider(way, raster, reading)
    return [attempts[i].result if i in attempts else reading for i, reading in enumerate(readings)]


def mean_confidence(reading: Recognition) -> float:
    """Return the mean word confidence, 0 without words."""
    return statistics.fmean(word.confidence for word in reading.words) if reading.words else 0.0


def score(reading: Recognition) -> float:
    """Return the worth of a reading: above 0 when its words are surely more right than wrong."""
    return worth(mean_confidence=mean_confidence(reading), word_count=len(reading.words))


def _turned(page: _Attempts) -> Iterator[Image.Image]:
    """Yield the page upside down, and on its sides where hardly any word was found."""
    if mean_confidence(page.best) >= EVEN_CONFIDENCE:
        return
    picture = _opened(page)
    yield picture.transpose(Image.Transpose.ROTATE_180)
    if len(page.best.words) < _FEW_WORDS:
        yield picture.transpose(Image.Transpose.ROTATE_90)
        yield picture.transpose(Image.Transpose.ROTATE_270)


def _rescaled(page: _Attempts) -> Iterator[Image.Image]:
    """Yield the page with letters of the height that is read best, if they are much smaller."""
    pixels = page.raster.width_px * page.raster.height_px
    factor = min(_factor(page, pixels), _MAX_FACTOR, math.sqrt(_MAX_PIXELS / pixels))
    if factor >= _MIN_FACTOR:
        size = (round(page.raster.width_px * factor), round(page.raster.height_px * factor))
        yield _opened(page).resize(size, Image.Resampling.BICUBIC)


def _factor(page: _Attempts, pixels: int) -> float:
    if len(page.best.words) >= _FEW_WORDS:
        return WORD_HEIGHT_PX / statistics.median(word.height_px for word in page.best.words)
    # Nothing to measure. Only a coarse scan may hold letters too small to be found; on a fine one
    # that is all noise, blowing it up costs a minute.
    return _BLIND_FACTOR if pixels < _COARSE_PIXELS else 1.0


def _straightened(page: _Attempts) -> Iterator[Image.Image]:
    """Yield the page turned by its skew, if it has any."""
    picture = _opened(page)
    angle = skew(picture)
    if abs(angle) >= _MIN_SKEW:
        yield picture.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255)


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


def _opened(page: _Attempts) -> Image.Image:
    with Image.open(page.raster.path, formats=["PPM"]) as picture:
        picture.load()
        return picture


def _saved(picture: Image.Image, path: Path) -> Raster:
    picture.save(path, "PPM")
    return Raster(path=str(path), width_px=picture.width, height_px=picture.height)
