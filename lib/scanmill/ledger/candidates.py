"""What a build asks the ledger: which pages it is about, and what their texts are like."""

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill.ledger import receipts
from scanmill.ledger import tables as t
from scanmill.models import ImageFate, PageFate, Reason


def open_pages(connection: Connection, batch_id: str) -> Sequence[sa.RowMapping]:
    """Return the pages of a batch that a build may still publish."""
    open_fates = (PageFate.PENDING, PageFate.HELD)
    where = sa.and_(t.PAGES.c.batch_id == batch_id, t.PAGES.c.fate.in_(open_fates))
    return connection.execute(_PAGES.where(where)).mappings().all()


def pages_read_again(connection: Connection, batch_id: str) -> Sequence[sa.RowMapping]:
    """Return the settled pages that this batch read again, with the slice of the new reading.

    The reading that counts for them is another batch's, until this one is found to be better.
    """
    pages, attempts = t.PAGES.c, t.ATTEMPTS.c
    again = sa.and_(
        attempts.image_id == pages.image_id,
        attempts.page_number == pages.page_number,
        attempts.fate == PageFate.PENDING,
    )
    query = (
        sa.select(t.PAGES, attempts.slice.label("new_slice"))
        .join(t.ATTEMPTS, again)
        .join(t.IMAGES, t.IMAGES.c.image_id == pages.image_id)
        .where(
            attempts.batch_id == batch_id,
            pages.batch_id != batch_id,
            pages.fate.in_(_SETTLED),
            t.IMAGES.c.fate == ImageFate.DECODED,  # its batch may have been discarded meanwhile
        )
    )
    return connection.execute(query).mappings().all()


def duplicates_of(connection: Connection, page_ids: Sequence[str]) -> Sequence[sa.RowMapping]:
    """Return the pages that were left out because one of these holds their text."""
    query = _PAGES.where(t.PAGES.c.fate == PageFate.DUPLICATE)
    found: list[sa.RowMapping] = []
    for some in receipts.pieces(page_ids):
        found += connection.execute(query.where(t.PAGES.c.other_page_id.in_(some))).mappings()
    return found


def images_read(connection: Connection, batch_id: str) -> set[str]:
    """Return the images of which pages have their reading from this batch, and could be read."""
    pages = t.PAGES.c
    mine = sa.and_(pages.batch_id == batch_id, pages.fate != PageFate.QUARANTINED)
    return set(connection.scalars(sa.select(pages.image_id).where(mine).distinct()))


def pages_replaced(connection: Connection, newer: Iterable[str]) -> list[sa.RowMapping]:
    """Return the settled pages of earlier versions of these images."""
    old, new = t.IMAGES, t.IMAGES.alias("new")
    query = _PAGES.join(new, sa.and_(*_same_key_later(old, new))).where(
        t.PAGES.c.fate.in_(_SETTLED)
    )
    found: dict[str, sa.RowMapping] = {}
    for some in receipts.pieces(sorted(newer)):
        rows = connection.execute(query.where(new.c.image_id.in_(some))).mappings()
        found |= {row["page_id"]: row for row in rows}
    return list(found.values())


def outdated_images(
    connection: Connection, image_ids: Iterable[str], *, newer: Collection[str] = ()
) -> set[str]:
    """Return which of these images have a newer version in the dataset already, or in `newer`."""
    old, new = t.IMAGES.alias("old"), t.IMAGES.alias("new")
    page = t.PAGES.alias("page_of_new")
    was_built = sa.and_(
        page.c.image_id == new.c.image_id,
        page.c.snapshot.is_not(None),
        page.c.fate != PageFate.QUARANTINED,
    )
    query = (
        sa.select(old.c.image_id, new.c.image_id, sa.exists().where(was_built))
        .select_from(old)
        .join(new, sa.and_(*_same_key_later(old, new)))
    )
    outdated: set[str] = set()
    for some in receipts.pieces(sorted(image_ids)):
        rows = connection.execute(query.where(old.c.image_id.in_(some)))
        outdated.update(image for image, later, is_built in rows if is_built or later in newer)
    return outdated


def pending_keys(connection: Connection, collection: str) -> list[str]:
    """Return the keys of a collection's images that are planned and not read."""
    images = t.IMAGES.c
    waiting = sa.and_(images.collection == collection, images.fate == ImageFate.PENDING)
    return list(connection.scalars(sa.select(images.key).where(waiting)))


def metadata_files(connection: Connection, collection: str) -> Sequence[sa.RowMapping]:
    """Return the newest version of every readable metadata file of a collection."""
    images, new = t.IMAGES, t.IMAGES.alias("new")
    is_metadata = sa.and_(
        images.c.collection == collection, images.c.reason == Reason.METADATA_FILE
    )
    newer = sa.and_(*_same_key_later(images, new), new.c.reason == Reason.METADATA_FILE)
    query = sa.select(images).where(is_metadata, ~sa.exists().where(newer))
    return connection.execute(query.order_by(images.c.key)).mappings().all()


_SETTLED = (PageFate.PUBLISHED, PageFate.DUPLICATE, PageFate.REJECTED, PageFate.QUARANTINED)

_PAGES = sa.select(t.PAGES, t.IMAGES.c.key).join(
    t.IMAGES, t.IMAGES.c.image_id == t.PAGES.c.image_id
)


def _same_key_later(old: sa.FromClause, new: sa.FromClause) -> tuple[sa.ColumnElement[bool], ...]:
    """Say that one image is a later version of another: a later batch of the collection read it.

    All versions that a plan finds under one key but the newest are superseded in that plan.
    """
    return (
        new.c.collection == old.c.collection,
        new.c.key == old.c.key,
        new.c.batch_id > old.c.batch_id,
    )


def published_with(
    connection: Connection, collection: str, bands: Sequence[str]
) -> dict[str, set[str]]:
    """Return, by band, the published pages of a collection whose text has one of these bands."""
    signatures = t.SIGNATURES.c
    is_published = sa.and_(
        t.PAGES.c.page_id == signatures.page_id, t.PAGES.c.fate == PageFate.PUBLISHED
    )
    query = sa.select(signatures.band, signatures.page_id).join(t.PAGES, is_published)
    query = query.where(signatures.collection == collection)
    found: dict[str, set[str]] = {}
    for some in receipts.pieces(bands):
        for band, page_id in connection.execute(query.where(signatures.band.in_(some))):
            found.setdefault(band, set()).add(page_id)
    return found


def bands(connection: Connection, page_ids: Sequence[str]) -> dict[str, set[str]]:
    """Return the bands of these pages' texts."""
    found: dict[str, set[str]] = {}
    query = sa.select(t.SIGNATURES.c.page_id, t.SIGNATURES.c.band)
    for some in receipts.pieces(page_ids):
        for page, band in connection.execute(query.where(t.SIGNATURES.c.page_id.in_(some))):
            found.setdefault(page, set()).add(band)
    return found


def sketches(connection: Connection, page_ids: Sequence[str]) -> dict[str, bytes]:
    """Return the sketches of these pages' texts; short texts have none."""
    found: dict[str, bytes] = {}
    for some in receipts.pieces(page_ids):
        query = sa.select(t.SKETCHES).where(t.SKETCHES.c.page_id.in_(some))
        found.update({row.page_id: row.minhash for row in connection.execute(query)})
    return found
