"""What a fault is, and what came of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

from scanmill.drill.scene import Scene


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way in which the world breaks, by name.

    `inject` drops what the fault is to hit, breaks something, and mends what only a person can
    mend. `hindrance` says why the fault cannot be injected here, or nothing.
    """

    name: str
    what: str
    expected: str
    inject: Callable[[Scene], None]
    hindrance: Callable[[Scene], str] = lambda _: ""
    is_quick: bool = False


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

    def to_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return dataclasses.asdict(self)
