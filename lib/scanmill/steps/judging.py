"""Judges a batch by its measures: verdict, report and alert are written, then it is raised."""

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy.engine import Connection

from scanmill import alerts, layout, schema
from scanmill.errors import FatalError, GateFailed, UsageError
from scanmill.ledger import books, outbox, receipts
from scanmill.models import BatchKind, BatchState, ImageFate, PageFate, Reason
from scanmill.quality import RowRules, Verdict, find, judge
from scanmill.sandbox import scratch
from scanmill.steps import Mill, reporting
from scanmill.steps.adopting import adopt_part, collection_of
from scanmill.store import json_bytes

log = logging.getLogger(__name__)

Row = dict[str, Any]

_DECIDE = "Decide: ./scanmill review {} --release|--discard --because TEXT"

_SUITES = {
    BatchKind.INTAKE: "pages_gate.json",
    # Pages are read again because they read badly: how many still do is no verdict on the batch.
    BatchKind.REPROCESS: "reprocess_gate.json",
}

_JUDGED = {BatchState.PASSED, BatchState.RELEASED, BatchState.BUILT, BatchState.DISCARDED}


def judge_batch(mill: Mill, batch_id: str) -> dict[str, int]:
    """Judge the pages of a batch and return its page counts; `pending` ones may be built.

    A batch without one readable page is settled: there is nothing to judge, and one warning.

    Raises:
        FatalError: a slice is missing, because it could not run.
        GateFailed: the batch is held; report and alert are written, the dataset is as it was.
    """
    _require_every_slice(mill, batch_id)
    with mill.ledger.reading() as connection:
        batch = receipts.batch(connection, batch_id)
        latest = receipts.latest_verdict(connection, batch_id)
    if batch is None:
        raise UsageError(f"There is no batch [{batch_id}]. See: ./scanmill status")
    if batch["state"] == BatchState.HELD and latest and latest["gate"] == Reason.DATASET_GATE:
        raise GateFailed(f"The dataset_gate holds batch [{batch_id}]. {_DECIDE.format(batch_id)}")
    if batch["state"] not in _JUDGED:
        _judge_pages(mill, batch_id, suite=_SUITES[batch["kind"]])
    with mill.ledger.reading() as connection:
        return receipts.page_counts(connection, batch_id)


def waits_to_be_built(mill: Mill, batch_id: str) -> bool:
    """Tell whether a batch was let through and is in no snapshot yet."""
    with mill.ledger.reading() as connection:
        batch = receipts.batch(connection, batch_id)
    return batch is not None and batch["state"] in {BatchState.PASSED, BatchState.RELEASED}


def _require_every_slice(mill: Mill, batch_id: str) -> None:
    with mill.ledger.reading() as connection:
        unread = receipts.unread_slices(connection, batch_id)
    missing = [number for number in unread if not adopt_part(mill, batch_id, number)]
    if missing:
        raise FatalError(
            f"Slices {missing} of batch [{batch_id}] did not finish. What was read is kept: see "
            "the logs of the failed tasks, then clear them, or wait: the sweep starts it again."
        )


def _judge_pages(mill: Mill, batch_id: str, *, suite: str) -> None:
    collection = collection_of(batch_id)
    rules_path = find(mill.settings, collection=collection, name="row_rules.json")
    rows = load_measures(mill, batch_id, RowRules.load(rules_path))
    if not any(row["outcome"] == "read" for row in rows):
        _settle_unreadable(mill, batch_id, rows)
        return
    with scratch() as docs:
        verdict = judge(
            pa.Table.from_pylist(rows),
            gate=Reason.PAGES_GATE,
            suite_path=find(mill.settings, collection=collection, name=suite),
            rules_path=rules_path,
            parameters={"planned_images": _planned_images(mill, batch_id)},
            docs_dir=docs,
            run_name=batch_id,
        )
        _write_verdict(mill, batch_id, verdict, rows, docs)


def judge_dataset(mill: Mill, batch_id: str, rows: Sequence[Row], labels: Sequence[str]) -> None:
    """Judge the rows that a build is about to publish, unless a person overruled this gate.

    Raises:
        GateFailed: the batch is held; report and alert are written, the dataset is as it was.
    """
    with mill.ledger.reading() as connection:
        latest = receipts.latest_verdict(connection, batch_id)
    if latest and latest["gate"] == Reason.DATASET_GATE and latest["verb"] == "release":
        return
    collection = collection_of(batch_id)
    with scratch() as docs:
        verdict = judge(
            pa.Table.from_pylist(
                [_dataset_measures(row) for row in rows], schema=_DATASET_MEASURES
            ),
            gate=Reason.DATASET_GATE,
            suite_path=find(mill.settings, collection=collection, name="dataset_gate.json"),
            rules_path=find(mill.settings, collection=collection, name="row_rules.json"),
            parameters={"known_labels": list(labels)},
            docs_dir=docs,
            run_name=batch_id,
        )
        _write_verdict(mill, batch_id, verdict, rows, docs)


# --- what the gates see --------------------------------------------------------------------------


def load_measures(mill: Mill, batch_id: str, rules: RowRules) -> list[Row]:
    """Return a row of measures for every page of a batch: no text, but how each page reads."""
    with mill.ledger.reading() as connection:
        batch = receipts.batch(connection, batch_id)
    columns = [name for name in schema.PAGES.names if name not in schema.LARGE_COLUMNS]
    rows: list[Row] = []
    for number in range(batch["slice_count"] if batch else 0):
        rows += mill.store.read_table(layout.part(batch_id, number)).select(columns).to_pylist()
    return [row | _outcome(row, rules) for row in rows]


def _outcome(row: Row, rules: RowRules) -> dict[str, str]:
    if row["fate"] == PageFate.PENDING:
        return {"outcome": "read", "row_rule": rules.reason_for(row) or "none"}
    is_unreadable = row["fate"] == PageFate.QUARANTINED
    return {"outcome": "unreadable" if is_unreadable else "gone", "row_rule": "none"}


def _planned_images(mill: Mill, batch_id: str) -> int:
    slices = mill.store.read_table(layout.plan(batch_id))["slice"]
    return len(slices) - int(slices.null_count)


_DATASET_MEASURES = pa.schema(
    [
        *[(name, pa.string()) for name in ("page_id", "document_id", "label", "split")],
        ("source_key", pa.string()),
        ("char_count", pa.int32()),
        ("mean_confidence", pa.float64()),
    ]
)


def _dataset_measures(row: Row) -> Row:
    return row | {"label": row["label_name"]}


# --- what becomes of a verdict -------------------------------------------------------------------


def _write_verdict(
    mill: Mill, batch_id: str, verdict: Verdict, rows: Sequence[Row], docs: Path
) -> None:
    """Write report, verdict, books and alert, in this order; then raise if the gate failed.

    A verdict like the one before adds nothing: a task that is tried again sends no second mail.
    """
    with mill.ledger.reading() as connection:
        latest = receipts.latest_verdict(connection, batch_id)
    if not (latest and _is_the_same(latest, verdict)):
        report = reporting.write_report(mill, batch_id, verdict, rows, docs)
        number = latest["number"] + 1 if latest else 1
        content = json.loads(verdict.to_json()) | {"report": report}
        # Whoever judged first has decided; a killed attempt of ours may have been the one.
        first = mill.store.create_first(layout.verdict(batch_id, number), json_bytes(content))
        verdict = Verdict.from_json(first)
        _enter(mill, batch_id, number, verdict, json.loads(first), rows)
        log.info("batch=%s %s=%s report=%s", batch_id, verdict.gate, verdict.severity, report)
    elif latest["verb"] == "release":
        return
    elif not verdict.passed:
        # Heal may have entered what a killed attempt of ours decided, and tells nobody.
        with mill.ledger.writing() as connection:
            _tell(mill, connection, batch_id, latest["number"], verdict, rows)
    if not verdict.passed:
        causes = "; ".join(check.sentence for check in verdict.causes)
        raise GateFailed(
            f"The {verdict.gate} holds batch [{batch_id}]: {causes} {_DECIDE.format(batch_id)}"
        )


def _is_the_same(latest: Any, verdict: Verdict) -> bool:
    names = ("gate", "passed", "severity", "suite_sha256")
    return all(latest[name] == getattr(verdict, name) for name in names)


def _enter(
    mill: Mill,
    batch_id: str,
    number: int,
    verdict: Verdict,
    content: Mapping[str, Any],
    rows: Sequence[Row],
) -> None:
    with mill.ledger.writing() as connection:
        books.enter_recognized(connection, batch_id, has_pages=True)
        books.enter_verdict(connection, batch_id, number, content)
        if verdict.severity == "pass" or (verdict.passed and _is_told_of(connection, batch_id)):
            return
        _tell(mill, connection, batch_id, number, verdict, rows)


def _tell(
    mill: Mill,
    connection: Connection,
    batch_id: str,
    number: int,
    verdict: Verdict,
    rows: Sequence[Row],
) -> None:
    """Tell of a verdict, keyed by its number: each is told of once."""
    write = alerts.gate_warned if verdict.passed else alerts.gate_failed
    message = write(
        batch=batch_id,
        gate=verdict.gate,
        stake=_stake(connection, batch_id),
        causes=[check.sentence for check in verdict.causes],
        files=_files(rows, verdict),
        report_address=reporting.url(mill.settings, batch_id, verdict.gate),
        reasons=_reasons(rows),
    )
    fields = dataclasses.asdict(message) | {"key": f"{message.key}:{number}"}
    outbox.post(connection, **fields)


def _is_told_of(connection: Connection, batch_id: str) -> bool:
    """Tell whether a gate has sent word of this batch: a warning is mailed once per batch.

    Whoever released a held batch has just looked at it, and needs no warning about it either.
    """
    keys = (f"{kind}:{batch_id}:" for kind in ("gate_failed", "gate_warned"))
    return any(outbox.count(connection, key) for key in keys)


def _reasons(rows: Sequence[Row]) -> Counter[Reason]:
    """Count why pages of a batch are not fit to publish: unreadable, or against a row rule."""
    broken = [row.get("row_rule", "none") for row in rows if row.get("row_rule", "none") != "none"]
    unread = [row["reason"] for row in rows if row.get("outcome") == "unreadable"]
    return Counter(map(Reason, [*broken, *unread]))


def _files(rows: Sequence[Row], verdict: Verdict) -> list[str]:
    """Return the keys of the pages that failed, those of the main cause first."""
    keys = {row["page_id"]: row["source_key"] for row in rows}
    ids = [page_id for check in verdict.causes for page_id in check.failing_ids]
    return list(dict.fromkeys(keys[page_id] for page_id in ids if page_id in keys))


def _stake(connection: Connection, batch_id: str) -> alerts.Stake:
    images = receipts.image_counts(connection, batch_id)
    pages = receipts.page_counts(connection, batch_id)
    return alerts.Stake(
        images=images["landed"],
        pages_found=pages["found"],
        pages_held=pages[PageFate.HELD],
        pages_rejected=pages[PageFate.REJECTED],
        images_quarantined=images[ImageFate.QUARANTINED],
        pages_quarantined=pages[PageFate.QUARANTINED],
    )


def _settle_unreadable(mill: Mill, batch_id: str, rows: Sequence[Row]) -> None:
    """Note that a batch had nothing to judge, with one warning if it should have had."""
    unread = [row for row in rows if row["outcome"] == "unreadable"]
    reasons = Counter(Reason(row["reason"]) for row in unread)
    message = alerts.nothing_readable(
        batch=batch_id,
        images=len({row["image_id"] for row in unread}),
        reasons=reasons,
        files=list(dict.fromkeys(row["source_key"] for row in unread)),
        report_address=reporting.write_bare_report(mill, batch_id, rows) if unread else "",
    )
    with mill.ledger.writing() as connection:
        books.enter_recognized(connection, batch_id, has_pages=False)
        if unread:
            outbox.post(connection, **dataclasses.asdict(message))
