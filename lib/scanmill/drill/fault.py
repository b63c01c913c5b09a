"""What a fault is, and what came of it."""

import dataclasses
from collections.abc import Callable
from typing import Any, Self

from scanmill.drill.scene import Scene


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way in which the world breaks, by name.

    `inject` drops what the fault is to hit, breaks something, and mends what only a person can
    mend. `hindrance` says why the fault cannot be injected here, or nothing. `airflow`: when plain
    Airflow 3.3 would have told somebody, as docs/watchdog.md has it.
    """

    name: str
    what: str
    expected: str
    inject: Callable[[Scene], None]
    hindrance: Callable[[Scene], str] = lambda _: ""
    is_quick: bool = False
    airflow: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the drill's table; seconds are from the first breakage on.

    `detected_s` is None when nothing had to be noticed: what failed was tried again on the spot.
    """

    name: str
    what: str
    expected: str
    seen: str
    uploads: int
    injected: int
    detected_s: float | None
    recovered_s: float | None
    lost: int
    twice: int
    wrong: int
    ok: bool
    hindrance: str = ""
    airflow: str = ""

    @classmethod
    def not_injected(cls, fault: Fault, hindrance: str) -> Self:
        """Return the line of a fault that cannot be injected here: it is shown and not counted."""
        return cls(
            name=fault.name,
            what=fault.what,
            expected=fault.expected,
            seen=hindrance,
            uploads=0,
            injected=0,
            detected_s=None,
            recovered_s=None,
            lost=0,
            twice=0,
            wrong=0,
            ok=False,
            hindrance=hindrance,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return dataclasses.asdict(self)
