"""What the ledger answers: the sums of the law of accounts, and which batch waits for what."""

import datetime as dt
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill.ledger import tables as t
from scanmill.models import FINISHED, BatchState, ImageFate, PageFate

Counts = dict[str, int]


def image_counts(connection: Connection, batch_id: str | None = None) -> Counts:
    """Return how many images are in every fate, and `landed`, counted apart from them."""
    where = [] if batch_id is None else [t.IMAGES.c.batch_id == batch_id]
    fates = _by(connection, t.IMAGES.c.fate, t.IMAGES, *where)
    count = sa.select(sa.func.count()).select_from(t.IMAGES).where(*where)
    return {"landed": connection.scalar(count) or 0} | {
        fate.value: fates.get(fate, 0) for fate in ImageFate
    }


def page_counts(connection: Connection, batch_id: str | None = None) -> Counts:
    """Return how many pages are in every fate, and `found`: what decoding counted.

    Of one batch: the pages whose reading in it counts, and all pages that it found.
    """
    found = sa.select(sa.func.sum(t.IMAGES.c.page_count))
    where: list[sa.ColumnElement[bool]] = []
    if batch_id is not None:
        attempts = t.ATTEMPTS.c
        found = sa.select(sa.func.count()).where(
            attempts.batch_id == batch_id, attempts.page_number > 0
        )
        where = [t.PAGES.c.batch_id == batch_id]
    fates = _by(connection, t.PAGES.c.fate, t.PAGES, *where)
    total = connection.scalar(found) or 0
    return {"found": total} | {fate.value: fates.get(fate, 0) for fate in PageFate}


def quarantine_counts(connection: Connection) -> dict[str, Counts]:
    """Return how many images and pages are quarantined for every reason."""
    return {
        name: _by(connection, table.c.reason, table, table.c.fate == "quarantined")
        for name, table in (("images", t.IMAGES), ("pages", t.PAGES))
    }


def latest_snapshots(connection: Connection) -> Sequence[sa.RowMapping]:
    """Return the newest snapshot of every collection, by name."""
    newest = (
        sa.select(t.SNAPSHOTS.c.collection, sa.func.max(t.SNAPSHOTS.c.version).label("version"))
        .group_by(t.SNAPSHOTS.c.collection)
        .subquery()
    )
    same = sa.and_(
        newest.c.collection == t.SNAPSHOTS.c.collection, newest.c.version == t.SNAPSHOTS.c.version
    )
    query = sa.select(t.SNAPSHOTS).join(newest, same).order_by(t.SNAPSHOTS.c.collection)
    return connection.execute(query).mappings().all()


def imbalances(images: Counts, pages: Counts) -> list[str]:
    """Return the laws of accounts that these counts break, in words."""
    broken = []
    for total, counts in (("landed", images), ("found", pages)):
        terms = sum(count for name, count in counts.items() if name != total)
        if counts[total] != terms:
            broken.append(f"{total} is {counts[total]}, but the fates add up to {terms}")
    return broken


def latest_audit(connection: Connection) -> sa.RowMapping | None:
    """Return the newest audit, if there was one."""
    query = sa.select(t.AUDITS).order_by(t.AUDITS.c.number.desc()).limit(1)
    return connection.execute(query).mappings().first()


def audit(connection: Connection, number: int) -> sa.RowMapping | None:
    """Return the audit with this number."""
    query = sa.select(t.AUDITS).where(t.AUDITS.c.number == number)
    return connection.execute(query).mappings().first()


def found_since(connection: Connection, moment: dt.datetime | None) -> bool:
    """Tell whether the newest audit found something, or any since then."""
    newest = latest_audit(connection)
    if moment is None or newest is None or newest["findings"]:
        return bool(newest and newest["findings"])
    query = sa.select(t.AUDITS.c.findings).where(t.AUDITS.c.finished_at >= moment)
    return any(connection.scalars(query))


def batch(connection: Connection, batch_id: str) -> sa.RowMapping | None:
    """Return one batch."""
    query = sa.select(t.BATCHES).where(t.BATCHES.c.batch_id == batch_id)
    return connection.execute(query).mappings().first()


def kind_of(connection: Connection, batch_id: str) -> str | None:
    """Return why a batch was planned; None if the ledger does not know it."""
    kind: str | None = connection.scalar(
        sa.select(t.BATCHES.c.kind).where(t.BATCHES.c.batch_id == batch_id)
    )
    return kind


def latest_verdict(connection: Connection, batch_id: str) -> sa.RowMapping | None:
    """Return the newest verdict on a batch, with the verb of the decision on it, if any."""
    same = sa.and_(
        t.DECISIONS.c.batch_id == t.VERDICTS.c.batch_id,
        t.DECISIONS.c.number == t.VERDICTS.c.number,
    )
    query = sa.select(t.VERDICTS, t.DECISIONS.c.verb).outerjoin(t.DECISIONS, same)
    query = query.where(t.VERDICTS.c.batch_id == batch_id).order_by(t.VERDICTS.c.number.desc())
    return connection.execute(query.limit(1)).mappings().first()


def newest_sequence(connection: Connection, collection: str) -> int:
    """Return the number of a collection's newest known batch, 0 without any."""
    highest = sa.select(sa.func.max(t.BATCHES.c.sequence)).where(
        t.BATCHES.c.collection == collection
    )
    return connection.scalar(highest) or 0


def known_images(connection: Connection, image_ids: Sequence[str]) -> set[str]:
    """Return which of these images are in the books."""
    known: set[str] = set()
    for some in pieces(image_ids):
        query = sa.select(t.IMAGES.c.image_id).where(t.IMAGES.c.image_id.in_(some))
        known.update(connection.scalars(query))
    return known


def unheard_batches(
    connection: Connection, *, idle_since: dt.datetime, stalled_since: dt.datetime
) -> list[str]:
    """Return the batches to be read that wait for nothing any more, or began and stand still."""
    bells = t.DOORBELLS.c
    later, begun = t.BATCHES.alias("later"), t.DOORBELLS.alias("begun")
    overtaken = sa.exists(
        sa.select(later.c.batch_id)
        .join(begun, begun.c.batch_id == later.c.batch_id)
        .where(later.c.planned_at > t.BATCHES.c.planned_at, begun.c.touched_at.is_not(None))
    )
    was_missed = sa.and_(
        bells.touched_at.is_(None),
        bells.announced_at < idle_since,
        sa.or_(overtaken, _is_idle(idle_since)),
    )
    never_rung = sa.and_(bells.touched_at.is_(None), bells.announced_at.is_(None))
    stands_still = sa.and_(
        bells.touched_at < stalled_since,
        sa.or_(bells.announced_at.is_(None), bells.announced_at < stalled_since),
    )
    states = (BatchState.PLANNED, BatchState.RECOGNIZED)
    return _waiting(connection, states, sa.or_(never_rung, was_missed, stands_still))


def unbuilt_batches(
    connection: Connection, *, idle_since: dt.datetime, stalled_since: dt.datetime
) -> list[str]:
    """Return the batches that may be built and wait for nothing any more, or stand still."""
    bells = t.DOORBELLS.c
    was_rung = sa.func.coalesce(bells.built_for_at, bells.touched_at)
    is_missed = sa.or_(
        sa.and_(was_rung < idle_since, bells.touched_at < idle_since, _is_idle(idle_since)),
        sa.and_(was_rung < stalled_since, bells.touched_at < stalled_since),
    )
    return _waiting(connection, (BatchState.PASSED, BatchState.RELEASED), is_missed)


def stuck_batches(connection: Connection, *, since: dt.datetime) -> Sequence[sa.RowMapping]:
    """Return the batches that nothing has happened to since then, and that wait for no other.

    A batch in a queue is not stuck: it waits for its turn. It had its turn when it has begun to be
    read, or a batch that was planned later has got further; it is the next one when nothing at all
    has happened, or, where it waits to be built, when nothing was built.
    """
    bells, other, moved = t.DOORBELLS.c, t.BATCHES.alias("other"), t.DOORBELLS.alias("moved")
    moved_at = sa.func.coalesce(bells.touched_at, t.BATCHES.c.planned_at)
    overtaken = sa.exists(
        sa.select(other.c.batch_id)
        .join(moved, moved.c.batch_id == other.c.batch_id)
        .where(
            other.c.planned_at > t.BATCHES.c.planned_at,
            other.c.state.in_(FINISHED),
            moved.c.touched_at > moved_at,
        )
    )
    is_begun = sa.and_(
        t.BATCHES.c.state.in_((BatchState.PLANNED, BatchState.RECOGNIZED)),
        bells.touched_at.is_not(None),
    )
    built, moved_then = t.BATCHES.alias("built"), t.DOORBELLS.alias("moved_then")
    nothing_is_built = ~sa.exists(
        sa.select(built.c.batch_id)
        .join(moved_then, moved_then.c.batch_id == built.c.batch_id)
        .where(built.c.state == BatchState.BUILT, moved_then.c.touched_at >= since)
    )
    is_unbuilt = sa.and_(
        t.BATCHES.c.state.in_((BatchState.PASSED, BatchState.RELEASED)), nothing_is_built
    )
    waiting = t.BATCHES.c.state.not_in(FINISHED | {BatchState.HELD})
    earlier = t.BATCHES.alias("earlier")
    oldest = sa.select(sa.func.min(earlier.c.planned_at)).where(
        earlier.c.state.not_in(FINISHED | {BatchState.HELD})
    )
    is_next = sa.and_(_is_idle(since), t.BATCHES.c.planned_at == oldest.scalar_subquery())
    rung = t.BATCHES.outerjoin(t.DOORBELLS, bells.batch_id == t.BATCHES.c.batch_id)
    query = sa.select(t.BATCHES, moved_at.label("moved_at")).select_from(rung)
    query = query.where(waiting, moved_at < since, sa.or_(is_begun, is_unbuilt, overtaken, is_next))
    return connection.execute(query.order_by(t.BATCHES.c.planned_at)).mappings().all()


def _is_idle(since: dt.datetime) -> sa.ColumnElement[bool]:
    """Say that nothing at all has happened to any batch since then."""
    newest = sa.select(sa.func.max(t.DOORBELLS.c.touched_at)).scalar_subquery()
    return sa.func.coalesce(newest < since, sa.true())


def _waiting(
    connection: Connection, states: Sequence[BatchState], where: sa.ColumnElement[bool]
) -> list[str]:
    batches = t.BATCHES.c
    rung = t.BATCHES.outerjoin(t.DOORBELLS, t.DOORBELLS.c.batch_id == batches.batch_id)
    query = sa.select(batches.batch_id).select_from(rung).where(batches.state.in_(states), where)
    return list(connection.scalars(query.order_by(batches.batch_id)))


def unfinished_batches(connection: Connection) -> Sequence[sa.RowMapping]:
    """Return every batch that is not finished, oldest first."""
    query = sa.select(t.BATCHES).where(t.BATCHES.c.state.not_in(FINISHED))
    return connection.execute(query.order_by(t.BATCHES.c.planned_at)).mappings().all()


def unread_slices(connection: Connection, batch_id: str) -> list[int]:
    """Return the slices of a batch whose parts are not entered, in order."""
    parts = sa.select(t.PARTS.c.slice).where(t.PARTS.c.batch_id == batch_id)
    count = sa.select(t.BATCHES.c.slice_count).where(t.BATCHES.c.batch_id == batch_id)
    read = set(connection.scalars(parts))
    return [number for number in range(connection.scalar(count) or 0) if number not in read]


def earlier_attempts(
    connection: Connection, image_ids: Sequence[str], batch_id: str
) -> dict[str, int]:
    """Return in how many batches before this one these images were read, where in any."""
    attempts = t.ATTEMPTS.c
    count = sa.func.count(attempts.batch_id.distinct())
    query = sa.select(attempts.image_id, count).where(attempts.batch_id < batch_id)
    earlier: dict[str, int] = {}
    for some in pieces(image_ids):
        rows = connection.execute(
            query.where(attempts.image_id.in_(some)).group_by(t.ATTEMPTS.c.image_id)
        )
        earlier.update({row.image_id: row[1] for row in rows})
    return earlier


def has_readable_page(connection: Connection, batch_id: str) -> bool:
    """Tell whether a batch read at least one page."""
    attempts = t.ATTEMPTS.c
    read = sa.and_(attempts.batch_id == batch_id, attempts.fate == PageFate.PENDING)
    return bool(connection.scalar(sa.select(sa.exists().where(read))))


def newest_snapshot(connection: Connection, collection: str) -> int:
    """Return the version of a collection's newest entered snapshot, 0 without any."""
    highest = sa.select(sa.func.max(t.SNAPSHOTS.c.version)).where(
        t.SNAPSHOTS.c.collection == collection
    )
    return connection.scalar(highest) or 0


def pieces(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut a list into pieces that one statement may hold."""
    for start in range(0, len(ids), 500):
        yield ids[start : start + 500]


def _by(
    connection: Connection,
    column: sa.ColumnElement[str],
    table: sa.Table,
    *where: sa.ColumnElement[bool],
) -> Counts:
    query = sa.select(column, sa.func.count()).select_from(table).where(*where).group_by(column)
    return {name: count for name, count in connection.execute(query)}  # noqa: C416 - rows are no pairs
