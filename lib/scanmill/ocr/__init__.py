"""Read the text of pages; `OcrEngine` is the seam where another engine fits in."""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Protocol

from scanmill.models import EngineInfo, EngineName, Raster, Recognition, SetAside
from scanmill.ocr.ladder import Ladder
from scanmill.ocr.rapidocr_engine import RapidocrEngine
from scanmill.ocr.tesseract import TesseractEngine
from scanmill.ocr.tesserocr_engine import TesserocrEngine
from scanmill.settings import Settings


class OcrEngine(Protocol):
    """Reads pages, from any number of threads at once.

    An engine never raises for a page; it raises `FatalError` when it is made without what it needs.
    """

    @property
    def info(self) -> EngineInfo:
        """What reads: name, version and model."""

    @property
    def languages(self) -> list[str]:
        """The languages that it could read, for people."""

    def recognize(
        self, rasters: Sequence[Raster], *, psm: int | None = None, languages: str | None = None
    ) -> list[Recognition | SetAside]:
        """Return what was read on each page, in the same order.

        `psm` and `languages` are as in the settings unless given; an engine that knows no such
        thing ignores them. No page is blank: those are nobody's to read.
        """


ENGINES: dict[EngineName, Callable[[Settings], OcrEngine]] = {
    EngineName.TESSERACT: TesseractEngine,
    EngineName.TESSEROCR: TesserocrEngine,
    EngineName.RAPIDOCR: RapidocrEngine,
}


def choose_engine(settings: Settings) -> OcrEngine:
    """Return the engine that the settings ask for, with second chances for poor pages.

    Raises:
        FatalError: it lacks a package, a program or a language; the message says what to install.
    """
    return with_second_chances(ENGINES[settings.ocr_engine](settings), settings)


def with_second_chances(engine: OcrEngine, settings: Settings) -> OcrEngine:
    """Return an engine that reads pages below the confidence floor again, if there is a floor."""
    if not settings.rescue_confidence:
        return engine
    return Ladder(engine, _other(engine, settings), settings)


def _other(engine: OcrEngine, settings: Settings) -> OcrEngine | None:
    """Return the engine of the last rung: only if it is installed, and not the first one."""
    name = settings.rescue_engine
    if name is None or name == engine.info.name or not is_installed(name):
        return None
    return ENGINES[name](settings)


def is_installed(name: EngineName) -> bool:
    """Tell whether the package of an engine is there."""
    package = "pytesseract" if name == EngineName.TESSERACT else name
    return importlib.util.find_spec(package) is not None
