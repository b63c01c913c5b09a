"""What the books are told of one batch, and what they then say."""

import datetime as dt

import pyarrow as pa
import sqlalchemy as sa

from scanmill import schema
from scanmill.ledger import books, receipts
from scanmill.ledger import tables as t
from scanmill.models import (
    ImageFate,
    PageFate,
    Reason,
    Signature,
    hash_id,
    page_id,
)

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
BATCH = "c-000001"


def planned(key, number=0, **changes):
    """Return a row of a plan."""
    row = {
        "image_id": image(key),
        "bucket": "b",
        "key": f"landing/c/{key}",
        "version": "v",
        "etag": "e",
        "size_bytes": 7,
        "modified_at": NOW,
        "slice": number,
    }
    return dict.fromkeys(schema.PLAN.names) | row | changes


def image(key):
    return hash_id("b", key)


def plan_of(*rows):
    table = pa.Table.from_pylist(list(rows), schema=schema.PLAN)
    return table.replace_schema_metadata({"planned_at": NOW.isoformat()})


def read(key, number=1, count=1, **changes):
    """Return a row of a part: a page that was read."""
    row = {
        "page_id": page_id(image(key), number),
        "batch_id": BATCH,
        "slice": 0,
        "image_id": image(key),
        "page_number": number,
        "page_count": count,
        "image_fate": ImageFate.DECODED,
        "fate": PageFate.PENDING,
        "sha256": "0" * 64,
        "text": "words",
    }
    return dict.fromkeys(schema.PAGES.names) | row | changes


def unread(key):
    """Return the row of an image that could not be opened."""
    quarantined = {"image_fate": ImageFate.QUARANTINED, "fate": PageFate.QUARANTINED}
    return read(key, 0, 0, **quarantined, reason=Reason.CORRUPT_IMAGE, text=None)


def part_of(*rows):
    table = pa.Table.from_pylist(list(rows), schema=schema.PAGES)
    return table.replace_schema_metadata({"log_url": "log"})


def fates_of(*rows):
    rows = [dict.fromkeys(schema.FATES.names) | row for row in rows]
    return pa.Table.from_pylist(rows, schema=schema.FATES)


def fate(key, name, reason=None, **changes):
    ids = {"page_id": page_id(image(key), 1), "image_id": image(key)}
    return ids | {"fate": name, "reason": reason} | changes


def manifest(version=1, batch_id=BATCH):
    rows = {"train": 1, "validation": 0, "test": 0}
    return {"version": version, "name": f"m{version}", "batch_id": batch_id, "rows": rows}


def verdict(*, passed, gate=Reason.PAGES_GATE):
    severity = "pass" if passed else "critical"
    return {
        "gate": gate,
        "passed": passed,
        "severity": severity,
        "suite_sha256": "f" * 64,
        "report": "s3://b/report",
    }


def decision(verb, gate=Reason.PAGES_GATE):
    return {
        "verb": verb,
        "gate": gate,
        "decided_by": "operator",
        "because": "seen",
        "decided_at": NOW.isoformat(),
    }


PLAN = plan_of(
    planned("a"),
    planned("b"),
    planned("keep", None, fate=ImageFate.IGNORED, reason=Reason.PLACEHOLDER),
)
PART = part_of(read("a"), unread("b"))
SIGNATURES = {page_id(image("a"), 1): Signature(bands=("x:1", "0:2"), sketch=b"\0" * 512)}

ENTRIES = {
    "plan": lambda c: books.enter_plan(c, BATCH, PLAN),
    "part": lambda c: books.enter_part(c, BATCH, 0, PART),
    "signatures": lambda c: books.enter_signatures(c, "c", BATCH, SIGNATURES),
    "recognized": lambda c: books.enter_recognized(c, BATCH, has_pages=True),
    "held": lambda c: books.enter_verdict(c, BATCH, 1, verdict(passed=False)),
    "released": lambda c: books.enter_decision(c, BATCH, 1, decision("release")),
    "snapshot": lambda c: books.enter_snapshot(
        c, "c", manifest(), fates_of(fate("a", PageFate.PUBLISHED, shard="s", split="train"))
    ),
}
"""The story of a batch that was held and released, in order."""


def discarded(connection):
    """Enter that a person discards the batch."""
    books.enter_decision(connection, BATCH, 1, decision("discard"))


def everything(ledger):
    """Return all tables without the moments at which something was entered."""
    with ledger.reading() as connection:
        return {
            table.name: [
                {k: v for k, v in row.items() if k not in {"touched_at", "created_at"}}
                for row in connection.execute(sa.select(table)).mappings()
            ]
            for table in t.METADATA.sorted_tables
        }


def enter(ledger, *entries):
    for entry in entries:
        with ledger.writing() as connection:
            (entry if callable(entry) else ENTRIES[entry])(connection)


def fate_of_page(ledger, key):
    with ledger.reading() as connection:
        query = sa.select(t.PAGES.c.fate).where(t.PAGES.c.image_id == image(key))
        return connection.scalar(query)


def fate_of_image(ledger, key):
    with ledger.reading() as connection:
        query = sa.select(t.IMAGES.c.fate).where(t.IMAGES.c.image_id == image(key))
        return connection.scalar(query)


def state_of_batch(ledger):
    with ledger.reading() as connection:
        return receipts.batch(connection, BATCH)["state"]
