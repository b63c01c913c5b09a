"""Holds landing, plans, decisions and parts against the books."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import sqlalchemy as sa

from scanmill import layout, schema
from scanmill.errors import AlteredError, ObjectDeniedError, ObjectGoneError
from scanmill.findings import Finding, FindingKind
from scanmill.ledger import tables as t
from scanmill.models import BatchState, ImageFate, Reason
from scanmill.steps import Mill
from scanmill.steps.auditing.books import Books, Row
from scanmill.store import table_of

UNREADABLE = (ObjectGoneError, ObjectDeniedError, AlteredError)
"""Why an object that has to be there proves nothing."""

_LEFT = {ImageFate.SUPERSEDED, ImageFate.WITHDRAWN}
_BECOMES = {
    ImageFate.DECODED: {ImageFate.DECODED, *_LEFT},
    ImageFate.QUARANTINED: {ImageFate.QUARANTINED, ImageFate.DECODED, *_LEFT},
    ImageFate.IGNORED: {ImageFate.IGNORED},
    ImageFate.SUPERSEDED: {ImageFate.SUPERSEDED},
}
"""What an image may be by now that was read as this."""

_ENTERING = dt.timedelta(seconds=90)  # between the write of a plan and its ledger transaction


def check_landing(mill: Mill, books: Books) -> Iterator[Finding]:
    """What is listed, unknown and old: the sweep should have planned it."""
    patience = dt.timedelta(seconds=mill.settings.pending_alert_seconds)
    oldest = dt.datetime.now(dt.UTC) - patience
    known = {(row["key"], row["version"]) for row in books.images.values()}
    superseded = [row for row in books.images.values() if row["fate"] == ImageFate.SUPERSEDED]
    read = {row["key"] for row in books.images.values() if row["fate"] != ImageFate.SUPERSEDED}
    unread = {row["key"] for row in superseded} - read
    undeleted = {
        (row["key"], row["version"])
        for row in superseded
        if row["reason"] == Reason.DELETED and not row["sha256"]
    }
    generations = {(row["key"], row["etag"]) for row in books.images.values()}
    for listed in mill.store.list_versions(layout.LANDING):
        is_known = (listed.key, listed.version) in known or (
            listed.version == "null" and (listed.key, listed.etag) in generations
        )
        if listed.is_delete_marker:
            continue
        is_unread = listed.key in unread or (listed.key, listed.version) in undeleted
        if is_known and listed.is_latest and is_unread:
            detail = "it was superseded unread and is current again: upload it again"
            yield Finding(FindingKind.NEVER_READ, listed.key, detail, is_lost=True)
        if not is_known and listed.modified_at < oldest:
            detail = f"version [{listed.version}] landed at {listed.modified_at:%F %T} UTC"
            yield Finding(FindingKind.NEVER_PLANNED, listed.key, detail, is_lost=True)


def check_batches(mill: Mill, books: Books) -> Iterator[Finding]:
    """What is kept of the batches, by one listing, held against the books."""
    kept = {key for key, _ in mill.store.list_keys("batches/")}
    yield from _plans(mill, books, kept)
    yield from _decisions(mill, books)
    yield from _judgements(books, kept)


def _plans(mill: Mill, books: Books, kept: set[str]) -> Iterator[Finding]:
    """What a plan holds and the books lack; every batch of either side is looked at."""
    known = {batch["batch_id"] for batch in books.batches}
    planned = {layout.planned_batch(key) for key in kept}
    for batch_id in sorted(known | {batch_id for batch_id in planned if batch_id}):
        address = layout.plan(batch_id)
        try:
            plan = table_of(address, mill.store.read(address), names=schema.PLAN.names)
        except UNREADABLE:
            detail = "the plan of a batch in the ledger cannot be read"
            yield Finding(FindingKind.NO_PLAN, address, detail, is_lost=True, address=address)
            continue
        if batch_id in known:
            yield from _planned(books, batch_id, plan)
        elif not _is_fresh(plan) and _state_by_now(mill, batch_id) is None:
            detail = f"the ledger does not know this plan of {len(plan)} images"
            yield Finding(FindingKind.NO_BATCH_ROW, batch_id, detail, is_lost=True)


def _planned(books: Books, batch_id: str, plan: pa.Table) -> Iterator[Finding]:
    for row in plan.select(["image_id", "key"]).to_pylist():
        if row["image_id"] not in books.images:
            detail = f"planned in [{batch_id}] as image [{row['image_id']}]"
            yield Finding(
                FindingKind.NO_LEDGER_ROW,
                row["key"],
                detail,
                is_lost=True,
                address=layout.plan(batch_id),
            )


def _state_by_now(mill: Mill, batch_id: str) -> str | None:
    """Ask the ledger once more: much may have happened since the books were read."""
    query = sa.select(t.BATCHES.c.state).where(t.BATCHES.c.batch_id == batch_id)
    with mill.ledger.reading() as connection:
        state: str | None = connection.scalar(query)
    return state


def _is_fresh(plan: pa.Table) -> bool:
    """Tell whether a plan is so young that it may be on its way into the ledger."""
    planned_at = (plan.schema.metadata or {}).get(b"planned_at")
    if planned_at is None:
        return False
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(planned_at.decode())
    return age < _ENTERING


def _decisions(mill: Mill, books: Books) -> Iterator[Finding]:
    """What a person decided and the books do not know."""
    for batch in books.batches:
        if batch["state"] != BatchState.HELD:
            continue
        address = layout.decision(batch["batch_id"], books.latest_verdict(batch["batch_id"]))
        is_decided = mill.store.exists(address)
        if is_decided and _state_by_now(mill, batch["batch_id"]) == BatchState.HELD:
            detail = f"[{address}] was decided and not entered"
            yield Finding(FindingKind.NO_DECISION, batch["batch_id"], detail)


def _judgements(books: Books, kept: set[str]) -> Iterator[Finding]:
    """Verdicts and decisions that the books know, and that are gone."""
    wanted = [layout.verdict(*verdict) for verdict in sorted(books.verdicts)]
    wanted += [layout.decision(*decision) for decision in sorted(books.decisions)]
    for address in wanted:
        if address not in kept:
            detail = "the ledger knows what it said; the object is gone"
            yield Finding(FindingKind.NO_JUDGEMENT, address, detail, address=address)


def check_parts(mill: Mill, books: Books) -> Iterator[Finding]:
    """What the ledger says was read, and the parts that must prove it, held against each other."""
    proven: Counter[str] = Counter()
    shown_images: set[str] = set()
    for batch_id, slice_number in sorted(books.parts):
        address = layout.part(batch_id, slice_number)
        try:
            part = table_of(address, mill.store.read(address), names=schema.PAGES.names)
        except UNREADABLE:
            detail = "the ledger says that this slice was read"
            yield Finding(FindingKind.NO_PART, address, detail, is_lost=True, address=address)
            continue
        if len(part) != books.parts[batch_id, slice_number]:
            detail = f"it has {len(part)} rows; {books.parts[batch_id, slice_number]} were entered"
            yield Finding(FindingKind.ALTERED_PART, address, detail, address=address)
        columns = ["page_id", "image_id", "page_number", "source_key", "image_fate", "sha256"]
        for row in part.select(columns).to_pylist():
            yield from _same_image(books, row, batch_id, address)
            shown_images.add(row["image_id"])
            if row["page_number"]:
                # Other readings of a page are history; the one that counts has to be there.
                proven[row["page_id"]] += _counts(books, row, batch_id, slice_number)
                yield from _known_page(books, row, batch_id, address)
    yield from _unproven(books, proven, shown_images)


def _same_image(books: Books, row: Row, batch_id: str, address: str) -> Iterator[Finding]:
    """Hold the first reading of an image against what the ledger says of it."""
    image = books.images.get(row["image_id"])
    if image is None or image["batch_id"] != batch_id:
        return
    if image["fate"] not in _BECOMES.get(row["image_fate"], ()) or image["sha256"] != row["sha256"]:
        detail = f"read as [{row['image_fate']}], now [{image['fate']}]; or its sha256 is another"
        yield Finding(FindingKind.ALTERED_IMAGE_ROW, row["source_key"], detail, address=address)


def _counts(books: Books, row: Row, batch_id: str, slice_number: int) -> bool:
    page = books.pages.get(row["page_id"])
    return page is not None and (page["batch_id"], page["slice"]) == (batch_id, slice_number)


def _known_page(books: Books, row: Row, batch_id: str, address: str) -> Iterator[Finding]:
    image = books.images.get(row["image_id"])
    if image and image["batch_id"] != batch_id and image["fate"] != ImageFate.DECODED:
        return  # read again when it had left already
    if row["page_id"] not in books.pages:
        detail = f"page {row['page_number']} was read and is not in the ledger"
        subject = row["source_key"]
        yield Finding(FindingKind.NO_PAGE_ROW, subject, detail, is_lost=True, address=address)


def _unproven(books: Books, proven: Counter[str], shown_images: set[str]) -> Iterator[Finding]:
    for page_id, page in books.pages.items():
        if proven[page_id] != 1:
            image = books.images[page["image_id"]]
            count = proven[page_id]
            detail = f"page {page['page_number']} [{page_id}] stands in {count} part rows"
            kind = FindingKind.PAGE_TWICE if count else FindingKind.NO_PART_ROW
            address = layout.part(page["batch_id"], page["slice"])
            yield Finding(kind, image["key"], detail, is_lost=not count, address=address)
    for image_id, image in books.images.items():
        was_read = image["slice"] is not None and image["fate"] != ImageFate.PENDING
        if was_read and not image["page_count"] and image_id not in shown_images:
            detail = f"[{image['fate']}], but no part row says so"
            address = layout.part(image["batch_id"], image["slice"])
            kind = FindingKind.NO_PART_ROW
            yield Finding(kind, image["key"], detail, is_lost=True, address=address)
