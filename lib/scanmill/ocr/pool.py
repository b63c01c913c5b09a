"""The threads of an engine: as many as it may have OCR processes at once."""

import concurrent.futures
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class Pool:
    """Works off calls from any number of threads, and knows how many cores have nothing to do."""

    def __init__(self, workers: int) -> None:
        """Give it so many threads; they end with it, and the processes that they wait for too."""
        self._workers = workers
        self._waiting = 0
        self._lock = threading.Lock()
        self._threads = concurrent.futures.ThreadPoolExecutor(workers)

    def map(self, work: Callable[[In], Out], items: Iterable[In]) -> list[Out]:
        """Return what came of each item, in the same order; raise what the first one raised."""
        futures = [self._threads.submit(self._counted, work, item) for item in self._noted(items)]
        return [future.result() for future in futures]

    @property
    def idle(self) -> int:
        """How many threads would begin at once; 1 if none would."""
        return max(1, self._workers - self._waiting)

    def _noted(self, items: Iterable[In]) -> list[In]:
        noted = list(items)
        with self._lock:
            self._waiting += len(noted)
        return noted

    def _counted(self, work: Callable[[In], Out], item: In) -> Out:
        try:
            return work(item)
        finally:
            with self._lock:
                self._waiting -= 1
