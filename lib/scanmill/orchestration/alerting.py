"""Enters failed tasks and runs into the outbox.

Airflow calls nothing at task level when a task is killed on its last try, and calls twice after a
worker died: so both levels enter the same message, and its key makes it one.
"""

import dataclasses
import datetime as dt
import logging
import urllib.parse
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)


def tell_of_failed_task(context: Mapping[str, Any]) -> None:
    """Tell of a task that failed for good; runs in the task's process."""
    ti = context["ti"]
    _tell(context, task_id=ti.task_id, error=context.get("exception"), log_address=ti.log_url)


def tell_of_failed_run(context: Mapping[str, Any]) -> None:
    """Tell of a run that failed, also when its task was killed; runs in the DAG processor."""
    _tell(context, task_id="", error=None, log_address="")


def _tell(
    context: Mapping[str, Any], *, task_id: str, error: BaseException | None, log_address: str
) -> None:
    # Inside: DAG files import this module, and parsing must stay light.
    from scanmill import alerts  # noqa: PLC0415
    from scanmill.ledger import outbox, receipts  # noqa: PLC0415
    from scanmill.models import BatchState  # noqa: PLC0415
    from scanmill.steps import Mill  # noqa: PLC0415

    run = context["dag_run"]
    batch_id = run.partition_key or ""
    mill = Mill.from_settings()
    with mill.ledger.reading() as connection:
        batch = receipts.batch(connection, batch_id)
        audit = receipts.latest_audit(connection)
    if batch is not None and batch["state"] == BatchState.HELD:
        log.info("batch=%s is held: its gate has told of it", batch_id)
        return
    by_heal = run.dag_id == "audit_ledger" and task_id in {"", "heal"}
    if by_heal and audit is not None and audit["findings"]:
        log.info("the books do not balance: the audit has told of it")
        return
    message = alerts.run_failed(
        dag_id=run.dag_id,
        run_id=run.run_id,
        task_id=task_id,
        batch=batch_id,
        error=str(error) if error else "",
        log_address=log_address or _run_url(mill.settings.airflow_url, run),
    )
    # What fails at every attempt is one event a day; a run that a person cleared is another.
    today = dt.datetime.now(dt.UTC).date()
    key = f"run_failed:{run.dag_id}:{batch_id}:{today}:{run.clear_number or 0}"
    fields = dataclasses.asdict(message) | {"key": key}
    with mill.ledger.writing() as connection:
        outbox.post(connection, **fields)


def _run_url(airflow_url: str, run: Any) -> str:
    run_id = urllib.parse.quote(run.run_id, safe="")
    return f"{airflow_url}/dags/{run.dag_id}/runs/{run_id}"
