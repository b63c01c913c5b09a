"""Alerts about a batch: each is told of once, and what it asks for is up to a person."""

import dataclasses
import types
from collections.abc import Mapping, Sequence

from scanmill.alerts.words import Message, bullets, compose, counted, paragraphs, safe, word
from scanmill.models import Reason
from scanmill.reasons import hints

_SHOWN = 5
_CAUSES = 3
_NONE: Mapping[Reason, int] = types.MappingProxyType({})


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
    review = f"./scanmill review {word(batch)}"
    held = counted(stake.pages_held, "page")
    text = paragraphs(
        f"Batch {safe(batch)} is held by the {_gate_name(gate)}: {held} of "
        f"{stake.pages_found} wait for a person.\n"
        "The published dataset did not change.",
        _stake("At stake", stake),
        bullets("Main causes", _causes(causes, reasons)),
        _files(files),
        f"Report (pictures, numbers, reasons):\n  {safe(report_address, limit=500)}",
        "Look at the report, then type one of:\n"
        f'  {review} --release --because "..."    publish it after all\n'
        f'  {review} --discard --because "..."    leave it out for good',
    )
    subject = f"[scanmill] {batch} is held: {held} wait for your decision"
    return compose("gate_failed", f"{batch}:{gate}", subject=subject, text=text)


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
    text = paragraphs(
        f"Batch {safe(batch)} passed the {_gate_name(gate)} with a warning. "
        "It goes on; nothing has to be done.",
        _stake("The batch", stake),
        bullets("What is unusual", _causes(causes, reasons)),
        _files(files),
        f"Report (pictures, numbers, reasons):\n  {safe(report_address, limit=500)}",
    )
    first = f": {causes[0].partition(';')[0]}" if causes else ""
    subject = f"[scanmill] {batch} passed with a warning{first}"
    return compose("gate_warned", f"{batch}:{gate}", subject=subject, text=text)


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
    text = paragraphs(
        f"Not one page of batch {safe(batch)} could be read ({counted(images, 'image')}).\n"
        "The originals are kept. The published dataset did not change.",
        bullets("Reasons", _causes((), reasons)),
        bullets("What to do", remedies),
        _files(files),
        f"Report:\n  {safe(report_address, limit=500)}",
        "When the cause is mended:\n  ./scanmill drop FOLDER --again",
    )
    subject = f"[scanmill] {batch}: not one of {counted(images, 'image')} could be read"
    return compose("nothing_readable", batch, subject=subject, text=text)


def internal_error(
    *, batch: str, files: Sequence[str], errors: Sequence[str], log_address: str
) -> Message:
    """Say that Scanmill itself failed on images, and that their mates went through."""
    text = paragraphs(
        f"Scanmill itself failed on {counted(len(files), 'image')} of batch {safe(batch)}, again "
        "and again. The originals are in quarantine as internal_error; the rest went through.",
        _files(files),
        bullets("It said", list(dict.fromkeys(errors))[:_CAUSES]),
        f"Log:\n  {safe(log_address, limit=500)}",
        "Please report it with what stands here. After an update:\n"
        "  ./scanmill drop FOLDER --again",
    )
    subject = f"[scanmill] a fault of ours on {counted(len(files), 'image')} of {batch}"
    return compose("internal_error", batch, subject=subject, text=text)


# --- building blocks -----------------------------------------------------------------------------


def _files(files: Sequence[str]) -> str:
    return bullets("First files", files[:_SHOWN])


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
    return safe(gate.replace("_", " "))
