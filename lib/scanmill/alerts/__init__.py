"""The words of every alert: plain text about numbers and names, never about what a page says.

A message is finished text. It must never be handed to a template engine as a template.
"""

from scanmill.alerts.batches import (
    Stake,
    gate_failed,
    gate_warned,
    internal_error,
    nothing_readable,
)
from scanmill.alerts.lasting import (
    LASTING,
    audit_overdue,
    batch_stuck,
    books_do_not_balance,
    channel_away,
    channel_back,
    component_away,
    images_pending,
    over,
    run_failed,
    task_hung,
)
from scanmill.alerts.words import Message, safe

__all__ = [
    "LASTING",
    "Message",
    "Stake",
    "audit_overdue",
    "batch_stuck",
    "books_do_not_balance",
    "channel_away",
    "channel_back",
    "component_away",
    "gate_failed",
    "gate_warned",
    "images_pending",
    "internal_error",
    "nothing_readable",
    "over",
    "run_failed",
    "safe",
    "task_hung",
]
