"""The words of every alert: plain text about numbers and names, never about what a page says.

A message is finished text. It must never be handed to a template engine as a template.
"""

import dataclasses
import shlex
import types
from collections.abc import Mapping, Sequence

from scanmill.inert import inert
from scanmill.models import Finding, Reason, hash_id
from scanmill.reasons import hints

_SUBJECT = 120
_SHOWN = 5
_CAUSES = 3
_OPENERS = ("{{", "{%", "{#")
_NONE: Mapping[Reason, int] = types.MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One alert; `key` is the same for everything that tells of the same event."""

    kind: str
    key: str
    subject: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """How much a batch is about, as the ledger counts it."""

    images: int
    pages_found: int
    pages_held: int = 0
    pages_rejected: int = 0
    images_quarantined: int = 0
    pages_quarantined: int = 0


def gate_failed(
    *,
    batch: str,
    gate: str,
    stake: Stake,
    causes: Sequence[str],
    files: Sequence[str],
    report_address: str,
    reasons: Mapping[Reason, int] = _NONE,
) -> Message:
    """Say that a batch is held, what is at stake, why, and what to type.

    Where fewer than three checks failed, the most frequent `reasons` of pages fill up the causes.
    """
    review = f"./scanmill review {_word(batch)}"
    held = _count(stake.pages_held, "page")
    text = _join(
        f"Batch {_safe(batch)} is held by the {_gate_name(gate)}: {held} of "
        f"{stake.pages_found} wait for a person.\n"
        "The published dataset did not change.",
        _stake("At stake", stake),
        _list("Main causes", _causes(causes, reasons)),
        _files(files),
        f"Report (pictures, numbers, reasons):\n  {_safe(report_address, limit=500)}",
        "Look at the report, then type one of:\n"
        f'  {review} --release --because "..."    publish it after all\n'
        f'  {review} --discard --because "..."    leave it out for good',
    )
    subject = f"[scanmill] {batch} is held: {held} wait for your decision"
    return _message("gate_failed", f"{batch}:{gate}", subject=subject, text=text)


def gate_warned(
    *,
    batch: str,
    gate: str,
    stake: Stake,
    causes: Sequence[str],
    files: Sequence[str],
    report_address: str,
    reasons: Mapping[Reason, int] = _NONE,
) -> Message:
    """Say that a batch went on although something about it is unusual."""
    text = _join(
        f"Batch {_safe(batch)} passed the {_gate_name(gate)} with a warning. "
        "It goes on; nothing has to be done.",
        _stake("The batch", stake),
        _list("What is unusual", _causes(causes, reasons)),
        _files(files),
        f"Report (pictures, numbers, reasons):\n  {_safe(report_address, limit=500)}",
    )
    first = f": {causes[0].partition(';')[0]}" if causes else ""
    subject = f"[scanmill] {batch} passed with a warning{first}"
    return _message("gate_warned", f"{batch}:{gate}", subject=subject, text=text)


def nothing_readable(
    *,
    batch: str,
    images: int,
    reasons: Mapping[Reason, int],
    files: Sequence[str],
    report_address: str,
) -> Message:
    """Say that a batch held not one page that could be read."""
    remedies = [f"{reason}: {hints[reason].remedy}" for reason in _ranked(reasons)[:_CAUSES]]
    text = _join(
        f"Not one page of batch {_safe(batch)} could be read ({_count(images, 'image')}).\n"
        "The originals are kept. The published dataset did not change.",
        _list("Reasons", _causes((), reasons)),
        _list("What to do", remedies),
        _files(files),
        f"Report:\n  {_safe(report_address, limit=500)}",
        "When the cause is mended:\n  ./scanmill drop FOLDER --again",
    )
    subject = f"[scanmill] {batch}: not one of {_count(images, 'image')} could be read"
    return _message("nothing_readable", batch, subject=subject, text=text)


def run_failed(
    *, dag_id: str, run_id: str, task_id: str, batch: str, error: str, log_address: str
) -> Message:
    """Say that a run stopped for a reason that is not in the data.

    `task_id`, `batch` and `error` may be empty: a task that was killed cannot tell.
    """
    about = batch or run_id
    task = f", task {_safe(task_id)}," if task_id else ""
    text = _join(
        f"The run {_safe(run_id)} of {_safe(dag_id)}{task} failed"
        + (f" while it worked on batch {_safe(batch)}." if batch else "."),
        f"It said:\n  {_safe(error, limit=300)}"
        if error
        else "It left no word: it was probably killed.",
        "What was read is kept; what was not is still pending.",
        f"Log:\n  {_safe(log_address, limit=500)}",
        "Look at the log, then:\n"
        "  ./scanmill doctor    is everything there that it needs\n"
        "  ./scanmill status    where every image is",
    )
    subject = f"[scanmill] {dag_id} failed on {about}"
    return _message("run_failed", f"{dag_id}:{about}", subject=subject, text=text)


def internal_error(
    *, batch: str, files: Sequence[str], errors: Sequence[str], log_address: str
) -> Message:
    """Say that Scanmill itself failed on images, and that their mates went through."""
    text = _join(
        f"Scanmill itself failed on {_count(len(files), 'image')} of batch {_safe(batch)}, again "
        "and again. The originals are in quarantine as internal_error; the rest went through.",
        _files(files),
        _list("It said", list(dict.fromkeys(errors))[:_CAUSES]),
        f"Log:\n  {_safe(log_address, limit=500)}",
        "Please report it with what stands here. After an update:\n"
        "  ./scanmill drop FOLDER --again",
    )
    subject = f"[scanmill] a fault of ours on {_count(len(files), 'image')} of {batch}"
    return _message("internal_error", batch, subject=subject, text=text)


def component_away(*, component: str, trouble: str) -> Message:
    """Say that a part of the installation does not answer."""
    name = component.replace("_", "-")
    text = _join(
        f"The {name} has not answered for half a minute.",
        f"It said:\n  {_safe(trouble, limit=300)}",
        "Nothing is lost: what has landed stays listed, and goes on when it is back. A second "
        "message says when.",
        "Type:\n"
        "  ./scanmill doctor    what is there and what is not\n"
        "  ./scanmill up        starts what is missing of a local stack",
    )
    subject = f"[scanmill] the {name} is away"
    return _message("component_away", component, subject=subject, text=text)


def component_back(*, component: str) -> Message:
    """Say that a part of the installation answers again."""
    name = component.replace("_", "-")
    text = f"The {name} answers again. What waited for it goes on by itself.\n"
    return _message(
        "component_back", component, subject=f"[scanmill] the {name} is back", text=text
    )


def images_pending(*, batches: Mapping[str, int], seconds: float) -> Message:
    """Say that images wait longer than the settings allow; the same batches make the same key."""
    total = sum(batches.values())
    waiting = [f"{_count(n, 'image')} of {_safe(batch)}" for batch, n in sorted(batches.items())]
    text = _join(
        f"{_count(total, 'image')} landed more than {seconds:g} s ago and "
        f"{'is' if total == 1 else 'are'} still not read. Nothing is lost: they are still pending.",
        _list("Waiting", waiting),
        "Type:\n"
        "  ./scanmill doctor    is everything there that it needs\n"
        "  ./scanmill status    where every image is",
    )
    subject = f"[scanmill] {_count(total, 'image')} pending for too long"
    return _message("images_pending", hash_id(*sorted(batches)), subject=subject, text=text)


def books_do_not_balance(*, findings: Sequence[Finding]) -> Message:
    """Say that the audit found something off; the same findings make the same key."""
    lost = sum(finding.is_lost for finding in findings)
    shown = [
        f"{finding.kind}: {_safe(finding.subject)}: {_safe(finding.detail)}"
        for finding in sorted(findings, key=lambda finding: not finding.is_lost)[:_SHOWN]
    ]
    rest = len(findings) - len(shown)
    text = _join(
        f"The audit found {_count(len(findings), 'thing')} that should not be; lost: {lost}.",
        _list("Findings", shown) + (f"\n  ... and {rest} more" if rest else ""),
        "Type:\n"
        "  ./scanmill audit     all findings, and what to type for each\n"
        "  ./scanmill status    the receipt",
    )
    named = sorted(f"{finding.kind}\t{finding.subject}" for finding in findings)
    subject = (
        f"[scanmill] the books do not balance: {_count(len(findings), 'finding')}, {lost} lost"
    )
    return _message("books_do_not_balance", hash_id(*named), subject=subject, text=text)


# --- building blocks -----------------------------------------------------------------------------


def _message(kind: str, about: str, *, subject: str, text: str) -> Message:
    whole = _safe(subject, limit=len(subject) * 10)
    line = whole if len(whole) <= _SUBJECT else f"{whole[: _SUBJECT - 1]}…"
    return Message(kind=kind, key=f"{kind}:{_safe(about)}", subject=line, text=text)


def _safe(text: str, *, limit: int = 160) -> str:
    """Return foreign text inert, with template brackets broken should a channel use templates."""
    for opener in _OPENERS:
        text = text.replace(opener, "{ " + opener[1:])
    return inert(text, limit=limit)


def _word(batch: str) -> str:
    """Return a batch's name as one word of a command, whatever is in it."""
    return shlex.quote(_safe(batch))


def _join(*paragraphs: str) -> str:
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"


def _list(title: str, items: Sequence[str]) -> str:
    lines = [f"  - {_safe(item, limit=400)}" for item in items]
    return "\n".join([f"{title}:", *lines]) if lines else ""


def _files(files: Sequence[str]) -> str:
    return _list("First files", files[:_SHOWN])


def _causes(sentences: Sequence[str], reasons: Mapping[Reason, int]) -> list[str]:
    by_reason = [
        f"{reasons[reason]} x {reason}: {hints[reason].meaning}" for reason in _ranked(reasons)
    ]
    return [*sentences, *by_reason][:_CAUSES]


def _ranked(reasons: Mapping[Reason, int]) -> list[Reason]:
    return sorted(reasons, key=lambda reason: (-reasons[reason], reason))


def _stake(title: str, stake: Stake) -> str:
    return (
        f"{title}:\n"
        f"  images              {stake.images}\n"
        f"  images quarantined  {stake.images_quarantined}\n"
        f"  pages found         {stake.pages_found}\n"
        f"  pages held          {stake.pages_held}\n"
        f"  pages rejected      {stake.pages_rejected}\n"
        f"  pages quarantined   {stake.pages_quarantined}"
    )


def _gate_name(gate: str) -> str:
    return _safe(gate.replace("_", " "))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
