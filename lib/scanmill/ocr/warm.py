"""Engines whose model stays in memory: a worker for each of some threads, a page at a time."""

import abc
import functools
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scanmill import sandbox
from scanmill.models import EngineInfo, Raster
from scanmill.ocr.engine import Reading, died_of
from scanmill.ocr.pool import Pool
from scanmill.sandbox.crew import LIFE_CPU_SECONDS, Crew
from scanmill.sandbox.worker import Death
from scanmill.settings import Settings


class WarmEngine(abc.ABC):
    """What such engines share; each says how its program is started and what its answers mean."""

    memory_factor = 1
    """How many times the address space that the settings give a child."""

    def __init__(self, settings: Settings, *, workers: int | None = None) -> None:
        """Have as many workers as the settings say, or fewer."""
        self._settings = settings
        self._pool = Pool(min(settings.ocr_workers, workers or settings.ocr_workers))

    @functools.cached_property
    def info(self) -> EngineInfo:
        """What reads: name, version and model."""
        return self._info(self._settings.ocr_languages)

    def recognize(
        self, rasters: Sequence[Raster], *, psm: int | None = None, languages: str | None = None
    ) -> list[Reading]:
        """Return what was read on each page, in the same order."""
        languages = languages or self._settings.ocr_languages
        psm = psm or self._settings.ocr_psm
        return self._pool.map(lambda raster: self._read(raster, psm, languages), rasters)

    def _read(self, raster: Raster, psm: int, languages: str) -> Reading:
        question = {"width_px": raster.width_px, "height_px": raster.height_px, "psm": psm}
        started = time.monotonic()
        answer = self._crew.ask(
            question,
            file=Path(raster.path),
            cpu_seconds=self._settings.page_cpu_seconds,
            kind=languages,
        )
        if isinstance(answer, Death):
            return died_of(answer.status, answer.errors, is_timeout=answer.is_timeout)
        seconds = time.monotonic() - started
        return self._reading(answer, raster, seconds, self._info(languages))

    @functools.cached_property
    def _crew(self) -> Crew:
        return Crew(
            lambda languages: [sys.executable, "-I", "-m", *self._program(languages)],
            limits=sandbox.Limits(
                memory_bytes=self.memory_factor * self._settings.child_memory_bytes,
                cpu_seconds=LIFE_CPU_SECONDS,
            ),
            environment={"OMP_THREAD_LIMIT": "1"},
            reads=self._reads(),
        )

    @property
    @abc.abstractmethod
    def languages(self) -> list[str]:
        """The languages that it could read."""

    @abc.abstractmethod
    def _info(self, languages: str) -> EngineInfo:
        """Return name, version and the hash of the model for these languages."""

    @abc.abstractmethod
    def _program(self, languages: str) -> Sequence[str]:
        """Return the module of the program, and its arguments."""

    @abc.abstractmethod
    def _reads(self) -> Sequence[Path]:
        """Return the folders that the program has to see."""

    @abc.abstractmethod
    def _reading(
        self, answer: Mapping[str, Any], raster: Raster, seconds: float, info: EngineInfo
    ) -> Reading:
        """Return what an answer means, or that it is incomplete."""
