"""Engines whose model stays in memory: a worker for each of some threads, a page at a time."""

import abc
import functools
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scanmill import sandbox
from scanmill.errors import FatalError
from scanmill.models import EngineInfo, Raster
from scanmill.ocr.engine import Reading, died_of
from scanmill.ocr.pool import Pool
from scanmill.sandbox.worker import Death, Worker
from scanmill.settings import Settings

_LIFE_CPU_SECONDS = 86_400  # each page has a clock of its own


class WarmEngine(abc.ABC):
    """What such engines share; each says how its program is started and what its answers mean.

    A worker belongs to the thread that started it: the kernel ends it when that thread ends.
    """

    memory_factor = 1
    """How many times the address space that the settings give a child."""

    def __init__(self, settings: Settings, *, workers: int | None = None) -> None:
        """Have as many workers as the settings say, or fewer."""
        self._settings = settings
        self._pool = Pool(min(settings.ocr_workers, workers or settings.ocr_workers))
        self._own = threading.local()

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
        """Read a page; a crash is only its own fault if a fresh worker dies of it, too."""
        question = {"width_px": raster.width_px, "height_px": raster.height_px, "psm": psm}
        started = time.monotonic()
        answer = self._ask(question, raster, languages)
        if isinstance(answer, Death) and not answer.is_timeout:
            answer = self._ask(question, raster, languages)
        if isinstance(answer, Death):
            return died_of(answer.status, answer.errors, is_timeout=answer.is_timeout)
        seconds = time.monotonic() - started
        return self._reading(answer, raster, seconds, self._info(languages))

    def _ask(
        self, question: Mapping[str, Any], raster: Raster, languages: str
    ) -> dict[str, Any] | Death:
        answer = self._worker(languages).ask(
            question, file=Path(raster.path), cpu_seconds=self._settings.page_cpu_seconds
        )
        if isinstance(answer, Death):
            self._workers.pop(languages)
        return answer

    def _worker(self, languages: str) -> Worker:
        if languages not in self._workers:
            worker = Worker(
                [sys.executable, "-I", "-m", *self._program(languages)],
                limits=sandbox.Limits(
                    memory_bytes=self.memory_factor * self._settings.child_memory_bytes,
                    cpu_seconds=_LIFE_CPU_SECONDS,
                ),
                environment={"OMP_THREAD_LIMIT": "1"},
                reads=self._reads(),
            )
            greeting = worker.greet()
            if isinstance(greeting, Death):
                raise FatalError(
                    f"The OCR program {self._program(languages)[:1]} does not start: "
                    f"{sandbox.ending(greeting.status)}. {greeting.errors[-300:]} "
                    "Try more memory: SCANMILL_CHILD_MEMORY_BYTES"
                )
            self._workers[languages] = worker
        return self._workers[languages]

    @property
    def _workers(self) -> dict[str, Worker]:
        """The workers of this thread, by the languages that they have loaded."""
        if not hasattr(self._own, "workers"):
            self._own.workers = {}
        workers: dict[str, Worker] = self._own.workers
        return workers

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
