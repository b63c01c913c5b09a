"""Tells of what lasts: one message when it begins, one when it is over, whoever notices."""

import dataclasses
import datetime as dt
import logging
from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill import alerts
from scanmill.alerts import Message
from scanmill.errors import ScanmillError
from scanmill.ledger import outbox, receipts
from scanmill.models import BatchState, hash_id
from scanmill.steps import Mill

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is wrong at this moment with everything whose alerts have keys below `scope`."""

    scope: str
    kind: str
    messages: Sequence[Message] = ()
    patience: float = 0
    """What is wrong for a shorter time is being mended, and nobody needs to know."""
    is_one: bool = False
    """It is one trouble whichever its message: a new one stands for the old, without a word."""
    without: str = ""
    """The channel that must not be used."""

    def covers(self, key: str) -> bool:
        """Tell whether an alert with this key speaks of what was looked at."""
        return key == self.scope or key.startswith(f"{self.scope}:")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A run that failed for good; `task_id` and `error` where the task could still tell."""

    dag_id: str
    run_id: str
    batch_id: str
    started_at: dt.datetime | None
    log_address: str
    task_id: str = ""
    error: BaseException | None = None


def settle(mill: Mill, seen: Seen, *, unripe: Collection[str] = ()) -> None:
    """Enter a message for what is wrong and was not, and one for what was wrong and is over.

    Nothing is entered yet for what is `unripe`.
    """
    wrong = {message.key for message in seen.messages}
    with mill.ledger.reading() as connection:
        told = _told(connection, seen)
    begun = [m for m in seen.messages if m.key not in told and m.key not in unripe]
    ended = [alert for about, alert in told.items() if about not in wrong]
    if seen.is_one and wrong and not begun:
        ended = []  # what takes their place is not ripe
    if not (begun or ended):
        return
    with mill.ledger.writing() as connection:
        for alert in ended:
            if seen.is_one and begun:
                outbox.end_unsaid(connection, alert["key"])
            else:
                say_over(connection, alert)
        for message in begun:
            fields = dataclasses.asdict(message)
            if outbox.begin(connection, **fields, without=seen.without):
                log.warning("alert=%s", message.key)


def _told(connection: Connection, seen: Seen) -> dict[str, sa.RowMapping]:
    alerts_open = outbox.open_alerts(connection, [seen.kind])
    told = {outbox.event(alert["key"]): alert for alert in alerts_open}
    return {about: alert for about, alert in told.items() if seen.covers(about)}


def say_over(connection: Connection, alert: sa.RowMapping) -> None:
    """Enter the message that an open alert is over."""
    now, began, note = dt.datetime.now(dt.UTC), alert["created_at"], ""
    if alert["kind"] == "channel_away":
        waited = [row for row in outbox.delayed(connection, began) if row["key"] != alert["key"]]
        since = min([began, *(row["created_at"] for row in waited)])
        note = alerts.channel_back(seconds=(now - since).total_seconds(), waited=len(waited))
    message = alerts.over(
        kind=alert["kind"],
        key=alert["key"],
        subject=alert["subject"],
        seconds=(now - began).total_seconds(),
        note=note,
    )
    outbox.post(connection, **dataclasses.asdict(message))
    log.warning("alert=%s", message.key)


def tell_of_failure(mill: Mill, failure: Failure) -> None:
    """Tell of a run that failed, unless somebody told of it, or of why.

    Airflow calls nothing at task level when a task is killed on its last try, and calls twice
    after a worker died. The same error of the same batch is one event until it is over.
    """
    with mill.ledger.reading() as connection:
        if why := _told_otherwise(connection, failure):
            log.info("run=%s failed: %s", failure.run_id, why)
            return
    message = alerts.run_failed(
        dag_id=failure.dag_id,
        run_id=failure.run_id,
        task_id=failure.task_id,
        batch=failure.batch_id,
        error=_words(failure.error),
        log_address=failure.log_address,
    )
    name = type(failure.error).__name__ if failure.error else "killed"
    run = hash_id(failure.run_id)[:8]
    with mill.ledger.writing() as connection:
        told_at = outbox.newest(connection, prefix=f"{message.key}:", suffix=f".{run}")
        if told_at and (failure.started_at is None or told_at >= failure.started_at):
            return
        key = f"{message.key}:{name}"
        if told_at:  # a person cleared the run, and waits for how it ends
            for alert in _of_run(connection, key, run):
                outbox.end_unsaid(connection, alert["key"])
        number = f"{outbox.count(connection, f'{message.key}:')}.{run}"
        outbox.begin(connection, **dataclasses.asdict(message) | {"key": key, "number": number})


def _told_otherwise(connection: Connection, failure: Failure) -> str:
    """Return what else has told of this failure: the gate, or the audit."""
    batch = receipts.batch(connection, failure.batch_id)
    held_at = outbox.newest(connection, prefix=f"gate_failed:{failure.batch_id}:", suffix="")
    was_held = held_at and failure.started_at and held_at >= failure.started_at
    is_held = batch is not None and batch["state"] == BatchState.HELD and held_at
    if batch is not None and (is_held or was_held):
        return "its gate has told of it"
    by_heal = failure.dag_id == "audit_ledger" and failure.task_id in {"", "heal"}
    if by_heal and receipts.found_since(connection, failure.started_at):
        return "the audit has told of what it found"
    return ""


def _words(error: BaseException | None) -> str:
    """Return what an error may say in a mail: the words of a bug may quote a document."""
    if error is None or isinstance(error, ScanmillError):
        return str(error or "")
    return f"{type(error).__name__}; its words are in the log only, for they may quote a document."


def _of_run(connection: Connection, key: str, run: str) -> list[sa.RowMapping]:
    return [
        alert
        for alert in outbox.open_alerts(connection, ["run_failed"])
        if outbox.event(alert["key"]) == key and alert["key"].endswith(f".{run}")
    ]
