"""The whole drill: the faults one by one, then storms of many at once."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scanmill.drill import running, storm
from scanmill.drill.fault import Fault, Result
from scanmill.drill.naive import Tally
from scanmill.drill.running import Tell


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be drilled: which faults, how many storms of how many uploads, and on what."""

    faults: Sequence[Fault]
    storms: int
    uploads: int
    seed: int
    store: str
    dags: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was seen; each storm stands beside what a naive loop made of the same uploads."""

    wish: Wish
    faults: Sequence[Result]
    storms: Sequence[tuple[Result, Tally]]
    seconds: float

    @property
    def results(self) -> list[Result]:
        """Every line of the table, in order."""
        return [*self.faults, *(result for result, _ in self.storms)]

    @property
    def injected(self) -> list[Result]:
        """The lines that count."""
        return [result for result in self.results if not result.hindrance]

    @property
    def not_injected(self) -> list[Result]:
        """The lines of what could not be broken here: they are shown, and prove nothing."""
        return [result for result in self.results if result.hindrance]

    @property
    def ok(self) -> bool:
        """Tell whether something was broken, and nothing was lost, doubled or wrong for it."""
        return bool(self.injected) and all(result.ok for result in self.injected)

    def to_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "faults": [result.to_json() for result in self.injected],
            "not_injected": {result.name: result.hindrance for result in self.not_injected},
            "ok": self.ok,
        }


def perform(wish: Wish, *, tell: Tell, show: Callable[[Outcome], None]) -> Outcome:
    """Drill on a scratch stack; after every fault it shows what was seen so far.

    Raises:
        FatalError: the stack does not start.
    """
    began = time.monotonic()
    settings = {"SCANMILL_LOCAL_STORE": wish.store}
    if wish.dags:
        settings["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(wish.dags).absolute())
    faults: list[Result] = []
    storms: list[tuple[Result, Tally]] = []

    def seen() -> Outcome:
        seconds = time.monotonic() - began
        return Outcome(wish=wish, faults=(*faults,), storms=(*storms,), seconds=seconds)

    with running.opened(settings, seed=wish.seed, tell=tell) as world:
        for result in running.run(world, wish.faults, seed=wish.seed, tell=tell):
            faults.append(result)
            show(seen())
        for seed in range(wish.seed, wish.seed + wish.storms):
            storms.append(storm.run(world, seed=seed, uploads=wish.uploads, tell=tell))
            show(seen())
    return seen()
