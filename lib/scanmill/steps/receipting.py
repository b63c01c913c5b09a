"""Adds everything up: the receipt, and what is still pending."""

import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill import layout
from scanmill.alerts import LASTING
from scanmill.dataset.splits import SPLITS
from scanmill.errors import FatalError
from scanmill.findings import explained, recalled
from scanmill.ledger import outbox, receipts
from scanmill.models import BatchState, ImageFate, PageFate
from scanmill.steps import Mill, relieving
from scanmill.steps.auditing import audit
from scanmill.steps.planning import list_unseen, unknown
from scanmill.steps.reusing import stale_pages

_QUICK_SECONDS = 1.0  # an audit as short as this is made anew for every receipt


def receipt(mill: Mill) -> dict[str, Any]:
    """Return the sums of the law of accounts, in the shape of `scanmill status --json`.

    `lost` and `findings` are what the last audit measured; where an audit takes no time, it is
    made now.
    """
    with mill.ledger.reading() as connection:
        latest = receipts.latest_audit(connection)
    if latest is None or latest["seconds"] < _QUICK_SECONDS:
        audit(mill)
    # Listed before the books are read: what is planned in between must not be missed.
    listed = list_unseen(mill)
    with mill.ledger.reading() as connection:
        unseen = len(unknown(connection, listed))
        images = receipts.image_counts(connection)
        pages = receipts.page_counts(connection)
        quarantine = receipts.quarantine_counts(connection)
        snapshots = receipts.latest_snapshots(connection)
        latest = receipts.latest_audit(connection)
        batches = receipts.unfinished_batches(connection)
        alerts = _alerts(connection) | {"watchdog": relieving.mute(mill) or ""}
    images["landed"] += unseen
    images[ImageFate.PENDING] += unseen
    age = dt.datetime.now(dt.UTC) - latest["finished_at"] if latest else dt.timedelta(0)
    return {
        "images": images,
        "pages": pages,
        "lost": latest["lost"] if latest else 0,
        "audited_seconds_ago": round(age.total_seconds()),
        "audit_is_overdue": _is_overdue(mill, latest, age),
        "quarantine": quarantine,
        "datasets": {
            snapshot["collection"]: {
                "version": snapshot["version"],
                "uri": f"s3://{mill.store.bucket}/{layout.dataset(snapshot['collection'])}"[:-1],
                "rows": {split: snapshot[split] for split in SPLITS},
            }
            for snapshot in snapshots
        },
        "held": [b["batch_id"] for b in batches if b["state"] == BatchState.HELD],
        "imbalances": receipts.imbalances(images, pages),
        "findings": _findings(latest),
        "alerts": alerts,
        "stale": _stale(mill),
    }


def _stale(mill: Mill) -> dict[str, Any]:
    """Return how many pages were read by other means than today's, None if those are not here."""
    try:
        return {"pages": sum(stale_pages(mill).values()), "detail": ""}
    except FatalError as error:
        return {"pages": None, "detail": str(error)}


def _findings(audit: sa.RowMapping | None) -> list[dict[str, Any]]:
    return [explained(recalled(entry)) for entry in audit["findings"]] if audit else []


def _alerts(connection: Connection) -> dict[str, Any]:
    """Return which alerts are open, and how many have not arrived by every channel."""
    open_alerts = outbox.open_alerts(connection, LASTING)
    return {
        "open": [
            {name: alert[name] for name in ("kind", "subject", "created_at")}
            for alert in open_alerts
        ],
        "undelivered": len(outbox.undelivered(connection)),
    }


def _is_overdue(mill: Mill, audit: sa.RowMapping | None, age: dt.timedelta) -> bool:
    interval = mill.settings.audit_seconds
    return bool(interval and audit and age.total_seconds() > 2 * interval + audit["seconds"])


def is_balanced(sums: dict[str, Any]) -> bool:
    """Tell whether nothing is lost, both laws hold, and a new audit found nothing."""
    off = (sums["lost"], sums["imbalances"], sums["findings"], sums["audit_is_overdue"])
    return not any(off)


def pending(mill: Mill) -> dict[str, int]:
    """Return how much is on its way, from listed to published.

    A held batch is not on its way: it waits for a person.
    """
    listed = list_unseen(mill)  # before the books are read, as above
    with mill.ledger.reading() as connection:
        unseen = len(unknown(connection, listed))
        images = receipts.image_counts(connection)
        pages = receipts.page_counts(connection)
        batches = receipts.unfinished_batches(connection)
    return {
        "unplanned images": unseen,
        "images": images[ImageFate.PENDING],
        "pages": pages[PageFate.PENDING],
        "batches": sum(batch["state"] != BatchState.HELD for batch in batches),
    }
