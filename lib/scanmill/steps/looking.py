"""Looks, for the watchdog, at the store, the ledger and the outbox: what is wrong there now."""

import datetime as dt
import os
from collections.abc import Iterator

import sqlalchemy as sa

from scanmill import alerts
from scanmill.errors import ScanmillError
from scanmill.findings import recalled
from scanmill.ledger import outbox, receipts
from scanmill.ledger import tables as t
from scanmill.models import ImageFate
from scanmill.steps import Mill
from scanmill.steps.delivering import channel_names
from scanmill.steps.planning import list_unseen
from scanmill.steps.telling import Seen
from scanmill.store import Store

PATIENCE_SECONDS = 30
"""What is away for a shorter time is being started again, and nobody needs to know."""


def component(name: str, trouble: str) -> Seen:
    """Return how a part of the installation is doing; nothing is wrong with the empty word."""
    return Seen(
        scope=f"component_away:{name}",
        kind="component_away",
        messages=[alerts.component_away(component=name, trouble=trouble)] if trouble else (),
        patience=PATIENCE_SECONDS,
    )


def supervisor(pid: int) -> Iterator[Seen]:
    """Yield how our supervisor is: when it is gone, its children go on, and nobody restarts them.

    `pid` is 0 where there is none.
    """
    if pid:
        is_gone = os.getppid() != pid
        trouble = "Its process is gone: what dies now stays dead." if is_gone else ""
        yield component("supervisor", trouble)


def store(asked: Store) -> Iterator[Seen]:
    """Yield whether the store answers."""
    try:
        asked.is_versioned()
    except ScanmillError as error:
        yield component("store", str(error))
    else:
        yield component("store", "")


def count_unplanned(mill: Mill) -> int:
    """Return how many images landed long ago and were never planned: every DAG may be paused."""
    oldest = _ago(mill.settings.pending_alert_seconds)
    return sum(one.image.modified_at < oldest for one in list_unseen(mill))


def old_images(mill: Mill, *, unplanned: int) -> Iterator[Seen]:
    """Yield whether images have been pending for longer than the settings allow."""
    seconds = mill.settings.pending_alert_seconds
    images = t.IMAGES.c
    query = sa.select(images.batch_id, sa.func.count()).where(
        images.fate == ImageFate.PENDING, images.modified_at < _ago(seconds)
    )
    with mill.ledger.reading() as connection:
        waiting = connection.execute(query.group_by(images.batch_id)).all()
    batches = {batch_id: count for batch_id, count in waiting}  # noqa: C416 - rows, no pairs
    if unplanned:
        batches["no batch yet: are the DAGs paused?"] = unplanned
    messages = [alerts.images_pending(batches=batches, seconds=seconds)] if batches else ()
    yield Seen(scope="images_pending", kind="images_pending", messages=messages)


def stuck_batches(mill: Mill) -> Iterator[Seen]:
    """Yield the batches that nothing has happened to for longer than the settings allow."""
    with mill.ledger.reading() as connection:
        stuck = receipts.stuck_batches(connection, since=_ago(mill.settings.stuck_alert_seconds))
    messages = [
        alerts.batch_stuck(
            batch=batch["batch_id"], state=batch["state"], seconds=_age(batch["moved_at"])
        )
        for batch in stuck
    ]
    yield Seen(scope="batch_stuck", kind="batch_stuck", messages=messages)


def findings(mill: Mill, *, patience: float = 0) -> Seen:
    """Return what the last audit found, under the number of the audit that found all of it.

    Findings that were all told of are no new event, whatever else was mended meanwhile.
    """
    kind = "books_do_not_balance"
    with mill.ledger.reading() as connection:
        audit = receipts.latest_audit(connection)
        told = outbox.open_alerts(connection, [kind])
        number = audit["number"] if audit else 0
        for alert in told:
            earlier = receipts.audit(connection, int(outbox.event(alert["key"]).split(":")[1]))
            if audit and earlier and _named(audit) <= _named(earlier):
                number = earlier["number"]
    found = [recalled(entry) for entry in audit["findings"]] if audit else []
    messages = [alerts.books_do_not_balance(findings=found, audit=number)] if found else ()
    return Seen(scope=kind, kind=kind, messages=messages, patience=patience, is_one=True)


def _named(audit: sa.RowMapping) -> set[tuple[str, str]]:
    return {(finding["kind"], finding["subject"]) for finding in audit["findings"]}


def overdue_audit(mill: Mill, *, watching_since: dt.datetime) -> Iterator[Seen]:
    """Yield whether the last audit is older than two intervals, and the time that it took.

    Where there never was one, the interval begins with the watchdog.
    """
    interval = mill.settings.audit_seconds
    if not interval:
        return
    with mill.ledger.reading() as connection:
        audit = receipts.latest_audit(connection)
    age = _age(audit["finished_at"] if audit else watching_since)
    limit = 2 * interval + (audit["seconds"] if audit else 0)
    message = alerts.audit_overdue(seconds=age, interval=interval)
    yield Seen(
        scope="audit_overdue", kind="audit_overdue", messages=[message] if age > limit else ()
    )


def channels(mill: Mill) -> Iterator[Seen]:
    """Yield which channels have not taken, for too long, what they were given."""
    with mill.ledger.reading() as connection:
        waiting = outbox.undelivered(connection)
    oldest = _ago(PATIENCE_SECONDS)
    for name in channel_names(mill.settings):
        unsent = [row for row in waiting if row["tries"] and name not in row["sent_by"].split()]
        is_away = any(row["created_at"] < oldest for row in unsent)
        message = alerts.channel_away(
            channel=name,
            trouble=unsent[0]["error"] if unsent else "",
            waiting=len(unsent),
        )
        yield Seen(
            scope=f"channel_away:{name}",
            kind="channel_away",
            messages=[message] if is_away else (),
            without=name,
        )


def _ago(seconds: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)


def _age(moment: dt.datetime) -> float:
    return (dt.datetime.now(dt.UTC) - moment).total_seconds()
