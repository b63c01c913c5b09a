"""Enters into the ledger what the bucket holds of a batch: after a crash, a loss, or a rebuild."""

import logging
from collections.abc import Iterable

import pyarrow as pa

from scanmill import layout, schema
from scanmill.dataset import duplicates
from scanmill.errors import ObjectGoneError
from scanmill.ledger import books, receipts
from scanmill.steps import Mill

log = logging.getLogger(__name__)


def adopt_plan(mill: Mill, batch_id: str) -> bool:
    """Enter a plan that is in the bucket; return whether there is one."""
    try:
        plan = mill.store.read_table(layout.plan(batch_id), names=schema.PLAN.names)
    except ObjectGoneError:
        return False
    with mill.ledger.writing() as connection:
        books.enter_plan(connection, batch_id, plan)
    return True


def adopt_part(mill: Mill, batch_id: str, slice_number: int) -> bool:
    """Enter the part of a slice that is in the bucket; return whether there is one."""
    try:
        part = mill.store.read_table(layout.part(batch_id, slice_number), names=schema.PAGES.names)
    except ObjectGoneError:
        return False
    enter_part(mill, batch_id, slice_number, part)
    return True


def enter_part(mill: Mill, batch_id: str, slice_number: int, part: pa.Table) -> None:
    """Enter what a slice read, and the signatures by which the build will find duplicates."""
    signatures = {
        row["page_id"]: duplicates.sign(row["text"])
        for row in part.select(["page_id", "text"]).to_pylist()
        if row["text"]
    }
    with mill.ledger.writing() as connection:
        books.enter_part(connection, batch_id, slice_number, part)
        books.enter_signatures(connection, collection_of(batch_id), batch_id, signatures)


def adopt_batches(mill: Mill, collection: str, batch_ids: Iterable[str]) -> None:
    """Enter plans, parts, verdicts and decisions of batches, then the fates of all snapshots."""
    for batch_id in batch_ids:
        _adopt_batch(mill, batch_id)
    adopt_snapshots(mill, collection, since=0)


def _adopt_batch(mill: Mill, batch_id: str) -> None:
    log.info("entering again batch=%s", batch_id)
    adopt_plan(mill, batch_id)
    for slice_number in _planned_slices(mill, batch_id):
        adopt_part(mill, batch_id, slice_number)
    _settle(mill, batch_id)
    _adopt_judgements(mill, batch_id)


def _settle(mill: Mill, batch_id: str) -> None:
    """Settle a batch that was read to the end without one readable page: it has no verdict."""
    with mill.ledger.writing() as connection:
        is_read = not receipts.unread_slices(connection, batch_id)
        if is_read and not receipts.has_readable_page(connection, batch_id):
            books.enter_recognized(connection, batch_id, has_pages=False)


def _planned_slices(mill: Mill, batch_id: str) -> range:
    with mill.ledger.reading() as connection:
        batch = receipts.batch(connection, batch_id)
    return range(batch["slice_count"] if batch else 0)


def _adopt_judgements(mill: Mill, batch_id: str) -> None:
    """Enter verdicts and decisions in the order in which they were given: 1, 1, 2, 2, ..."""
    number = 1
    while True:
        try:
            verdict = mill.store.read_json(layout.verdict(batch_id, number))
        except ObjectGoneError:
            return
        with mill.ledger.writing() as connection:
            books.enter_recognized(connection, batch_id, has_pages=True)
            books.enter_verdict(connection, batch_id, number, verdict)
        adopt_decision(mill, batch_id, number)
        number += 1


def adopt_decision(mill: Mill, batch_id: str, number: int) -> bool:
    """Enter the decision on a verdict that is in the bucket; return whether there is one."""
    try:
        decision = mill.store.read_json(layout.decision(batch_id, number))
    except ObjectGoneError:
        return False
    with mill.ledger.writing() as connection:
        books.enter_decision(connection, batch_id, number, decision)
    return True


def adopt_snapshots(mill: Mill, collection: str, *, since: int) -> None:
    """Enter the snapshots of a dataset that are younger than `since`, oldest first."""
    folder = layout.dataset(collection)
    try:
        name = mill.store.read(folder + layout.LATEST).decode(errors="replace")
    except ObjectGoneError:
        return
    manifests = []
    manifest_names = ("version", "parent", "batch_id", "rows", "fates")
    while name:
        manifest = mill.store.read_json(folder + name, names=manifest_names)
        if manifest["version"] <= since:
            break
        manifests.append(manifest | {"name": name})
        name = manifest["parent"]
    for manifest in reversed(manifests):
        if not _is_read(mill, manifest["batch_id"]):
            _adopt_batch(mill, manifest["batch_id"])  # else its pages would miss their fates
        fates = mill.store.read_table(folder + manifest["fates"])
        with mill.ledger.writing() as connection:
            books.enter_snapshot(connection, collection, manifest, fates)


def _is_read(mill: Mill, batch_id: str) -> bool:
    """Tell whether the ledger knows every slice of a batch; one that is behind may not."""
    with mill.ledger.reading() as connection:
        is_known = receipts.batch(connection, batch_id) is not None
        return is_known and not receipts.unread_slices(connection, batch_id)


def collection_of(batch_id: str) -> str:
    """Return the collection that a batch belongs to."""
    parts = layout.split_batch_id(batch_id)
    return parts[0] if parts else layout.ROOT_COLLECTION
