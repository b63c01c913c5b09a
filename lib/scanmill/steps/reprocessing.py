"""Plans images that are in the books to be read again, with the settings that a person asks for.

A reading of a page that has text in the dataset takes its place only when it is better; one of a
page that was set aside, when it breaks no rule. Everything else is history.
"""

import dataclasses
import datetime as dt
import fnmatch
import itertools
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill import layout, schema
from scanmill.errors import UsageError
from scanmill.ledger import candidates, receipts
from scanmill.ledger import tables as t
from scanmill.models import ImageFate, PageFate, Reason
from scanmill.ocr import choose_engine
from scanmill.steps import Mill
from scanmill.steps.planning import adopt_newer_plans, commit_plan, slice_images, slice_numbers
from scanmill.steps.reusing import stale_images

log = logging.getLogger(__name__)

Row = dict[str, Any]

_SET_ASIDE = (PageFate.QUARANTINED, PageFate.REJECTED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which images are meant: those to which all of this applies that is not empty."""

    reason: str = ""
    """The image or one of its pages was set aside for this reason."""
    key: str = ""
    """A pattern as in a shell, of the key with or without `landing/`."""
    batch: str = ""
    """The batch with which the images landed."""
    is_stale: bool = False
    """A page of the image was read by another engine or with other settings than now."""


def reprocess(
    mill: Mill,
    choice: Choice,
    *,
    settings: Mapping[str, Any],
    asked_by: str,
    because: str = "",
) -> list[str]:
    """Plan the chosen images to be read again and return the batches planned.

    Of the settings, those that are None or empty stay as they are.

    Images that were superseded or withdrawn, or that have a newer version in the dataset, are left
    out: no reading of them would be published.

    Raises:
        UsageError: nothing was chosen, or by a batch or reason that does not exist.
        FatalError: the engine lacks what these settings need.
    """
    _check(mill, choice)
    changed = {name: value for name, value in settings.items() if value not in {None, ""}}
    stale = stale_images(mill) if choice.is_stale else None
    with mill.ledger.reading() as connection:
        images = _chosen(connection, choice)
    if stale is not None:
        images = [image for image in images if image["image_id"] in stale]
    for name in {image["collection"] for image in images}:
        choose_engine(mill.settings.of_collection(name).model_copy(update=changed))
    asked = {
        "choice": dataclasses.asdict(choice),
        "settings": changed,
        "asked_by": asked_by,
        "because": because,
    }
    return [
        _commit(mill, collection, plan)
        for collection, some in itertools.groupby(images, key=lambda image: image["collection"])
        for plan in _plans(mill, collection, list(some), asked)
    ]


def _check(mill: Mill, choice: Choice) -> None:
    if not any(dataclasses.astuple(choice)):
        raise UsageError("Say which images: --reason, --key, --batch or --stale.")
    if choice.reason and choice.reason not in set(Reason):
        raise UsageError(f"There is no reason [{choice.reason}]. All of them: docs/reasons.md")
    with mill.ledger.reading() as connection:
        if choice.batch and receipts.batch(connection, choice.batch) is None:
            raise UsageError(f"There is no batch [{choice.batch}]. See: ./scanmill status")


def _chosen(connection: Connection, choice: Choice) -> list[Row]:
    """Return the images to read again, by collection and key."""
    images, pages = t.IMAGES.c, t.PAGES.c
    query = sa.select(t.IMAGES).where(
        images.fate.in_((ImageFate.DECODED, ImageFate.QUARANTINED)), images.slice.is_not(None)
    )
    if choice.batch:
        query = query.where(images.batch_id == choice.batch)
    if choice.reason:
        page = sa.and_(
            pages.image_id == images.image_id,
            pages.reason == choice.reason,
            pages.fate.in_(_SET_ASIDE),
        )
        query = query.where(sa.or_(images.reason == choice.reason, sa.exists().where(page)))
    rows = connection.execute(query.order_by(images.collection, images.key, images.batch_id))
    found = [dict(row) for row in rows.mappings() if _is_meant(row["key"], choice.key)]
    outdated = candidates.outdated_images(connection, [image["image_id"] for image in found])
    return [image for image in found if image["image_id"] not in outdated]


def _is_meant(key: str, pattern: str) -> bool:
    if layout.is_metadata(key):
        return False  # its bytes say the same however often they are read
    names = (key, key.removeprefix(layout.LANDING))
    return not pattern or any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _plans(
    mill: Mill, collection: str, images: Sequence[Row], asked: Mapping[str, Any]
) -> Iterator[pa.Table]:
    size, per_slice = mill.settings.batch_images, slice_images(mill, collection)
    for start in range(0, len(images), size):
        some = images[start : start + size]
        slices = slice_numbers((image["size_bytes"] for image in some), per_slice)
        rows = [
            {name: image.get(name) for name in schema.PLAN.names}
            # The reason says where the original is, should it be gone from landing by now.
            | {"slice": number, "fate": None, "successor_id": None}
            for image, number in zip(some, slices, strict=True)
        ]
        now = dt.datetime.now(dt.UTC).isoformat()
        metadata = {b"planned_at": now.encode(), schema.REPROCESS: json.dumps(asked).encode()}
        table = pa.Table.from_pylist(rows, schema=schema.PLAN)
        yield table.replace_schema_metadata(metadata)


def _commit(mill: Mill, collection: str, plan: pa.Table) -> str:
    while True:
        batch_id = layout.batch_id(collection, adopt_newer_plans(mill, collection))
        if commit_plan(mill, batch_id, plan):
            return batch_id
