"""The outbox: alerts are entered with the books and delivered until they have arrived.

One key, one message: whoever comes second with the same key changes nothing.
"""

import datetime as dt
from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill.ledger import tables as t
from scanmill.ledger.books import insert_new


def post(connection: Connection, *, key: str, kind: str, subject: str, text: str) -> None:
    """Enter a message, unless one with its key is there."""
    message = {
        "key": key,
        "kind": kind,
        "subject": subject,
        "text": text,
        "created_at": dt.datetime.now(dt.UTC),
        "sent_by": "",
        "tries": 0,
    }
    insert_new(connection, t.OUTBOX, [message])


def count(connection: Connection, prefix: str) -> int:
    """Return how many messages have a key that starts like this."""
    same = t.OUTBOX.c.key.startswith(prefix, autoescape=True)
    return connection.scalar(sa.select(sa.func.count()).select_from(t.OUTBOX).where(same)) or 0


def undelivered(connection: Connection) -> Sequence[sa.RowMapping]:
    """Return the messages that have not arrived, oldest first."""
    query = sa.select(t.OUTBOX).where(t.OUTBOX.c.delivered_at.is_(None))
    return connection.execute(query.order_by(t.OUTBOX.c.created_at)).mappings().all()


def note_sent(connection: Connection, key: str, channels: Iterable[str]) -> None:
    """Note which channels have taken a message."""
    _update(connection, key, sent_by=" ".join(sorted(channels)))


def note_delivered(connection: Connection, key: str) -> None:
    """Note that a message has arrived by every channel."""
    _update(connection, key, delivered_at=dt.datetime.now(dt.UTC), error=None)


def note_failed(connection: Connection, key: str, error: str) -> None:
    """Note that a message could not be delivered, and why; it stays in the outbox."""
    _update(connection, key, tries=t.OUTBOX.c.tries + 1, error=error)


def _update(connection: Connection, key: str, **values: object) -> None:
    connection.execute(sa.update(t.OUTBOX).where(t.OUTBOX.c.key == key).values(**values))
