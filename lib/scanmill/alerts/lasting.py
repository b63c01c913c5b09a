"""Alerts about what lasts: one message when it begins, and one, `over`, when it has ended."""

import dataclasses
from collections.abc import Mapping, Sequence

from scanmill.alerts.words import Message, bullets, compose, counted, paragraphs, safe
from scanmill.findings import Finding, hints

_SHOWN = 5

_LOOK = (
    "Type:\n"
    "  ./scanmill doctor    is everything there that it needs\n"
    "  ./scanmill status    where every image is"
)

_ENDINGS: Mapping[str, str] = {
    "component_away": "It answers again. What waited for it goes on by itself.",
    "channel_away": "It takes alerts again.",
    "run_failed": "The work was done by a later run, or waits for a person now.",
    "task_hung": "The task is not running any more. If it failed, its run says so.",
    "batch_stuck": "The batch has moved on.",
    "images_pending": "No image waits for longer than the settings allow any more.",
    "books_do_not_balance": "The last audit found nothing: the books balance.",
    "audit_overdue": "There is a new audit.",
}

LASTING = frozenset(_ENDINGS)
"""The kinds of alerts that are open until they are over."""


def over(*, kind: str, key: str, subject: str, seconds: float, note: str = "") -> Message:
    """Say that what this alert told of has ended, after so many seconds."""
    what = subject.removeprefix("[scanmill] ")
    text = paragraphs(
        f"This is over, {_duration(seconds)} after it was told of:\n  {safe(what)}",
        _ENDINGS[kind],
        note,
    )
    message = compose("over", "", subject=f"[scanmill] over: {what}", text=text)
    return dataclasses.replace(message, key=f"over:{key}")


def run_failed(
    *, dag_id: str, run_id: str, task_id: str, batch: str, error: str, log_address: str
) -> Message:
    """Say that a run stopped for a reason that is not in the data.

    `task_id`, `batch` and `error` may be empty: a task that was killed cannot tell.
    """
    task = f", task {safe(task_id)}," if task_id else ""
    text = paragraphs(
        f"The run {safe(run_id)} of {safe(dag_id)}{task} failed"
        + (f" while it worked on batch {safe(batch)}." if batch else "."),
        f"It said:\n  {safe(error, limit=300)}"
        if error
        else "It left no word: it was probably killed.",
        "What was read is kept; what was not is still pending. A second message says when a later "
        "run has done it.",
        f"Log:\n  {safe(log_address, limit=500)}",
        "Look at the log, then:\n"
        "  ./scanmill doctor    is everything there that it needs\n"
        "  ./scanmill status    where every image is",
    )
    subject = f"[scanmill] {dag_id} failed on {batch or run_id}"
    return compose("run_failed", f"{dag_id}:{batch}", subject=subject, text=text)


def task_hung(
    *,
    dag_id: str,
    about: str,
    task_id: str,
    seconds: float,
    limit: float,
    process: str,
    log_address: str,
) -> Message:
    """Say that a task runs for longer than it may, `about` being its batch or its run."""
    text = paragraphs(
        f"The task {safe(task_id)} of {safe(dag_id)} has been running for {_duration(seconds)}, on "
        f"{safe(about)}. It may take {_duration(limit)}.",
        f"Its process: {safe(process)}",
        "Airflow does not end a task that hangs in native code. Nothing is lost: what was read is "
        "kept, and another attempt begins where this one stood.",
        f"Log:\n  {safe(log_address, limit=500)}",
        "If it does nothing any more, end its process (kill -9) on that machine: Airflow then "
        "tries the task again. If it is only slow, let it run, and raise "
        "SCANMILL_TASK_ALERT_SECONDS.",
    )
    subject = f"[scanmill] {dag_id}.{task_id} hangs on {about}"
    return compose("task_hung", f"{dag_id}:{about}:{task_id}", subject=subject, text=text)


def batch_stuck(*, batch: str, state: str, seconds: float) -> Message:
    """Say that nobody has moved a batch for longer than the settings allow."""
    text = paragraphs(
        f"Nothing has happened to batch {safe(batch)} for {_duration(seconds)}. "
        f"It is {safe(state)} and not finished.",
        "Nothing is lost: it is announced again by itself. When that does not help, its run is "
        "red, or its DAG is paused.",
        _LOOK,
    )
    subject = f"[scanmill] {batch} stands still"
    return compose("batch_stuck", batch, subject=subject, text=text)


def component_away(*, component: str, trouble: str) -> Message:
    """Say that a part of the installation does not answer."""
    name = component.replace("_", "-")
    text = paragraphs(
        f"The {name} has not answered for half a minute.",
        f"It said:\n  {safe(trouble, limit=300)}",
        "Nothing is lost: what has landed stays listed, and goes on when it is back. A second "
        "message says when.",
        "Type:\n"
        "  ./scanmill doctor    what is there and what is not\n"
        "  ./scanmill up        starts what is missing of a local stack",
    )
    subject = f"[scanmill] the {name} is away"
    return compose("component_away", component, subject=subject, text=text)


def channel_away(*, channel: str, trouble: str, waiting: int) -> Message:
    """Say, by the other channels, that one of them takes no alerts."""
    text = paragraphs(
        f"The channel {channel} takes no alerts: {counted(waiting, 'alert')} could not be sent.",
        f"It said:\n  {safe(trouble, limit=300)}",
        "They stay in the outbox and are sent when it is back. A second message says when.",
        "Type:\n"
        "  ./scanmill status    every alert that is open or waits\n"
        "  ./scanmill doctor    what is there and what is not",
    )
    subject = f"[scanmill] the channel {channel} takes no alerts"
    return compose("channel_away", channel, subject=subject, text=text)


def channel_back(*, seconds: float, waited: int) -> str:
    """Return what to add when a channel is back: how long it was away, and what waited."""
    return f"It was away for {_duration(seconds)}; {counted(waited, 'alert')} waited for it."


def images_pending(*, batches: Mapping[str, int], seconds: float) -> Message:
    """Say that images wait longer than the settings allow: one event, whichever they are."""
    total = sum(batches.values())
    waiting = [f"{counted(n, 'image')} of {safe(batch)}" for batch, n in sorted(batches.items())]
    text = paragraphs(
        f"{counted(total, 'image')} landed more than {seconds:g} s ago and "
        f"{'is' if total == 1 else 'are'} still not read. Nothing is lost: they are still pending.",
        _first("Waiting", waiting),
        _LOOK,
    )
    subject = f"[scanmill] {counted(total, 'image')} pending for too long"
    return compose("images_pending", "", subject=subject, text=text)


def books_do_not_balance(*, findings: Sequence[Finding], audit: int) -> Message:
    """Say what this audit found off."""
    lost = sum(finding.is_lost for finding in findings)
    shown = [
        f"{finding.kind}: {safe(finding.subject)}: {safe(finding.detail)}"
        for finding in sorted(findings, key=lambda finding: not finding.is_lost)
    ]
    remedies = [f"{kind}: {hints[kind].remedy}" for kind in dict.fromkeys(f.kind for f in findings)]
    text = paragraphs(
        f"The audit found {counted(len(findings), 'thing')} that should not be; lost: {lost}.",
        _first("Findings", shown),
        bullets("What to do", remedies),
        "Type:\n"
        "  ./scanmill audit     all findings, and what to type for each\n"
        "  ./scanmill status    the receipt",
    )
    subject = (
        f"[scanmill] the books do not balance: {counted(len(findings), 'finding')}, {lost} lost"
    )
    return compose("books_do_not_balance", str(audit), subject=subject, text=text)


def audit_overdue(*, seconds: float, interval: float) -> Message:
    """Say that nobody has audited the books for longer than the interval of the audit allows."""
    text = paragraphs(
        f"The last audit was {_duration(seconds)} ago; there should be one every "
        f"{_duration(interval)}. Until then nobody looks whether something was lost.",
        "Type:\n"
        "  ./scanmill audit     audit now\n"
        "  ./scanmill doctor    why audit_ledger does not run: is it paused, or the scheduler away",
    )
    subject = "[scanmill] the books have not been audited for too long"
    return compose("audit_overdue", "", subject=subject, text=text)


# --- building blocks -----------------------------------------------------------------------------


def _first(title: str, items: Sequence[str]) -> str:
    rest = len(items) - _SHOWN
    return bullets(title, items[:_SHOWN]) + (f"\n  ... and {rest} more" if rest > 0 else "")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{round(seconds)} s"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"
