"""Read the text of pages: the engines that there are, and which one the settings ask for."""

import importlib.util
from collections.abc import Callable

from scanmill.models import EngineName
from scanmill.ocr.engine import OcrEngine
from scanmill.ocr.ladder import Ladder
from scanmill.ocr.rapidocr_engine import RapidocrEngine
from scanmill.ocr.recipe import recipe
from scanmill.ocr.tesseract import TesseractEngine
from scanmill.ocr.tesserocr_engine import TesserocrEngine
from scanmill.settings import Settings

__all__ = ["OcrEngine", "recipe"]

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
