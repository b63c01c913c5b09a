"""What a gate decided, and on what grounds."""

import dataclasses
import json
from typing import Literal, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from scanmill.errors import FatalError

Weight = Literal["warning", "critical"]
Severity = Literal["pass", "warning", "critical"]
Outcome = Literal["passed", "warning", "critical", "not judged"]

_WORST_FIRST: tuple[Weight, ...] = ("critical", "warning")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One expectation of a suite and what came of it; `observed` and `limit` are words."""

    expectation: str
    column: str | None
    what: str
    why: str
    severity: Weight
    success: bool
    raised: bool
    is_judged: bool
    observed: str
    limit: str
    failing_count: int | None
    """Rows that fail it; None where the check is about the table as a whole."""
    failing_ids: tuple[str, ...]
    """The first 20 page ids of those rows."""

    @property
    def outcome(self) -> Outcome:
        """The check's verdict; one that raises is critical, whatever its suite says."""
        if not self.is_judged:
            return "not judged"
        if self.raised:
            return "critical"
        return "passed" if self.success else self.severity

    @property
    def sentence(self) -> str:
        """The check in plain words, with its numbers."""
        subject = self.what[:1].upper() + self.what[1:]
        if not self.is_judged:
            return f"{subject}: not judged, {self.observed}."
        if self.raised:
            return f"{subject}: could not be checked. {self.observed}"
        return f"{subject}: {self.observed}; allowed: {self.limit}."


_CHECKS = TypeAdapter(tuple[Check, ...], config=ConfigDict(extra="forbid"))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A gate's verdict on a batch: the sum of its checks, derived and never stored beside them."""

    gate: str
    suite: str
    suite_sha256: str
    """Of the suite's bytes and those of the row rules."""
    checks: tuple[Check, ...]

    @property
    def severity(self) -> Severity:
        """The worst that any check found."""
        outcomes = {check.outcome for check in self.checks}
        return next((level for level in _WORST_FIRST if level in outcomes), "pass")

    @property
    def passed(self) -> bool:
        """Tell whether the batch may go on; warnings do not stop it."""
        return self.severity != "critical"

    @property
    def causes(self) -> tuple[Check, ...]:
        """The top three failing checks, worst first; of two about the same thing the worse one."""
        failing = [check for check in self.checks if check.outcome in _WORST_FIRST]
        failing.sort(key=lambda check: (check.outcome != "critical", -(check.failing_count or 0)))
        worst_by_subject: dict[str, Check] = {}
        for check in failing:
            worst_by_subject.setdefault(check.what, check)
        return tuple(worst_by_subject.values())[:3]

    def to_json(self) -> str:
        """Return the verdict as the JSON of `verdicts/<n>.json`."""
        derived = {"passed": self.passed, "severity": self.severity}
        return json.dumps(dataclasses.asdict(self) | derived, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, content: str | bytes) -> Self:
        """Read a verdict; one whose sum differs from its checks was tampered with."""
        try:
            found = json.loads(content)
            checks = _CHECKS.validate_python(found["checks"])
            verdict = cls(
                gate=str(found["gate"]),
                suite=str(found["suite"]),
                suite_sha256=str(found["suite_sha256"]),
                checks=checks,
            )
            sums = (found["passed"], found["severity"])
        except (json.JSONDecodeError, KeyError, TypeError, ValidationError) as error:
            raise FatalError(f"This is no verdict of a gate: {error}") from error
        if sums != (verdict.passed, verdict.severity):
            raise FatalError(f"The verdict of [{verdict.gate}] contradicts its own checks.")
        return verdict
