"""Read the text of pages; `OcrEngine` is the seam where another engine fits in."""

from collections.abc import Sequence
from typing import Protocol

from scanmill.models import EngineInfo, Raster, Recognition, SetAside
from scanmill.ocr.tesseract import TesseractEngine
from scanmill.settings import Settings


class OcrEngine(Protocol):
    """Reads pages, from any number of threads at once.

    An engine never raises for a page; it raises `FatalError` when it is made without what it needs.
    """

    @property
    def info(self) -> EngineInfo:
        """What reads: name, version and model."""

    def recognize(self, rasters: Sequence[Raster]) -> list[Recognition | SetAside]:
        """Return what was read on each page, in the same order."""


def choose_engine(settings: Settings) -> OcrEngine:
    """Return the engine that the settings ask for."""
    return TesseractEngine(settings)
