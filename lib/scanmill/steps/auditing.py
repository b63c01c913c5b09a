"""Audits the books: listing x ledger x parts x quarantine x snapshot, and names what is off.

It reads and never writes but its own result, and shares nothing with the steps that write but the
schema, the addresses and the tables. It compares one unchanging state of the ledger with objects
that are never changed, so that it may run in the middle of a batch: objects are written before the
transaction that names them, and whatever the ledger names has to be there.
"""

import dataclasses
import datetime as dt
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill import layout
from scanmill.ledger import receipts
from scanmill.ledger import tables as t
from scanmill.models import BatchState, Finding, ImageFate, PageFate
from scanmill.steps import Mill
from scanmill.store import AlteredError, ObjectGoneError

Row = dict[str, Any]

_ENTERING = dt.timedelta(seconds=90)  # between the write of a plan and its ledger transaction


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Books:
    """Everything the ledger says, read in one transaction."""

    images: dict[str, Row]
    pages: dict[str, Row]
    batches: list[Row]
    parts: set[tuple[str, int]]
    snapshots: list[Row]
    verdicts: dict[str, int]
    """The number of every batch's latest verdict."""
    imbalances: list[str]


def audit(mill: Mill) -> list[Finding]:
    """Return everything that is off, what is lost first, and enter the result in the ledger."""
    start = time.monotonic()
    with mill.ledger.reading() as connection:
        books = _read_books(connection)
    checks = (_balance, _landing, _plans, _decisions, _parts, _quarantine, _snapshots)
    findings = [finding for check in checks for finding in check(mill, books)]
    findings.sort(key=lambda finding: (not finding.is_lost, finding.kind, finding.subject))
    result = {
        "finished_at": dt.datetime.now(dt.UTC),
        "seconds": time.monotonic() - start,
        "lost": sum(finding.is_lost for finding in findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    with mill.ledger.writing() as connection:
        connection.execute(sa.insert(t.AUDITS), [result])
    return findings


def _read_books(connection: Connection) -> _Books:
    def rows(table: sa.Table) -> list[Row]:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]

    images, pages = receipts.image_counts(connection), receipts.page_counts(connection)
    return _Books(
        images={row["image_id"]: row for row in rows(t.IMAGES)},
        pages={row["page_id"]: row for row in rows(t.PAGES)},
        batches=rows(t.BATCHES),
        parts={(row["batch_id"], row["slice"]) for row in rows(t.PARTS)},
        snapshots=[dict(row) for row in receipts.latest_snapshots(connection)],
        verdicts={
            row["batch_id"]: row["number"]
            for row in sorted(rows(t.VERDICTS), key=lambda row: row["number"])
        },
        imbalances=receipts.imbalances(images, pages),
    )


def _balance(_mill: Mill, books: _Books) -> Iterator[Finding]:
    for sentence in books.imbalances:
        yield Finding(kind="imbalance", subject="ledger", detail=sentence)


# --- landing and plans ---------------------------------------------------------------------------


def _landing(mill: Mill, books: _Books) -> Iterator[Finding]:
    """What is listed, unknown and old: the sweep should have planned it."""
    patience = dt.timedelta(seconds=mill.settings.pending_alert_seconds)
    oldest = dt.datetime.now(dt.UTC) - patience
    known = {(row["key"], row["version"]) for row in books.images.values()}
    superseded = {row["key"] for row in books.images.values()} - {
        row["key"] for row in books.images.values() if row["fate"] != ImageFate.SUPERSEDED
    }
    generations = {(row["key"], row["etag"]) for row in books.images.values()}
    for listed in mill.store.list_versions(layout.LANDING):
        is_known = (listed.key, listed.version) in known or (
            listed.version == "null" and (listed.key, listed.etag) in generations
        )
        if listed.is_delete_marker:
            continue
        if is_known and listed.is_latest and listed.key in superseded:
            detail = "it was superseded unread and is current again: upload it again"
            yield Finding(kind="never_read", subject=listed.key, detail=detail, is_lost=True)
        if not is_known and listed.modified_at < oldest:
            detail = f"version [{listed.version}] landed at {listed.modified_at:%F %T} UTC"
            yield Finding(kind="never_planned", subject=listed.key, detail=detail, is_lost=True)


def _plans(mill: Mill, books: _Books) -> Iterator[Finding]:
    """What a plan holds and the books lack; every batch of either side is looked at."""
    known = {batch["batch_id"] for batch in books.batches}
    kept = {layout.planned_batch(key) for key, _ in mill.store.list_keys("batches/")}
    for batch_id in sorted(known | {batch_id for batch_id in kept if batch_id}):
        address = layout.plan(batch_id)
        try:
            plan = mill.store.read_table(address)
        except (ObjectGoneError, AlteredError):
            detail = "the plan of a batch in the ledger cannot be read"
            yield Finding(kind="no_plan", subject=address, detail=detail, is_lost=True)
            continue
        if batch_id in known:
            yield from _planned(books, batch_id, plan)
        elif not _is_fresh(plan) and not _is_entered(mill, batch_id):
            detail = f"the ledger does not know this plan of {len(plan)} images"
            yield Finding(kind="no_batch_row", subject=batch_id, detail=detail, is_lost=True)


def _planned(books: _Books, batch_id: str, plan: pa.Table) -> Iterator[Finding]:
    for row in plan.select(["image_id", "key"]).to_pylist():
        if row["image_id"] not in books.images:
            detail = f"planned in [{batch_id}] as image [{row['image_id']}]"
            yield Finding(kind="no_ledger_row", subject=row["key"], detail=detail, is_lost=True)


def _is_entered(mill: Mill, batch_id: str) -> bool:
    """Ask the ledger once more: much may have been planned since the books were read."""
    with mill.ledger.reading() as connection:
        return receipts.batch(connection, batch_id) is not None


def _is_still_held(mill: Mill, batch_id: str) -> bool:
    with mill.ledger.reading() as connection:
        batch = receipts.batch(connection, batch_id)
    return batch is not None and batch["state"] == BatchState.HELD


def _is_fresh(plan: pa.Table) -> bool:
    """Tell whether a plan is so young that it may be on its way into the ledger."""
    planned_at = (plan.schema.metadata or {}).get(b"planned_at")
    if planned_at is None:
        return False
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(planned_at.decode())
    return age < _ENTERING


def _decisions(mill: Mill, books: _Books) -> Iterator[Finding]:
    """What a person decided and the books do not know."""
    for batch in books.batches:
        if batch["state"] != BatchState.HELD:
            continue
        number = books.verdicts.get(batch["batch_id"])
        if number is None:
            detail = "it is held, but no verdict says why"
            subject = batch["batch_id"]
            yield Finding(kind="no_verdict_row", subject=subject, detail=detail, is_lost=True)
        else:
            address = layout.decision(batch["batch_id"], number)
            if mill.store.exists(address) and _is_still_held(mill, batch["batch_id"]):
                detail = f"[{address}] was decided and not entered"
                yield Finding(kind="no_decision", subject=batch["batch_id"], detail=detail)


# --- parts ---------------------------------------------------------------------------------------


def _parts(mill: Mill, books: _Books) -> Iterator[Finding]:
    """What the ledger says was read, and the parts that must prove it, held against each other."""
    proven: Counter[str] = Counter()
    shown_images: set[str] = set()
    for batch_id, slice_number in sorted(books.parts):
        address = layout.part(batch_id, slice_number)
        try:
            part = mill.store.read_table(address)
        except (ObjectGoneError, AlteredError):
            detail = "the ledger says that this slice was read"
            yield Finding(kind="no_part", subject=address, detail=detail, is_lost=True)
            continue
        columns = ["page_id", "image_id", "page_number", "source_key"]
        for row in part.select(columns).to_pylist():
            shown_images.add(row["image_id"])
            if row["page_number"]:
                # Other readings of a page are history; the one that counts has to be there.
                proven[row["page_id"]] += _counts(books, row, batch_id, slice_number)
                yield from _known_page(books, row, batch_id)
    yield from _unproven(books, proven, shown_images)


def _counts(books: _Books, row: Row, batch_id: str, slice_number: int) -> bool:
    page = books.pages.get(row["page_id"])
    return page is not None and (page["batch_id"], page["slice"]) == (batch_id, slice_number)


def _known_page(books: _Books, row: Row, batch_id: str) -> Iterator[Finding]:
    image = books.images.get(row["image_id"])
    if image and image["batch_id"] != batch_id and image["fate"] != ImageFate.DECODED:
        return  # read again when it had left already
    if row["page_id"] not in books.pages:
        detail = f"page {row['page_number']} was read and is not in the ledger"
        yield Finding(kind="no_page_row", subject=row["source_key"], detail=detail, is_lost=True)


def _unproven(books: _Books, proven: Counter[str], shown_images: set[str]) -> Iterator[Finding]:
    for page_id, page in books.pages.items():
        if proven[page_id] != 1:
            image = books.images[page["image_id"]]
            count = proven[page_id]
            detail = f"page {page['page_number']} [{page_id}] stands in {count} part rows"
            kind = "page_twice" if count else "no_part_row"
            yield Finding(kind=kind, subject=image["key"], detail=detail, is_lost=not count)
    for image_id, image in books.images.items():
        was_read = image["slice"] is not None and image["fate"] != ImageFate.PENDING
        if was_read and not image["page_count"] and image_id not in shown_images:
            detail = f"[{image['fate']}], but no part row says so"
            yield Finding(kind="no_part_row", subject=image["key"], detail=detail, is_lost=True)


# --- quarantine ----------------------------------------------------------------------------------


def _quarantine(mill: Mill, books: _Books) -> Iterator[Finding]:
    """What was set aside must be there: the original, and what was tried."""
    keys = {key for key, _ in mill.store.list_keys("quarantine/")}
    kept = keys | {key[: key.rindex("/") + 1] for key in keys}
    for image, reason in _set_aside(books):
        folder = layout.quarantine(image["collection"], reason, image["image_id"])
        wanted = ["attempts/"] + (["original"] if image["sha256"] else [])
        for name in wanted:
            if folder + name not in kept:
                detail = f"quarantined as [{reason}], but [{folder}{name}] is gone"
                yield Finding(
                    kind="no_quarantine_object",
                    subject=image["key"],
                    detail=detail,
                    is_lost=name == "original",
                )


def _set_aside(books: _Books) -> Iterator[tuple[Row, Any]]:
    wanted = {
        (row["image_id"], row["reason"])
        for row in [*books.images.values(), *books.pages.values()]
        if row["fate"] == ImageFate.QUARANTINED
    }
    for image_id, reason in sorted(wanted):
        if image_id in books.images:
            yield books.images[image_id], reason


# --- snapshots -----------------------------------------------------------------------------------


def _snapshots(mill: Mill, books: _Books) -> Iterator[Finding]:
    """What the newest snapshot must hold, shard by shard and page by page."""
    published = defaultdict(set)
    for page_id, page in books.pages.items():
        if page["fate"] == PageFate.PUBLISHED:
            image = books.images.get(page["image_id"])
            published[image["collection"] if image else ""].add(page_id)
    for snapshot in books.snapshots:
        yield from _snapshot(mill, snapshot, published.pop(snapshot["collection"], set()))
    for collection, page_ids in published.items():
        detail = f"{len(page_ids)} pages are published, but there is no snapshot"
        yield Finding(kind="no_snapshot", subject=collection, detail=detail, is_lost=True)


def _snapshot(mill: Mill, snapshot: Row, published: set[str]) -> Iterator[Finding]:
    folder = layout.dataset(snapshot["collection"])
    try:
        manifest = mill.store.read_json(folder + snapshot["manifest"])
        pointer = mill.store.read(folder + layout.LATEST).decode(errors="replace")
        current = mill.store.read_json(folder + pointer)
    except (ObjectGoneError, AlteredError) as error:
        yield Finding(kind="no_snapshot", subject=folder, detail=str(error), is_lost=True)
        return
    if current["version"] < manifest["version"]:
        detail = f"LATEST names {current['version']}, {manifest['version']} was published"
        yield Finding(kind="stale_pointer", subject=folder, detail=detail, is_lost=True)
    rows: Counter[str] = Counter()
    for shard in manifest["shards"]:
        try:
            content = mill.store.read(folder + shard["path"])
        except ObjectGoneError:
            detail = f"{shard['rows']} rows are gone"
            yield Finding(
                kind="no_shard", subject=folder + shard["path"], detail=detail, is_lost=True
            )
            continue
        if hashlib.sha256(content).hexdigest() != shard["sha256"]:
            detail = f"its {shard['rows']} rows are not those of the manifest"
            subject = folder + shard["path"]
            yield Finding(kind="altered_shard", subject=subject, detail=detail, is_lost=True)
            continue
        page_ids = pq.read_table(pa.BufferReader(content), columns=["page_id"])["page_id"]
        rows.update(page_ids.to_pylist())
    yield from _rows(folder, rows, published)


def _rows(folder: str, rows: Counter[str], published: set[str]) -> Iterator[Finding]:
    for page_id in sorted(published - set(rows)):
        detail = f"page [{page_id}] is published, but in no shard"
        yield Finding(kind="no_dataset_row", subject=folder, detail=detail, is_lost=True)
    for page_id in sorted(set(rows) - published):
        detail = f"page [{page_id}] is in a shard, but not published in the ledger"
        yield Finding(kind="unknown_dataset_row", subject=folder, detail=detail)
    for page_id, count in sorted(rows.items()):
        if count > 1:
            detail = f"page [{page_id}] stands in {count} rows"
            yield Finding(kind="dataset_row_twice", subject=folder, detail=detail)
