"""A Great Expectations suite as the file that people edit, checked before anything runs."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from scanmill.errors import FatalError
from scanmill.quality import files
from scanmill.quality.verdicts import Weight

Parameters = Mapping[str, float | int | Sequence[str]]


class JudgedFrom(BaseModel):
    """From how many rows a check means anything: a share of three pages is no share."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rows: int = Field(ge=1)
    of: Literal["read", "all"]

    def count(self, table: pa.Table) -> int | None:
        """Return how many rows of the table count; None when the table cannot tell."""
        if "outcome" not in table.column_names:
            return table.num_rows if self.of == "all" else None
        outcome = table["outcome"]
        if self.of == "read":
            return int(pc.sum(pc.equal(outcome, "read")).as_py() or 0)
        return int(table.num_rows - (pc.sum(pc.equal(outcome, "gone")).as_py() or 0))


class Meta(BaseModel):
    """Words for people, and when the check counts."""

    model_config = ConfigDict(frozen=True, strict=True)

    what: str = Field(min_length=1)
    why: str = Field(min_length=1)
    judged_from: JudgedFrom | None = None


class Expectation(BaseModel):
    """One entry of a suite, in Great Expectations' own form."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: str
    severity: Weight
    arguments: dict[str, JsonValue] = Field(validation_alias="kwargs", serialization_alias="kwargs")
    meta: Meta
    description: str | None = None
    notes: JsonValue = None
    id: JsonValue = Field(default=None, exclude=True)
    rendered_content: JsonValue = Field(default=None, exclude=True)

    @property
    def column(self) -> str | None:
        """The column it is about, if it is about one."""
        column = self.arguments.get("column")
        return column if isinstance(column, str) else None

    @property
    def parameters(self) -> frozenset[str]:
        """Names that the caller has to give a value for."""
        return frozenset(_parameters_in(self.arguments))

    def why_not_judged(self, table: pa.Table, parameters: Parameters) -> str | None:
        """Return in words why this check cannot be judged on this table, or None."""
        for name in sorted(self.parameters):
            if isinstance(parameters[name], Sequence) and not parameters[name]:
                return "nothing to compare with yet"
        limit = self.meta.judged_from
        count = limit.count(table) if limit else None
        if limit is None or count is None or count >= limit.rows:
            return None
        counted = "pages read" if limit.of == "read" else "rows"
        return f"only {count} {counted}, judged from {limit.rows}"

    def limit(self, parameters: Parameters) -> str:
        """Return in words what the check allows."""
        if "_values_" in self.type:
            mostly = self.arguments.get("mostly", 1)
            share = 100 * (1 - mostly) if isinstance(mostly, int | float) else 0
            return f"at most {round(share, 4):g} %" if share else "none"
        low, high = (self._bound(name, parameters) for name in ("min_value", "max_value"))
        if low and high:
            return f"exactly {low}" if low == high else f"{low} to {high}"
        return f"at least {low}" if low else f"at most {high}" if high else "as the suite says"

    def _bound(self, name: str, parameters: Parameters) -> str:
        value: object = self.arguments.get(name)
        if isinstance(value, dict):
            value = parameters.get(str(value.get("$PARAMETER")))
        return number(value) if isinstance(value, int | float) else ""


class _SuiteFile(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    expectations: list[Expectation] = Field(min_length=1)


_SUITE = TypeAdapter(_SuiteFile)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A suite file that makes sense as far as it can be told without Great Expectations."""

    path: Path
    content: bytes
    name: str
    expectations: tuple[Expectation, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a suite; a mistake is a `FatalError` that names the file and the entry."""
        content = files.read(path)
        found = files.parse(path, content, shape=_SUITE)
        return cls(
            path=path, content=content, name=found.name, expectations=tuple(found.expectations)
        )

    def require(self, parameters: Mapping[str, object]) -> None:
        """Refuse a parameter that is missing or None: GX lets a check against None pass."""
        wanted = frozenset[str]().union(*(each.parameters for each in self.expectations))
        missing = sorted(name for name in wanted if parameters.get(name) is None)
        if missing:
            raise FatalError(
                f"[{self.path}] needs {', '.join(missing)}, which this gate does not know. "
                "Take it out of the suite, or correct its name."
            )


def number(value: float) -> str:
    """Return a number as people write it."""
    return str(int(value)) if value == int(value) else f"{value:.4g}"


def _parameters_in(value: JsonValue) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(name := value.get("$PARAMETER"), str):
            yield name
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _parameters_in(item)
