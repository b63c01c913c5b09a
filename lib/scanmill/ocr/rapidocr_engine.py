"""Read pages with RapidOCR's networks: slower than Tesseract, and better on receipts and forms."""

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scanmill.errors import FatalError
from scanmill.models import EngineInfo, EngineName, Raster, Reason, Recognition, Word
from scanmill.ocr.engine import Reading, set_aside
from scanmill.ocr.warm import WarmEngine
from scanmill.settings import Settings

# RapidOCR is sure of nearly everything. Its scores, and the confidences at which about as many
# words of Tesseract's are right: 5,200 words of 40 public scans against their known text.
_SCORES = (0.0, 0.60, 0.80, 0.90, 0.94, 0.955, 0.975, 1.0)
_CONFIDENCES = (0.0, 5.0, 45.0, 52.0, 72.0, 88.0, 92.0, 94.0)
_WORKER_BYTES = 1 << 30
_MEMORY_SHARE = 4


class RapidocrEngine(WarmEngine):
    """RapidOCR with the models of its wheel, which read Latin and Chinese script."""

    memory_factor = 2

    def __init__(self, settings: Settings) -> None:
        """Find the library, or say what to install."""
        super().__init__(
            settings, workers=max(1, _memory_bytes() // _MEMORY_SHARE // _WORKER_BYTES)
        )
        package = importlib.util.find_spec("rapidocr")
        if package is None or package.origin is None:
            raise FatalError("No engine [rapidocr]. Install it: pip install 'scanmill[rapidocr]'")
        self._folder = Path(package.origin).parent

    @property
    def languages(self) -> list[str]:
        """Its one model reads all languages of its scripts."""
        return ["Latin and Chinese script"]

    def _info(self, languages: str) -> EngineInfo:
        return EngineInfo(
            name=EngineName.RAPIDOCR,
            version=importlib.metadata.version("rapidocr"),
            model_sha256=self._sha256,
        )

    @functools.cached_property
    def _sha256(self) -> str:
        """One hash over the networks in the wheel."""
        digests = [
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self._folder.rglob("*.onnx"))
        ]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def _program(self, languages: str) -> Sequence[str]:
        return ["scanmill.children.rapidocr_reader"]

    def _reads(self) -> Sequence[Path]:
        return []

    def _reading(
        self, answer: Mapping[str, Any], raster: Raster, seconds: float, info: EngineInfo
    ) -> Reading:
        if answer["size"] != [raster.width_px, raster.height_px]:
            detail = f"Read {answer['size']} for a page of {raster.width_px} x {raster.height_px}."
            return set_aside(Reason.INCOMPLETE_OUTPUT, detail)
        words = tuple(_word(*fields) for fields in answer["words"])
        return Recognition(words=words, seconds=seconds, engine=info)


def _word(text: str, score: float, line: int, box: Sequence[int]) -> Word:
    left, top, right, bottom = box
    confidence = float(np.interp(score, _SCORES, _CONFIDENCES))
    return Word(text=text, confidence=confidence, line=(1, 1, line), box=(left, top, right, bottom))


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
