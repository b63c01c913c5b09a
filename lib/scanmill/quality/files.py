"""Finds and opens the files that hold the rules, so that a mistake in one is named."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from scanmill.errors import FatalError
from scanmill.settings import Settings

Content = TypeVar("Content")


def find(settings: Settings, *, collection: str, name: str) -> Path:
    """Return a collection's own file of this name, else the default one."""
    default = settings.expectations_dir / name
    own = settings.expectations_dir / collection / name
    if own.is_file():
        return own
    if default.is_file():
        return default
    raise FatalError(
        f"No rules [{default}]. Set SCANMILL_EXPECTATIONS_DIR to the folder that holds {name}."
    )


def parse(path: Path, content: bytes, *, shape: TypeAdapter[Content]) -> Content:
    """Return what a rules file holds; a mistake is a `FatalError` that names file and entry."""
    try:
        return shape.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise FatalError(
            f"[{path}] {_place(first['loc'])}: {first['msg']}. Correct the file."
        ) from error


def read(path: Path) -> bytes:
    """Return a rules file's bytes; one that cannot be read is a `FatalError`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FatalError(f"Cannot read the rules [{path}]: {error.strerror}.") from error


def _place(location: Sequence[int | str]) -> str:
    """Say where in a file a mistake is; people count entries from 1."""
    words = [f"entry {step + 1}" if isinstance(step, int) else step for step in location]
    return ", ".join(words) or "the file"
