"""Tells one image's whole story: its versions, pages, verdicts and rows; and back from a row."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill import layout
from scanmill.errors import UsageError
from scanmill.ledger import tables as t
from scanmill.steps import Mill
from scanmill.steps.planning import list_unseen

Story = dict[str, Any]


def trace(mill: Mill, name: str) -> Story:
    """Return the story of a key, with or without `landing/`, an image id, or a row's page id.

    Raises:
        UsageError: nothing that landed has this name.
    """
    with mill.ledger.reading() as connection:
        key = _key_of(connection, name)
        versions = [_version(mill, connection, row) for row in _images(connection, key)]
    folder = key.rpartition("/")[0] + "/"
    versions += [
        {"image_id": one.image.image_id, "version": one.image.version, "fate": "pending"}
        | {"reason": None, "batch_id": None, "pages": []}
        for one in (list_unseen(mill, [folder]) if key.startswith(layout.LANDING) else [])
        if one.image.key == key
    ]
    if not versions:
        raise UsageError(f"Nothing landed as [{name}]. Give a key below landing/, or a row's id.")
    return {"key": key, "collection": layout.collection_of(key), "versions": versions}


def _key_of(connection: Connection, name: str) -> str:
    by_page = (
        sa.select(t.IMAGES.c.key)
        .join(t.PAGES, t.PAGES.c.image_id == t.IMAGES.c.image_id)
        .where(t.PAGES.c.page_id == name)
    )
    by_image = sa.select(t.IMAGES.c.key).where(t.IMAGES.c.image_id == name)
    key = connection.scalar(by_page) or connection.scalar(by_image) or name
    name = key.removeprefix("s3://").partition("/landing/")[2] if key.startswith("s3://") else key
    return layout.LANDING + name.removeprefix(layout.LANDING)


def _images(connection: Connection, key: str) -> list[dict[str, Any]]:
    same = sa.and_(t.IMAGES.c.collection == layout.collection_of(key), t.IMAGES.c.key == key)
    # Later batches hold later versions; within one plan only the last was worth reading.
    query = sa.select(t.IMAGES).where(same)
    query = query.order_by(
        t.IMAGES.c.batch_id, t.IMAGES.c.slice.isnot(None), t.IMAGES.c.modified_at
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _version(mill: Mill, connection: Connection, image: dict[str, Any]) -> Story:
    columns = ("image_id", "version", "etag", "size_bytes", "sha256", "fate", "reason", "detail")
    pages = sa.select(t.PAGES).where(t.PAGES.c.image_id == image["image_id"])
    rows = connection.execute(pages.order_by(t.PAGES.c.page_number)).mappings()
    return {name: image[name] for name in columns} | {
        "landed_at": image["modified_at"].isoformat(),
        "successor_id": image["successor_id"],
        "batch_id": image["batch_id"],
        "log": _log(connection, image),
        "quarantine": _quarantine(mill, image),
        "verdicts": _verdicts(connection, image["batch_id"]),
        "attempts": _attempts(connection, image["image_id"]),
        "pages": [_page(mill, image, dict(row)) for row in rows],
    }


def _attempts(connection: Connection, image_id: str) -> list[Story]:
    """Return every reading of an image's pages, oldest first."""
    query = sa.select(t.ATTEMPTS).where(t.ATTEMPTS.c.image_id == image_id)
    query = query.order_by(t.ATTEMPTS.c.batch_id, t.ATTEMPTS.c.page_number)
    rows = connection.execute(query).mappings()
    return [{name: value for name, value in row.items() if name != "image_id"} for row in rows]


def _log(connection: Connection, image: dict[str, Any]) -> str | None:
    """Return the address of the log of the task that read it."""
    same = sa.and_(t.PARTS.c.batch_id == image["batch_id"], t.PARTS.c.slice == image["slice"])
    log: str | None = connection.scalar(sa.select(t.PARTS.c.log_url).where(same))
    return log


def _quarantine(mill: Mill, image: dict[str, Any]) -> str | None:
    if image["fate"] != "quarantined":
        return None
    folder = layout.quarantine(image["collection"], image["reason"], image["image_id"])
    return f"s3://{mill.store.bucket}/{folder}"


def _verdicts(connection: Connection, batch_id: str) -> list[Story]:
    decided = sa.and_(
        t.DECISIONS.c.batch_id == t.VERDICTS.c.batch_id,
        t.DECISIONS.c.number == t.VERDICTS.c.number,
    )
    query = (
        sa.select(t.VERDICTS, t.DECISIONS.c.verb, t.DECISIONS.c.decided_by, t.DECISIONS.c.because)
        .outerjoin(t.DECISIONS, decided)
        .where(t.VERDICTS.c.batch_id == batch_id)
        .order_by(t.VERDICTS.c.number)
    )
    columns = ("gate", "passed", "severity", "report", "verb", "decided_by", "because")
    rows = connection.execute(query).mappings()
    return [{name: row[name] for name in columns} for row in rows]


def _page(mill: Mill, image: dict[str, Any], page: dict[str, Any]) -> Story:
    columns = ("page_id", "page_number", "fate", "reason", "detail", "other_page_id")
    folder = f"s3://{mill.store.bucket}/{layout.dataset(image['collection'])}"
    return {name: page[name] for name in columns} | {
        "snapshot": page["snapshot"],
        "split": page["split"],
        "shard": folder + page["shard"] if page["shard"] else None,
        "part": layout.part(page["batch_id"], page["slice"]),
    }
