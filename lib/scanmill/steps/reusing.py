"""Finds what was read before: the same bytes by the same recipe, or stale, by another one."""

import functools
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from scanmill import layout
from scanmill.errors import AlteredError, ObjectGoneError
from scanmill.ledger import recipes
from scanmill.ocr import choose_engine, recipe
from scanmill.steps import Mill

Row = dict[str, Any]

_PARTS_KEPT = 8  # a few megabytes each


class Archive:
    """The readings of a recipe, by the sha256 of what was read; asked by several threads."""

    def __init__(self, mill: Mill, recipe: str) -> None:
        """Read nothing yet."""
        self._mill = mill
        self._recipe = recipe
        # What landed together lands together again: many images ask for the same part.
        self._part = functools.lru_cache(maxsize=_PARTS_KEPT)(self._read_part)

    def rows_of(self, sha256s: Sequence[str]) -> dict[str, list[Row]]:
        """Return the rows of one earlier reading for each of these bytes that has one."""
        with self._mill.ledger.reading() as connection:
            readings = recipes.readings_of(connection, sha256s, self._recipe)
        rows = {sha256: self._rows(reading) for sha256, reading in readings.items()}
        return {sha256: found for sha256, found in rows.items() if found}

    def _rows(self, reading: sa.RowMapping) -> list[Row]:
        """Return the rows of a reading; none if its part is damaged: the audit tells of that."""
        part = self._part(reading["batch_id"], reading["slice"])
        if part is None:
            return []
        rows: list[Row] = part.filter(pc.equal(part["image_id"], reading["image_id"])).to_pylist()
        is_whole = [row["page_number"] for row in rows] == list(range(1, 1 + reading["page_count"]))
        is_same = all(row["sha256"] == reading["sha256"] for row in rows)
        return rows if is_whole and is_same else []

    def _read_part(self, batch_id: str, slice_number: int) -> pa.Table | None:
        try:
            return self._mill.store.read_table(layout.part(batch_id, slice_number))
        except (ObjectGoneError, AlteredError):
            return None


def stale_pages(mill: Mill) -> dict[str, int]:
    """Return how many pages of each collection were read by another recipe than today's.

    Raises:
        FatalError: today's engine lacks something.
    """
    by_name = _recipes(mill)
    with mill.ledger.reading() as connection:
        return {name: recipes.stale_pages(connection, name, by) for name, by in by_name.items()}


def stale_images(mill: Mill) -> set[str]:
    """Return the images that such pages are on; raises as `stale_pages`."""
    by_name = _recipes(mill)
    with mill.ledger.reading() as connection:
        found = [recipes.stale_images(connection, name, by) for name, by in by_name.items()]
    return set().union(*found)


def _recipes(mill: Mill) -> dict[str, str]:
    """Return the recipe of every collection: one engine is asked for each choice of languages."""
    with mill.ledger.reading() as connection:
        names = recipes.collections(connection)
    settings = {name: mill.settings.of_collection(name) for name in names}
    by_languages = {one.ocr_languages: one for one in settings.values()}
    known = {key: recipe(choose_engine(one), one) for key, one in by_languages.items()}
    return {name: known[one.ocr_languages] for name, one in settings.items()}
