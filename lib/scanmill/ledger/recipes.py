"""How readings were made: what can be used again, what is stale, and what it takes."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill.ledger import tables as t
from scanmill.ledger.receipts import pieces
from scanmill.models import ImageFate, PageFate

_RECENT_BATCHES = 5

_READ = (PageFate.PENDING, PageFate.PUBLISHED, PageFate.DUPLICATE, PageFate.REJECTED, PageFate.HELD)
"""Fates of pages that were read and are in the present of the books."""


def readings_of(
    connection: Connection, sha256s: Sequence[str], recipe: str
) -> dict[str, sa.RowMapping]:
    """Return where the pages of such bytes were first read, all of them and by this recipe.

    By sha256: image_id, batch_id and slice of the reading, and how many pages it has.
    """
    images, attempts = t.IMAGES.c, t.ATTEMPTS.c
    query = (
        sa.select(
            images.sha256,
            images.image_id,
            images.page_count,
            attempts.batch_id,
            attempts.slice,
        )
        .join(t.ATTEMPTS, attempts.image_id == images.image_id)
        .where(attempts.recipe == recipe, attempts.fate == PageFate.PENDING)
        .group_by(images.image_id, attempts.batch_id, attempts.slice)
        .having(sa.func.count() == images.page_count)
        .order_by(attempts.batch_id, images.image_id)
    )
    found: dict[str, sa.RowMapping] = {}
    for some in pieces(sha256s):
        for row in connection.execute(query.where(images.sha256.in_(some))).mappings():
            found.setdefault(row["sha256"], row)
    return found


def seconds_per_image(connection: Connection, collection: str) -> float | None:
    """Return how long one OCR process took for an image of the newest batches; None if unknown."""
    batches, attempts = t.BATCHES.c, t.ATTEMPTS.c
    is_begun = sa.exists().where(t.PARTS.c.batch_id == batches.batch_id)
    newest = (
        sa.select(batches.batch_id)
        .where(batches.collection == collection, is_begun)
        .order_by(batches.sequence.desc())
        .limit(_RECENT_BATCHES)
    )
    read = sa.and_(attempts.batch_id.in_(newest), attempts.reused_from.is_(None))
    columns = sa.func.sum(attempts.seconds), sa.func.count(attempts.image_id.distinct())
    seconds, images = connection.execute(sa.select(*columns).where(read)).one()
    return seconds / images if seconds else None


def stale_pages(connection: Connection, collection: str, recipe: str) -> int:
    """Return how many pages of a collection have text, and were never read by this recipe."""
    query = sa.select(sa.func.count()).select_from(_PAGES)
    return connection.scalar(query.where(*_stale(collection, recipe))) or 0


def stale_images(connection: Connection, collection: str, recipe: str) -> set[str]:
    """Return the images of a collection with such a page."""
    query = sa.select(t.PAGES.c.image_id).select_from(_PAGES)
    return set(connection.scalars(query.where(*_stale(collection, recipe))))


def collections(connection: Connection) -> list[str]:
    """Return the collections that images landed in, by name."""
    names = sa.select(t.IMAGES.c.collection).distinct()
    return sorted(connection.scalars(names))


_PAGES = t.PAGES.join(t.IMAGES, t.IMAGES.c.image_id == t.PAGES.c.image_id)


def _stale(collection: str, recipe: str) -> tuple[sa.ColumnElement[bool], ...]:
    attempts = t.ATTEMPTS.c
    # Any attempt: one that was no better than what is published need not be made again.
    tried = sa.and_(
        attempts.image_id == t.PAGES.c.image_id,
        attempts.page_number == t.PAGES.c.page_number,
        attempts.recipe == recipe,
    )
    return (
        t.IMAGES.c.collection == collection,
        t.IMAGES.c.fate == ImageFate.DECODED,
        t.PAGES.c.fate.in_(_READ),
        ~sa.exists().where(tried),
    )
