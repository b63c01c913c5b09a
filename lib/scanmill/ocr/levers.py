"""What can be done to a poorly read page before it is read once more.

A lever gets the raster of the best reading so far and that reading, and yields what is worth a
trial: nothing, where the page gives no reason to believe in it.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageFilter

from scanmill.models import EVEN_CONFIDENCE, Raster, Recognition
from scanmill.ocr.affine import UNCHANGED, Affine
from scanmill.ocr.pixels import opened

WORD_HEIGHT_PX = 24
"""The height that word boxes get. With 30 px forms were read with an F1 of .774 instead of .770,
receipts of .751 instead of .744, and all second chances cost 0.7 plain passes instead of 0.5."""

_MIN_FACTOR, _MAX_FACTOR = 1.5, 3.0
_BLIND_FACTOR, _COARSE_PIXELS = 2.0, 1_500_000  # an A4 page of 120 dpi
_MAX_PIXELS = 50_000_000
_MIN_SKEW, _MAX_SKEW = 0.5, 8.0
_FEW_WORDS = 10
_UPSIDE_DOWN = 45  # 40 scans turned over were read with a mean confidence of 43 at most
_FAINT = 70  # on 40 scans, thicker strokes were of use below it, and of none above
_DOUBTED = 65  # below it nearly half of the words are wrong: the layout may be, too
_ONE_BLOCK = 6  # the segmentation mode of a page without columns, as receipts are
_SKETCH_PX = 800


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One more way to read a page."""

    picture: Image.Image | None = None
    """The page, changed; None: as it was read best."""
    back: Affine = UNCHANGED
    """From the changed picture to the one it was made of."""
    psm: int | None = None
    languages: str | None = None
    is_turned: bool = False
    """Whether it has to be more right than wrong to be believed: most pages stand upright."""


Lever = Callable[[Raster, Recognition], Iterable[Trial]]


def turned(raster: Raster, best: Recognition) -> Iterator[Trial]:
    """Yield the page upside down, and on its sides where hardly any word was found."""
    has_few_words = len(best.words) < _FEW_WORDS
    if best.mean_confidence >= (EVEN_CONFIDENCE if has_few_words else _UPSIDE_DOWN):
        return
    picture = opened(raster)
    width, height = picture.size
    turns = [(Image.Transpose.ROTATE_180, Affine(-1, 0, width, 0, -1, height))]
    if has_few_words:
        turns += [
            (Image.Transpose.ROTATE_90, Affine(0, -1, width, 1, 0, 0)),
            (Image.Transpose.ROTATE_270, Affine(0, 1, 0, -1, 0, height)),
        ]
    for turn, back in turns:
        yield Trial(picture=picture.transpose(turn), back=back, is_turned=True)


def rescaled(raster: Raster, best: Recognition) -> Iterator[Trial]:
    """Yield the page with larger letters, if its own are small."""
    factor = _fitting_factor(raster, best)
    if factor >= _MIN_FACTOR:
        picture, back = _resized(raster, factor)
        yield Trial(picture=picture, back=back)


def straightened(raster: Raster, _: Recognition) -> Iterator[Trial]:
    """Yield the page turned by its skew, if it has any."""
    picture = opened(raster)
    angle = skew(picture)
    if abs(angle) >= _MIN_SKEW:
        straight = picture.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255)
        yield Trial(picture=straight, back=Affine.of_rotation(angle, picture.size))


def thickened(raster: Raster, best: Recognition) -> Iterator[Trial]:
    """Yield the page with thicker strokes, as one block: faint print falls to pieces without."""
    if best.mean_confidence >= _FAINT:
        return
    picture, back = _resized(raster, max(1.0, _fitting_factor(raster, best)))
    thick = darkened(picture).filter(ImageFilter.GaussianBlur(1))
    yield Trial(picture=thick, back=back, psm=_ONE_BLOCK)


def as_one_block(_: Raster, best: Recognition) -> Iterator[Trial]:
    """Yield a page of doubtful layout to be read as one block of lines."""
    if best.mean_confidence < _DOUBTED:
        yield Trial(psm=_ONE_BLOCK)


def in_each_of(languages: Sequence[str]) -> Lever:
    """Return the lever that yields the page for each language of a collection, if there are two."""

    def lever(_: Raster, __: Recognition) -> Iterator[Trial]:
        if len(languages) > 1:
            yield from (Trial(languages=language) for language in languages)

    return lever


def unchanged(_: Raster, __: Recognition) -> Iterator[Trial]:
    """Yield the page as it reads best so far, for another engine."""
    yield Trial()


def darkened(picture: Image.Image) -> Image.Image:
    """Return each pixel of a grey picture as dark as the darkest of the nine around it.

    It is Pillow's `MinFilter(3)`, in a fiftieth of the time: 0.002 CPU seconds a megapixel.
    """
    grey = np.pad(np.asarray(picture), 1, mode="edge")
    rows = np.minimum(np.minimum(grey[:-2], grey[1:-1]), grey[2:])
    return Image.fromarray(np.minimum(np.minimum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]))


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


def _resized(raster: Raster, factor: float) -> tuple[Image.Image, Affine]:
    width, height = raster.width_px, raster.height_px
    size = (round(width * factor), round(height * factor))
    picture = opened(raster).resize(size, Image.Resampling.BICUBIC)
    return picture, Affine(a=width / size[0], e=height / size[1])


def _fitting_factor(raster: Raster, best: Recognition) -> float:
    """Return by how much a page should grow, within what is of use and what there is room for."""
    pixels = raster.width_px * raster.height_px
    return min(_factor(pixels, best), _MAX_FACTOR, math.sqrt(_MAX_PIXELS / pixels))


def _factor(pixels: int, best: Recognition) -> float:
    if len(best.words) >= _FEW_WORDS:
        return WORD_HEIGHT_PX / statistics.median(word.height_px for word in best.words)
    # Nothing to measure. Only a coarse scan may hold letters too small to be found; on a fine one
    # that is all noise, blowing it up costs a minute.
    return _BLIND_FACTOR if pixels < _COARSE_PIXELS else 1.0
