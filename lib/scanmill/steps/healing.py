"""Heals: puts back what we wrote, takes the pipeline's own steps, audits again; deletes nothing."""

import logging
from collections.abc import Callable

import sqlalchemy as sa

from scanmill import layout
from scanmill.dataset import card, manifests
from scanmill.errors import AlteredError, FatalError, ObjectGoneError
from scanmill.findings import hints, recalled
from scanmill.inert import inert
from scanmill.ledger import receipts
from scanmill.ledger import tables as t
from scanmill.steps import Mill, looking, planning, ringing
from scanmill.steps.auditing import audit
from scanmill.steps.building import catch_up, write_card
from scanmill.steps.rebuilding import rebuild
from scanmill.steps.restoring import put_back
from scanmill.steps.telling import settle

log = logging.getLogger(__name__)


def heal(mill: Mill) -> int:
    """Mend what can be mended and return how many findings the last audit had that are gone now.

    Raises:
        FatalError: something is off that no step can mend; an alert names it.
    """
    with mill.ledger.reading() as connection:
        latest = receipts.latest_audit(connection)
    before = [recalled(entry) for entry in latest["findings"]] if latest else audit(mill)
    put_back(mill, before)
    is_mended = _mend(mill, _finish_publishing)
    _plan_what_nobody_planned(mill)
    if is_mended and not before:
        return 0
    _mend(mill, rebuild)
    left = audit(mill)
    settle(mill, looking.findings(mill))
    if left:
        raise FatalError(
            f"The books do not balance: {len(left)} findings, first [{left[0].kind}] on "
            f"[{inert(left[0].subject)}]. {hints[left[0].kind].remedy} "
            "All of them: ./scanmill audit"
        )
    return len(before)


def _mend(mill: Mill, work: Callable[[Mill], object]) -> bool:
    """Do a part of the mending; damaged objects end it, and the audit that follows names them."""
    try:
        work(mill)
    except (AlteredError, ObjectGoneError) as error:
        log.warning("mending broke off: %s", inert(str(error), limit=300))
        return False
    return True


def _plan_what_nobody_planned(mill: Mill) -> None:
    """Plan what landed and is in no plan, and ring for it: no queue and no sweep may be there."""
    planned = planning.plan_batches(mill)
    if planned and ringing.ring(mill, "image_batches", planned):
        planning.note_announced(mill, planned)


def _put_pointer_back(mill: Mill, newest: sa.RowMapping) -> None:
    """Let `LATEST` name the newest snapshot that was published, if it is gone or names an older."""
    collection = newest["collection"]
    address = layout.dataset(collection) + layout.LATEST
    version, etag = 0, None
    try:
        pointer, etag = mill.store.read_tagged(address)
        if pointer == newest["manifest"].encode():
            return
        named, _, _ = manifests.read_latest(mill.store, collection)
        version = named.version if named else 0
    except (AlteredError, ObjectGoneError):
        log.warning("collection=%s names no snapshot that there is", collection)
    if version < newest["version"]:
        log.warning("collection=%s snapshot=%d is current again", collection, newest["version"])
        mill.store.swap(address, newest["manifest"].encode(), etag=etag)


def _finish_publishing(mill: Mill) -> None:
    """Enter swaps that were not entered, and write cards that are not of the current snapshot."""
    with mill.ledger.reading() as connection:
        collections = list(connection.scalars(sa.select(t.BATCHES.c.collection).distinct()))
        published = receipts.latest_snapshots(connection)
    for newest in published:
        _put_pointer_back(mill, newest)
    for collection in collections:
        manifest, _, _ = manifests.read_latest(mill.store, collection)
        if manifest is None:
            continue
        catch_up(mill, collection)
        try:
            written = mill.store.read(layout.dataset(collection) + "README.md").decode()
        except ObjectGoneError:
            written = ""
        if written != card.card(manifest):
            write_card(mill, manifest)
