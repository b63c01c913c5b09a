"""The row rules: what a single page's text must satisfy to be published."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, model_validator

from scanmill.errors import FatalError
from scanmill.models import Reason
from scanmill.quality import files
from scanmill.reasons import BY_FATE
from scanmill.schema import PAGE_COLUMNS

_NUMBERS = frozenset(
    column.name
    for column in PAGE_COLUMNS
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
)
_FLAGS = frozenset(column.name for column in PAGE_COLUMNS if pa.types.is_boolean(column.type))


class Condition(BaseModel):
    """What one column has to be; a null says nothing and never breaks it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    column: str
    minimum: FiniteFloat | None = Field(None, alias="min")
    maximum: FiniteFloat | None = Field(None, alias="max")
    equals: bool | FiniteFloat | None = None

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        bounds = (self.minimum, self.maximum)
        if self.column not in _NUMBERS | _FLAGS:
            known = ", ".join(sorted(_NUMBERS | _FLAGS))
            raise ValueError(f"unknown column [{self.column}], known are {known}")
        if bounds == (None, None) and self.equals is None:
            raise ValueError("give one of min, max, equals")
        if self.column in _FLAGS and not (bounds == (None, None) and self.equals in {True, False}):
            raise ValueError(f"[{self.column}] is true or false: give equals")
        if self.column in _NUMBERS and isinstance(self.equals, bool):
            raise ValueError(f"[{self.column}] is a number")
        return self

    def is_met(self, row: Mapping[str, object]) -> bool | None:
        """Tell whether a row meets it; None when the row's value is null."""
        value = row[self.column]
        if not isinstance(value, int | float) or math.isnan(value):
            return None
        return (
            (self.equals is None or value == self.equals)
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
        )


class Rule(Condition):
    """A condition on every page (or on those that meet `when`), and the reason of breaking it."""

    reason: Reason
    why: str = Field(min_length=1)
    when: Condition | None = None

    @model_validator(mode="after")
    def _rejects(self) -> Self:
        if self.reason not in BY_FATE["rejected"]:
            raise ValueError(f"[{self.reason}] is no reason to reject a page")
        return self

    def is_broken_by(self, row: Mapping[str, object]) -> bool:
        """Tell whether a page breaks this rule."""
        applies = self.when is None or self.when.is_met(row) is True
        return applies and self.is_met(row) is False


_RULES: TypeAdapter[tuple[Rule, ...]] = TypeAdapter(tuple[Rule, ...])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """The rules of one `row_rules.json`, in the order in which they are tried."""

    rules: tuple[Rule, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the rules; a mistake is a `FatalError` that names the file and the entry."""
        rules = files.parse(path, files.read(path), shape=_RULES)
        if not rules:
            raise FatalError(f"[{path}] holds no rule, so every page would be published.")
        return cls(rules=rules)

    def reason_for(self, row: Mapping[str, object]) -> Reason | None:
        """Return why a page that was read is not published: the first rule it breaks, or None."""
        return next((rule.reason for rule in self.rules if rule.is_broken_by(row)), None)

    def minimum_of(self, column: str) -> float | None:
        """Return the floor that the rules set for a column, for pictures and words."""
        floors = [rule.minimum for rule in self.rules if rule.column == column]
        return next((floor for floor in floors if floor is not None), None)
