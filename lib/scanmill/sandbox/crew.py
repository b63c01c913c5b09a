"""Workers of one kind: each thread that asks has its own, and a dead one is replaced."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scanmill import sandbox
from scanmill.errors import DISK_FAILED, FatalError, RetryableError
from scanmill.sandbox.worker import Death, Worker

LIFE_CPU_SECONDS = 86_400
"""The CPU limit of a worker; each question has a clock of its own."""


class Crew:
    """Asks workers from any number of threads at once.

    A worker belongs to the thread that started it: the kernel ends it when that thread ends. It
    ends with its crew, too.
    """

    def __init__(
        self,
        program: Callable[[str], Sequence[str]],
        *,
        limits: sandbox.Limits,
        environment: Mapping[str, str] | None = None,
        reads: Sequence[Path] = (),
        questions_per_life: int | None = None,
    ) -> None:
        """Start nothing yet; `program` gives the command for a kind of worker."""
        self._program = program
        self._limits = limits
        self._environment = environment or {}
        self._reads = reads
        self._questions_per_life = questions_per_life
        self._own = threading.local()

    def ask(
        self, question: Mapping[str, Any], *, file: Path, cpu_seconds: int, kind: str = ""
    ) -> dict[str, Any] | Death:
        """Return the answer to a question about a file, or how two workers died of it.

        A crash is only the file's fault if a fresh worker dies of it, too. One that used up its
        time would use it up again, and is not asked twice.

        Raises:
            RetryableError: the disk failed.
            FatalError: the program does not start.
        """
        answer = self._ask(question, file, cpu_seconds, kind)
        if isinstance(answer, Death) and not answer.is_timeout:
            answer = self._ask(question, file, cpu_seconds, kind)
        return answer

    def home(self, kind: str = "") -> Path:
        """Return where the worker that gave this thread its last answer has written."""
        return self._workers[kind].home

    def _worker(self, kind: str) -> Worker:
        worker = self._workers.get(kind)
        if worker and worker.questions == self._questions_per_life:
            worker.end()
            worker = None
        if worker is None:
            worker = self._workers[kind] = self._started(kind)
        return worker

    def _ask(
        self, question: Mapping[str, Any], file: Path, cpu_seconds: int, kind: str
    ) -> dict[str, Any] | Death:
        worker = self._worker(kind)
        try:
            answer = worker.ask(question, file=file, cpu_seconds=cpu_seconds)
        except FileNotFoundError as error:
            raise RetryableError(f"Cannot read [{file}]: {error.strerror}.") from error
        if isinstance(answer, Death):
            self._workers.pop(kind)
            if answer.status == DISK_FAILED:
                raise RetryableError(answer.errors)
        return answer

    def _started(self, kind: str) -> Worker:
        program = self._program(kind)
        worker = Worker(
            program, limits=self._limits, environment=self._environment, reads=self._reads
        )
        greeting = worker.greet()
        if isinstance(greeting, Death):
            raise FatalError(
                f"The program {list(program)} does not start: {sandbox.ending(greeting.status)}. "
                f"{greeting.errors[-300:]} Try more memory: SCANMILL_CHILD_MEMORY_BYTES"
            )
        return worker

    @property
    def _workers(self) -> dict[str, Worker]:
        """The workers of this thread, by their kind."""
        if not hasattr(self._own, "workers"):
            self._own.workers = {}
        workers: dict[str, Worker] = self._own.workers
        return workers
