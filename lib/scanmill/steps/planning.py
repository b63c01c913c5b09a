"""Plans batches: what the bucket lists and the ledger does not know has landed with its plan."""

import dataclasses
import datetime as dt
import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill import layout, schema
from scanmill.errors import FatalError, LostRaceError
from scanmill.ledger import books, receipts, recipes
from scanmill.ledger import tables as t
from scanmill.listing import Listed
from scanmill.models import Image, ImageFate, Reason, counted_etag, generation
from scanmill.steps import Mill
from scanmill.steps.adopting import adopt_batches, adopt_plan
from scanmill.store import parquet_bytes

SLICE_BYTES = 500_000_000
"""The most that a slice holds, unless one image has more.

A slice is one task, with a time limit. Documents of hundreds of pages have some 20 kB a page at the
least: 25,000 pages, which two cores read in four hours at a second a page.
"""

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """An image that nobody has accounted for, and its fate where that is plain without reading."""

    image: Image
    fate: ImageFate | None = None
    reason: Reason | None = None
    successor_id: str | None = None


def plan_batches(mill: Mill, *, folders: Sequence[str] | None = None) -> list[str]:
    """Plan everything that landed unseen and return the batches planned, oldest first.

    With `folders`, only these are listed: a doorbell names them to be quick. Whatever a doorbell
    missed is found by the sweep, which lists everything.

    Raises:
        FatalError: the bucket keeps no versions although the settings demand them.
    """
    if mill.settings.require_versioning and not mill.store.is_versioned():
        raise FatalError(
            f"Bucket [{mill.settings.bucket}] keeps no versions: an overwritten scan would vanish. "
            "Enable versioning on it, or set SCANMILL_REQUIRE_VERSIONING=false."
        )
    by_collection: dict[str, list[Landed]] = {}
    for landed in list_unseen(mill, folders):
        by_collection.setdefault(layout.collection_of(landed.image.key), []).append(landed)
    planned = []
    for collection, unseen in sorted(by_collection.items()):
        planned += _plan_collection(mill, collection, unseen)
    return planned


def batches_to_announce(mill: Mill) -> list[str]:
    """Return the batches whose recognition nobody was rung for, or that came to a halt.

    A batch that waits in Airflow's queue is not rung for again: as long as others move and none
    that was announced later has begun, its turn is still to come.
    """
    with mill.ledger.reading() as connection:
        return receipts.unheard_batches(connection, **_patience(mill))


def batches_to_build(mill: Mill) -> list[str]:
    """Return the batches that may be built and are not, though nothing else is going on."""
    with mill.ledger.reading() as connection:
        return receipts.unbuilt_batches(connection, **_patience(mill))


def note_announced(mill: Mill, batch_ids: Sequence[str]) -> None:
    """Note that the readers of these batches are being rung for."""
    with mill.ledger.writing() as connection:
        books.note_announced(connection, batch_ids)


def note_built_for(mill: Mill, batch_ids: Sequence[str]) -> None:
    """Note that the builders of these batches are being rung for."""
    with mill.ledger.writing() as connection:
        books.note_built_for(connection, batch_ids)


def _patience(mill: Mill) -> dict[str, dt.datetime]:
    now = dt.datetime.now(dt.UTC)
    return {
        "idle_since": now - dt.timedelta(seconds=mill.settings.announce_again_seconds),
        "stalled_since": now - dt.timedelta(seconds=mill.settings.stalled_seconds),
    }


# --- what is unseen ------------------------------------------------------------------------------


def list_unseen(mill: Mill, folders: Sequence[str] | None = None) -> list[Landed]:
    """Return every listed version that the ledger does not know, by key, newest version first."""
    landed: dict[str, Landed] = {}  # one folder may lie within another
    for prefix in folders if folders is not None else [layout.LANDING]:
        for versions in _by_key(mill.store.list_versions(prefix)):
            landed |= {one.image.image_id: one for one in _landed(mill, versions)}
    return _without_known(mill, list(landed.values()))


def _by_key(listed: Iterable[Listed]) -> Iterator[list[Listed]]:
    """Yield the entries of one key at a time, the newest first.

    The store's times have whole seconds only; the sort is stable and keeps its order of equals.
    """
    entries = sorted(listed, key=lambda e: (e.key, not e.is_latest, -e.modified_at.timestamp()))
    for _, versions in itertools.groupby(entries, key=lambda e: e.key):
        yield list(versions)


def _landed(mill: Mill, versions: Sequence[Listed]) -> list[Landed]:
    """Judge the versions of one key: the newest is work, the others came too late to be read."""
    landed: list[Landed] = []
    newer: Listed | None = None
    successor: str | None = None
    for listed in versions:
        if not listed.is_delete_marker:
            image = _image(mill, listed)
            reason = _passed_over(newer)
            rule = layout.ignored_by(image.key)
            if rule:
                landed.append(Landed(image=image, fate=ImageFate.IGNORED, reason=rule))
            elif reason:
                fate = ImageFate.SUPERSEDED
                landed.append(Landed(image=image, fate=fate, reason=reason, successor_id=successor))
            else:
                landed.append(Landed(image=image))
            successor = image.image_id
        newer = listed
    return landed


def _passed_over(newer: Listed | None) -> Reason | None:
    if newer is None:
        return None
    return Reason.DELETED if newer.is_delete_marker else Reason.OVERWRITTEN


def _image(mill: Mill, listed: Listed) -> Image:
    image = Image(
        bucket=mill.store.bucket,
        key=listed.key,
        version=listed.version,
        etag=listed.etag,
        size_bytes=listed.size_bytes,
        modified_at=listed.modified_at,
    )
    if listed.version != "null":  # also of the time before, or between, versions were kept
        return image
    return dataclasses.replace(image, version=_generation(mill, listed))


def _generation(mill: Mill, listed: Listed) -> str:
    """Return the version of an object without one: another content under the key is a new one."""
    images = t.IMAGES.c
    same_key = sa.and_(
        images.collection == layout.collection_of(listed.key), images.key == listed.key
    )
    with mill.ledger.reading() as connection:
        query = sa.select(images.version, images.fate).where(same_key).order_by(images.batch_id)
        counted = [row for row in connection.execute(query) if counted_etag(row.version)]
    current = generation(listed.etag, listed.size_bytes, len(counted))
    is_known = bool(counted) and counted[-1].version == current
    # One that was gone before it was read, and is there again, was uploaded a second time.
    is_back = is_known and listed.is_latest and counted[-1].fate == ImageFate.SUPERSEDED
    if is_known and not is_back:
        return current
    return generation(listed.etag, listed.size_bytes, len(counted) + 1)


# --- planning ------------------------------------------------------------------------------------


def _plan_collection(mill: Mill, collection: str, unseen: list[Landed]) -> list[str]:
    # Labels and documents come first: a cut must not decide who gets them.
    unseen = sorted(unseen, key=lambda one: not layout.is_metadata(one.image.key))
    planned: list[str] = []
    while True:
        unseen, sequence = _not_planned_yet(mill, collection, unseen)
        if not unseen:
            return planned
        some = unseen[: mill.settings.batch_images]
        batch_id = layout.batch_id(collection, sequence)
        if commit_plan(mill, batch_id, _plan_table(some, slice_images(mill, collection))):
            planned.append(batch_id)  # else the next round adopts the plan of who was first


def commit_plan(mill: Mill, batch_id: str, plan: pa.Table) -> bool:
    """Write a plan and enter it, unless somebody else was first under this number."""
    try:
        mill.store.create(layout.plan(batch_id), parquet_bytes(plan))
    except LostRaceError:
        log.info("batch=%s was planned by somebody else", batch_id)
        return False
    with mill.ledger.writing() as connection:
        books.enter_plan(connection, batch_id, plan)
    log.info("planned batch=%s images=%d", batch_id, len(plan))
    return True


def adopt_newer_plans(mill: Mill, collection: str) -> int:
    """Adopt the plans of a collection that the ledger does not know; return the next number."""
    with mill.ledger.reading() as connection:
        sequence = receipts.newest_sequence(connection, collection) + 1
    while adopt_plan(mill, layout.batch_id(collection, sequence)):
        sequence += 1
    return sequence


def _not_planned_yet(
    mill: Mill, collection: str, unseen: Sequence[Landed]
) -> tuple[list[Landed], int]:
    """Adopt the plans that the ledger does not know; return what none holds, and the next number.

    Both are of one moment: a plan that is entered later has this number, and ours is refused.
    """
    adopt_newer_plans(mill, collection)
    unseen = _without_known(mill, unseen)
    _adopt_forgotten(mill, collection, unseen)
    with mill.ledger.reading() as connection:
        return unknown(connection, unseen), receipts.newest_sequence(connection, collection) + 1


def _without_known(mill: Mill, landed: Sequence[Landed]) -> list[Landed]:
    with mill.ledger.reading() as connection:
        return unknown(connection, landed)


def unknown(connection: Connection, landed: Sequence[Landed]) -> list[Landed]:
    """Return what of this the ledger does not know."""
    known = receipts.known_images(connection, [one.image.image_id for one in landed])
    return [one for one in landed if one.image.image_id not in known]


def _adopt_forgotten(mill: Mill, collection: str, unseen: Sequence[Landed]) -> None:
    """Put images back that a known plan holds although the ledger lost their rows.

    An image that landed after every plan was written cannot be in one, so that in everyday
    running no plan is read here.
    """
    if not unseen:
        return
    oldest = min(one.image.modified_at for one in unseen)
    batches = t.BATCHES.c
    query = sa.select(batches.batch_id).where(
        batches.collection == collection, batches.planned_at >= oldest
    )
    with mill.ledger.reading() as connection:
        candidates = list(connection.scalars(query.order_by(batches.batch_id)))
    missing = {one.image.image_id for one in unseen}
    lost = []
    for batch_id in candidates:
        plan = mill.store.read_table(layout.plan(batch_id))
        if missing.intersection(plan["image_id"].to_pylist()):
            log.warning("batch=%s holds images that the ledger had lost", batch_id)
            lost.append(batch_id)
    if lost:
        adopt_batches(mill, collection, lost)


def slice_images(mill: Mill, collection: str) -> int:
    """Return how many images a slice takes, so that it is short however long an image is."""
    with mill.ledger.reading() as connection:
        seconds = recipes.seconds_per_image(connection, collection)
    most = mill.settings.slice_images
    if seconds is None:
        return most
    at_once = mill.settings.slice_seconds * mill.settings.ocr_workers
    return max(1, min(most, round(at_once / seconds)))


def _plan_table(landed: Sequence[Landed], size: int) -> pa.Table:
    sizes = [None if one.fate else one.image.size_bytes for one in landed]
    rows = [
        {name: getattr(one.image, name) for name in _IMAGE_COLUMNS}
        | {
            "slice": number,
            "fate": one.fate,
            "reason": one.reason,
            "successor_id": one.successor_id,
        }
        for one, number in zip(landed, slice_numbers(sizes, size), strict=True)
    ]
    # Informative, and the same for whoever adopts the plan; nothing is ordered by it.
    metadata = {"planned_at": dt.datetime.now(dt.UTC).isoformat()}
    return pa.Table.from_pylist(rows, schema=schema.PLAN).replace_schema_metadata(metadata)


def slice_numbers(sizes: Iterable[int | None], most: int) -> Iterator[int | None]:
    """Yield the slices of images of so many bytes, at most so many images each; None: not read."""
    number = images = total = 0
    for size in sizes:
        if size is None:
            yield None
            continue
        if images == most or (images and total + size > SLICE_BYTES):
            number, images, total = number + 1, 0, 0
        images, total = images + 1, total + size
        yield number


_IMAGE_COLUMNS = ("image_id", "bucket", "key", "version", "etag", "size_bytes", "modified_at")
