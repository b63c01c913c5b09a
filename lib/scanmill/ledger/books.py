"""How an object in the bucket becomes entries of the ledger: one function for each kind of object.

Every function may be called again with the same object and changes nothing the second time, so a
killed step is run again, a lost ledger made again, and a gap healed by the very same code. Only the
transitions of the law of accounts exist; who comes late changes nothing.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from scanmill import layout, schema
from scanmill.ledger import tables as t
from scanmill.ledger.receipts import pieces
from scanmill.models import BatchKind, BatchState, ImageFate, PageFate, Reason, Signature

_ROWS_AT_ONCE = 500  # below the smallest limit on bound values in one statement


def insert_new(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows that are not there yet, and leave those that are."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        statement = dialect.insert(table).on_conflict_do_nothing()
        connection.execute(statement, list(rows[start : start + _ROWS_AT_ONCE]))


def enter_plan(connection: Connection, batch_id: str, plan: pa.Table) -> None:
    """Enter a plan: its images have landed, and those without a slice have their fate already.

    The images of a plan to read again have landed before.
    """
    rows = plan.to_pylist()
    kind = BatchKind.REPROCESS if schema.REPROCESS in plan.schema.metadata else BatchKind.INTAKE
    collection, sequence = layout.split_batch_id(batch_id) or (layout.ROOT_COLLECTION, 0)
    slices = {row["slice"] for row in rows if row["slice"] is not None}
    batch = {
        "batch_id": batch_id,
        "collection": collection,
        "sequence": sequence,
        "kind": kind,
        "image_count": len(rows),
        "slice_count": len(slices),
        "planned_at": dt.datetime.fromisoformat(_metadata(plan, "planned_at")),
        "state": BatchState.PLANNED if slices else BatchState.SETTLED,
    }
    insert_new(connection, t.BATCHES, [batch])
    if kind is BatchKind.INTAKE:
        insert_new(connection, t.IMAGES, [_image(row, batch_id, collection) for row in rows])


def _image(row: Mapping[str, Any], batch_id: str, collection: str) -> dict[str, Any]:
    columns = ("image_id", "bucket", "key", "version", "etag", "size_bytes", "modified_at")
    return {name: row[name] for name in (*columns, "slice", "reason", "successor_id")} | {
        "batch_id": batch_id,
        "collection": collection,
        "fate": row["fate"] or ImageFate.PENDING,
        "page_count": 0,
    }


def enter_part(connection: Connection, batch_id: str, slice_number: int, part: pa.Table) -> None:
    """Enter what one slice read: the fates of its images, and every page that was found.

    Of images read again, only those that could not be opened before, and pages that were not found
    before, have a new fate by this; all else is history until a better result is published.
    """
    rows = part.drop_columns(["text"]).to_pylist()
    entry = {
        "batch_id": batch_id,
        "slice": slice_number,
        "row_count": len(rows),
        "log_url": _metadata(part, "log_url"),
    }
    if _is_new_part(connection, entry):
        insert_new(connection, t.PARTS, [entry])
        touch(connection, batch_id)  # entered again it moves nothing: the batch may stand still
    insert_new(connection, t.ATTEMPTS, [_attempt(row) for row in rows])
    firsts = list({row["image_id"]: row for row in reversed(rows)}.values())
    for row in firsts:
        _settle_image(connection, row)
    opened = _opened(connection, firsts)
    pages = [row for row in rows if row["page_number"] > 0 and row["image_id"] in opened]
    insert_new(connection, t.PAGES, [_page(row) for row in pages])


def _is_new_part(connection: Connection, entry: Mapping[str, Any]) -> bool:
    parts = t.PARTS.c
    same = sa.and_(parts.batch_id == entry["batch_id"], parts.slice == entry["slice"])
    return not connection.scalar(sa.select(sa.exists().where(same)))


def _settle_image(connection: Connection, row: Mapping[str, Any]) -> None:
    images = t.IMAGES.c
    is_set_aside = row["image_fate"] != ImageFate.DECODED
    first = sa.and_(images.fate == ImageFate.PENDING, images.batch_id == row["batch_id"])
    again = sa.and_(
        images.fate.in_((ImageFate.QUARANTINED, ImageFate.DECODED)),
        images.batch_id != row["batch_id"],
        images.page_count < row["page_count"],
    )
    connection.execute(
        sa.update(t.IMAGES)
        .where(images.image_id == row["image_id"], first if is_set_aside else sa.or_(first, again))
        .values(
            fate=row["image_fate"],
            reason=row["reason"] if is_set_aside else None,
            detail=row["detail"] if is_set_aside else None,
            sha256=sa.func.coalesce(images.sha256, row["sha256"]),
            page_count=row["page_count"],
        )
    )


def _opened(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the images whose pages these rows may add: those that the part was first to read.

    An image that has left the books' present meanwhile gets no new pages by being read again.
    """
    ids = [row["image_id"] for row in rows]
    batch_ids = {row["batch_id"] for row in rows}
    images = t.IMAGES.c
    is_open = sa.or_(images.batch_id.in_(batch_ids), images.fate == ImageFate.DECODED)
    query = sa.select(images.image_id).where(is_open)
    found: set[str] = set()
    for some in pieces(ids):
        found.update(connection.scalars(query.where(images.image_id.in_(some))))
    return found


def _attempt(row: Mapping[str, Any]) -> dict[str, Any]:
    return {column.name: row[column.name] for column in t.ATTEMPTS.columns}


def _page(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("page_id", "image_id", "batch_id", "slice", "page_number", "fate", "reason", "detail")
    return {name: row[name] for name in names}


def enter_signatures(
    connection: Connection,
    collection: str,
    batch_id: str,
    signatures: Mapping[str, Signature],
) -> None:
    """Enter by which bands a page's text is looked up, and the sketch that it is compared by.

    Of pages that were read in this batch and have no better reading since: others keep theirs.
    """
    pages = t.PAGES.c
    mine = sa.select(pages.page_id).where(pages.batch_id == batch_id)
    counted = set(connection.scalars(mine))
    wanted = {page_id: one for page_id, one in signatures.items() if page_id in counted}
    _insert_signatures(connection, collection, wanted)


def _insert_signatures(
    connection: Connection, collection: str, signatures: Mapping[str, Signature]
) -> None:
    bands = [
        {"collection": collection, "band": band, "page_id": page_id}
        for page_id, signature in signatures.items()
        for band in signature.bands
    ]
    sketches = [
        {"page_id": page_id, "minhash": signature.sketch}
        for page_id, signature in signatures.items()
        if signature.sketch
    ]
    insert_new(connection, t.SIGNATURES, bands)
    insert_new(connection, t.SKETCHES, sketches)


def enter_recognized(connection: Connection, batch_id: str, *, has_pages: bool) -> None:
    """Note that every slice of a batch is read; without one readable page it is settled."""
    state = BatchState.RECOGNIZED if has_pages else BatchState.SETTLED
    _move_batch(connection, batch_id, state, only_from=(BatchState.PLANNED,))


def enter_verdict(
    connection: Connection, batch_id: str, number: int, verdict: Mapping[str, Any]
) -> None:
    """Enter a gate's verdict; a failed one holds every page of the batch that is still pending."""
    columns = ("gate", "passed", "severity", "suite_sha256", "report")
    entry = {"batch_id": batch_id, "number": number} | {name: verdict[name] for name in columns}
    insert_new(connection, t.VERDICTS, [entry])
    is_old = latest_number(connection, t.VERDICTS, batch_id) != number
    if is_old or latest_number(connection, t.DECISIONS, batch_id) >= number:
        return  # a decision has the number of the verdict that it is about
    before = (BatchState.PLANNED, BatchState.RECOGNIZED, BatchState.PASSED, BatchState.RELEASED)
    if verdict["passed"]:
        may_pass = (*before[:2], BatchState.HELD)  # held once, and judged by a mended suite
        _move_batch(connection, batch_id, BatchState.PASSED, only_from=may_pass)
        return
    _move_batch(connection, batch_id, BatchState.HELD, only_from=before)
    connection.execute(
        sa.update(t.PAGES)
        .where(
            t.PAGES.c.batch_id == batch_id,
            t.PAGES.c.fate.in_((PageFate.PENDING, PageFate.HELD)),
        )
        .values(fate=PageFate.HELD, reason=verdict["gate"])
    )


def enter_decision(
    connection: Connection, batch_id: str, number: int, decision: Mapping[str, Any]
) -> None:
    """Enter a person's decision on a held batch; a discarded one leaves the books as withdrawn.

    The first decision on a verdict counts, and only while that verdict is the latest.
    """
    entry = {
        "batch_id": batch_id,
        "number": number,
        "verb": decision["verb"],
        "gate": decision["gate"],
        "decided_by": decision["decided_by"],
        "because": decision["because"],
        "decided_at": dt.datetime.fromisoformat(decision["decided_at"]),
    }
    insert_new(connection, t.DECISIONS, [entry])
    first = _decided(connection, batch_id, number)
    is_old = latest_number(connection, t.VERDICTS, batch_id) > number
    if is_old or first != decision["verb"]:
        return
    if first == "release":
        _move_batch(connection, batch_id, BatchState.RELEASED, only_from=(BatchState.HELD,))
        return
    _move_batch(connection, batch_id, BatchState.DISCARDED, only_from=(BatchState.HELD,))
    connection.execute(
        sa.update(t.PAGES)
        .where(
            t.PAGES.c.batch_id == batch_id,
            t.PAGES.c.fate.in_((PageFate.HELD, PageFate.PENDING)),
        )
        .values(fate=PageFate.WITHDRAWN, reason=Reason.DISCARDED)
    )
    pages = t.PAGES.c
    elsewhere = sa.exists().where(  # a page that was read again counts in the batch that did it
        pages.image_id == t.IMAGES.c.image_id,
        pages.batch_id != batch_id,
        pages.fate != PageFate.WITHDRAWN,
    )
    connection.execute(
        sa.update(t.IMAGES)
        .where(t.IMAGES.c.batch_id == batch_id, t.IMAGES.c.fate == ImageFate.DECODED, ~elsewhere)
        .values(fate=ImageFate.WITHDRAWN, reason=Reason.DISCARDED)
    )


def _decided(connection: Connection, batch_id: str, number: int) -> str | None:
    decisions = t.DECISIONS.c
    same = sa.and_(decisions.batch_id == batch_id, decisions.number == number)
    verb: str | None = connection.scalar(sa.select(decisions.verb).where(same))
    return verb


def enter_snapshot(
    connection: Connection, collection: str, manifest: Mapping[str, Any], fates: pa.Table
) -> None:
    """Enter a published snapshot: the fates come from it, never computed again after the swap."""
    entry = {
        "collection": collection,
        "version": manifest["version"],
        "manifest": manifest["name"],
        "batch_id": manifest["batch_id"],
    } | manifest["rows"]
    insert_new(connection, t.SNAPSHOTS, [entry])
    rows = fates.to_pylist()
    for row in rows:
        has_moved = _move_page(connection, row, manifest["version"])
        if has_moved and row.get("batch_id"):
            _change_signature(connection, collection, row)
    superseded = [row for row in rows if row["fate"] == PageFate.SUPERSEDED]
    _supersede_images(connection, superseded, by=manifest["batch_id"])
    before = (BatchState.RECOGNIZED, BatchState.PASSED, BatchState.RELEASED, BatchState.HELD)
    _move_batch(connection, manifest["batch_id"], BatchState.BUILT, only_from=before)


def _move_page(connection: Connection, row: Mapping[str, Any], snapshot: int) -> bool:
    """Give a page the fate of a snapshot, and its new reading if there is one; tell if it moved."""
    pages = t.PAGES.c
    is_new = row.get("batch_id")  # absent from what version 0.1 wrote before there were attempts
    reading = {name: row[name] for name in ("batch_id", "slice")} if is_new else {}
    moved = connection.execute(
        sa.update(t.PAGES)
        .where(
            pages.page_id == row["page_id"],
            sa.or_(pages.snapshot.is_(None), pages.snapshot < snapshot),
            pages.fate.not_in((PageFate.WITHDRAWN, PageFate.SUPERSEDED)),
        )
        .values(
            fate=row["fate"],
            reason=row["reason"],
            other_page_id=row["other_page_id"],
            shard=row["shard"],
            split=row["split"],
            snapshot=snapshot,
            **reading,
        )
    )
    return bool(moved.rowcount)


def _change_signature(connection: Connection, collection: str, row: Mapping[str, Any]) -> None:
    """Replace what a page's text is found by: it was read again, and reads better."""
    page_id = row["page_id"]
    for table in (t.SIGNATURES, t.SKETCHES):
        connection.execute(sa.delete(table).where(table.c.page_id == page_id))
    signature = Signature(bands=tuple(row["bands"]), sketch=row["sketch"])
    _insert_signatures(connection, collection, {page_id: signature})


def _supersede_images(
    connection: Connection, rows: Iterable[Mapping[str, Any]], *, by: str
) -> None:
    """Move an image with its pages: the reason is theirs, the successor is the newer version."""
    for image_id, reason in {row["image_id"]: row["reason"] for row in rows}.items():
        connection.execute(
            sa.update(t.IMAGES)
            .where(t.IMAGES.c.image_id == image_id, t.IMAGES.c.fate == ImageFate.DECODED)
            .values(
                fate=ImageFate.SUPERSEDED,
                reason=reason,
                successor_id=_successor(image_id, by),
            )
        )


def _successor(image_id: str, batch_id: str) -> sa.ScalarSelect[Any]:
    """Select the version that replaced an image: this batch's, else the next that was opened."""
    old, new = t.IMAGES.alias("old"), t.IMAGES.alias("new")
    return (
        sa.select(new.c.image_id)
        .join(old, sa.and_(old.c.collection == new.c.collection, old.c.key == new.c.key))
        .where(
            old.c.image_id == image_id,
            new.c.batch_id > old.c.batch_id,
            new.c.page_count > 0,
        )
        .order_by(new.c.batch_id != batch_id, new.c.batch_id)
        .limit(1)
        .scalar_subquery()
    )


def latest_number(connection: Connection, table: sa.Table, batch_id: str) -> int:
    """Return the highest number that a batch has in the verdicts or decisions, 0 without any."""
    highest = sa.select(sa.func.max(table.c.number)).where(table.c.batch_id == batch_id)
    return connection.scalar(highest) or 0


def touch(connection: Connection, batch_id: str) -> None:
    """Note that something happened to a batch: it is not stalled."""
    _note(connection, batch_id, touched_at=dt.datetime.now(dt.UTC))


def note_announced(connection: Connection, batch_ids: Sequence[str]) -> None:
    """Note that the consumers of these batches were rung for."""
    for batch_id in batch_ids:
        _note(connection, batch_id, announced_at=dt.datetime.now(dt.UTC))


def note_built_for(connection: Connection, batch_ids: Sequence[str]) -> None:
    """Note that these batches were announced to be built."""
    for batch_id in batch_ids:
        _note(connection, batch_id, built_for_at=dt.datetime.now(dt.UTC))


def _note(connection: Connection, batch_id: str, **moment: dt.datetime) -> None:
    insert_new(connection, t.DOORBELLS, [{"batch_id": batch_id}])
    doorbell = sa.update(t.DOORBELLS).where(t.DOORBELLS.c.batch_id == batch_id)
    connection.execute(doorbell.values(**moment))


def _move_batch(
    connection: Connection, batch_id: str, state: BatchState, *, only_from: Sequence[BatchState]
) -> None:
    moved = connection.execute(
        sa.update(t.BATCHES)
        .where(t.BATCHES.c.batch_id == batch_id, t.BATCHES.c.state.in_(only_from))
        .values(state=state)
    )
    if moved.rowcount:
        touch(connection, batch_id)


def _metadata(table: pa.Table, name: str) -> str:
    content: bytes = table.schema.metadata[name.encode()]
    return content.decode()
