"""The outbox: alerts are entered with the books and delivered until they have arrived.

One key, one message: whoever comes second with the same key changes nothing. What lasts has
episodes: `begin` enters its message as `key:number` unless it lasts already, a message
`over:key:number` ends it, and the next beginning is a new event.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill.ledger import tables as t
from scanmill.ledger.books import insert_new

_OVER = "over:"
_NOBODY = "nobody"
"""What stands for the channels where a message is entered and not sent."""


def post(
    connection: Connection,
    *,
    key: str,
    kind: str,
    subject: str,
    text: str,
    without: str = "",
) -> None:
    """Enter a message, unless one with its key is there; the channel `without` is spared it."""
    now = dt.datetime.now(dt.UTC)
    message = {
        "key": key,
        "kind": kind,
        "subject": subject,
        "text": text,
        "created_at": now,
        "delivered_at": now if without == _NOBODY else None,
        "sent_by": without,
        "tries": 0,
    }
    insert_new(connection, t.OUTBOX, [message])


def begin(
    connection: Connection,
    *,
    key: str,
    kind: str,
    subject: str,
    text: str,
    without: str = "",
    number: str = "",
) -> bool:
    """Enter the message of something that lasts from now on, and tell whether it is new.

    While it lasts, nothing is entered; with a `number` of one's own the repetition is, unsent.
    """
    lasts = any(event(alert["key"]) == key for alert in open_alerts(connection, [kind]))
    if lasts and not number:
        return False
    number = number or str(count(connection, f"{key}:"))
    message = {"key": f"{key}:{number}", "kind": kind, "subject": subject, "text": text}
    post(connection, **message, without=_NOBODY if lasts else without)
    return not lasts


def end_unsaid(connection: Connection, key: str) -> None:
    """End an open alert for which another one stands from now on."""
    post(connection, key=f"{_OVER}{key}", kind="over", subject="", text="", without=_NOBODY)


def event(key: str) -> str:
    """Return what an alert that lasts is about: its key without the number of its episode."""
    return key.rpartition(":")[0]


def open_alerts(connection: Connection, kinds: Collection[str]) -> Sequence[sa.RowMapping]:
    """Return the alerts of these kinds, all about what lasts, that are not over; oldest first."""
    outbox, ending = t.OUTBOX.c, t.OUTBOX.alias("ending")
    is_over = sa.exists().where(ending.c.key == _OVER + outbox.key)
    query = sa.select(t.OUTBOX).where(outbox.kind.in_(kinds), outbox.sent_by != _NOBODY, ~is_over)
    return connection.execute(query.order_by(outbox.created_at)).mappings().all()


def newest(connection: Connection, *, prefix: str, suffix: str) -> dt.datetime | None:
    """Return when the newest message whose key begins and ends like this was entered."""
    key = t.OUTBOX.c.key
    query = sa.select(sa.func.max(t.OUTBOX.c.created_at)).where(
        key.startswith(prefix, autoescape=True), key.endswith(suffix, autoescape=True)
    )
    moment: dt.datetime | None = connection.scalar(query)
    return moment


def count(connection: Connection, prefix: str) -> int:
    """Return how many messages have a key that starts like this."""
    same = t.OUTBOX.c.key.startswith(prefix, autoescape=True)
    return connection.scalar(sa.select(sa.func.count()).select_from(t.OUTBOX).where(same)) or 0


def undelivered(connection: Connection) -> Sequence[sa.RowMapping]:
    """Return the messages that have not arrived, oldest first."""
    query = sa.select(t.OUTBOX).where(t.OUTBOX.c.delivered_at.is_(None))
    return connection.execute(query.order_by(t.OUTBOX.c.created_at)).mappings().all()


def delayed(connection: Connection, since: dt.datetime) -> Sequence[sa.RowMapping]:
    """Return the messages that arrived after that, and not at the first try."""
    outbox = t.OUTBOX.c
    query = sa.select(t.OUTBOX).where(outbox.delivered_at >= since, outbox.tries > 0)
    return connection.execute(query).mappings().all()


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
