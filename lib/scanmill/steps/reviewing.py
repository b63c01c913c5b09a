"""Enters a person's decision on a held batch."""

import datetime as dt
import logging
from typing import Literal

from scanmill import layout
from scanmill.errors import LostRaceError, UsageError
from scanmill.ledger import books, receipts
from scanmill.models import BatchState
from scanmill.steps import Mill

log = logging.getLogger(__name__)

Verb = Literal["release", "discard"]


def decide(mill: Mill, batch_id: str, *, verb: Verb, because: str, decided_by: str) -> None:
    """Release a held batch to the dataset, or discard it for good.

    Raises:
        UsageError: the batch is unknown or not held, or somebody decided otherwise first.
    """
    if not because.strip():
        raise UsageError('Say why: --because "..."; it stands in the books.')
    with mill.ledger.reading() as connection:
        batch = receipts.batch(connection, batch_id)
        verdict = receipts.latest_verdict(connection, batch_id)
    if batch is None:
        raise UsageError(f"There is no batch [{batch_id}]. See: ./scanmill status")
    if batch["state"] != BatchState.HELD or verdict is None:
        raise UsageError(f"Batch [{batch_id}] is [{batch['state']}], not held: nothing to decide.")
    decision = {
        "verb": verb,
        "gate": verdict["gate"],
        "decided_by": decided_by,
        "because": because,
        "decided_at": dt.datetime.now(dt.UTC).isoformat(),
    }
    number = verdict["number"]
    try:
        mill.store.create_json(layout.decision(batch_id, number), decision)
    except LostRaceError:
        decision = mill.store.read_json(layout.decision(batch_id, number))
    with mill.ledger.writing() as connection:
        books.enter_decision(connection, batch_id, number, decision)
        after = receipts.batch(connection, batch_id)
    log.info("batch=%s decision=%s", batch_id, decision["verb"])
    if decision["verb"] != verb:
        raise UsageError(
            f"[{decision['decided_by']}] has decided already: [{decision['verb']}], because "
            f"[{decision['because']}]."
        )
    if after is not None and after["state"] == BatchState.PASSED:
        raise UsageError(
            f"Batch [{batch_id}] was judged again meanwhile, and passed: nothing to decide."
        )
