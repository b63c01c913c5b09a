"""Makes the ledger again from the bucket alone."""

from scanmill import layout
from scanmill.steps import Mill
from scanmill.steps.adopting import adopt_batches, collection_of


def rebuild(mill: Mill) -> int:
    """Enter every batch and snapshot that the bucket holds, and return how many batches.

    What is entered already stays as it is, so that a ledger of any age may be brought forward.
    The outbox and the audits are not in the bucket.
    """
    batches: dict[str, list[str]] = {}
    for key, _ in mill.store.list_keys("batches/"):
        batch_id = layout.planned_batch(key)
        if batch_id:
            batches.setdefault(collection_of(batch_id), []).append(batch_id)
    for collection, batch_ids in batches.items():
        adopt_batches(mill, collection, sorted(batch_ids))
    return sum(map(len, batches.values()))
