"""When a process that runs for ever was last seen at work: what is hung says nothing of itself."""

import datetime as dt

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill.ledger import tables as t
from scanmill.ledger.books import insert_new


def beat(connection: Connection, name: str) -> None:
    """Note that a process is at work."""
    now = dt.datetime.now(dt.UTC)
    insert_new(connection, t.HEARTBEATS, [{"name": name, "beat_at": now}])
    own = t.HEARTBEATS.c.name == name
    connection.execute(sa.update(t.HEARTBEATS).where(own).values(beat_at=now))


def silence(connection: Connection, name: str) -> float | None:
    """Return for how many seconds a process has given no sign of life; None: it never gave one."""
    query = sa.select(t.HEARTBEATS.c.beat_at).where(t.HEARTBEATS.c.name == name)
    beat_at: dt.datetime | None = connection.scalar(query)
    return (dt.datetime.now(dt.UTC) - beat_at).total_seconds() if beat_at else None
