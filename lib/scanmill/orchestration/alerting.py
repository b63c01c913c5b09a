"""Tells of failed tasks and runs: as callbacks of Airflow, which may come twice, or never.

The watchdog looks at the same runs from outside. Whoever comes first enters the message.
"""

from collections.abc import Mapping
from typing import Any


def tell_of_failed_task(context: Mapping[str, Any]) -> None:
    """Tell of a task that failed for good; runs in the task's process."""
    ti = context["ti"]
    _tell(context, task_id=ti.task_id, error=context.get("exception"), log_address=ti.log_url)


def tell_of_failed_run(context: Mapping[str, Any]) -> None:
    """Tell of a run that failed, also when its task was killed; runs in the DAG processor."""
    _tell(context)


def _tell(
    context: Mapping[str, Any],
    *,
    task_id: str = "",
    error: BaseException | None = None,
    log_address: str = "",
) -> None:
    # Inside: DAG files import this module, and parsing must stay light.
    from scanmill.airflow_api import run_url  # noqa: PLC0415
    from scanmill.steps import Mill  # noqa: PLC0415
    from scanmill.steps.telling import Failure, tell_of_failure  # noqa: PLC0415

    run, mill = context["dag_run"], Mill.from_settings()
    failure = Failure(
        dag_id=run.dag_id,
        run_id=run.run_id,
        batch_id=run.partition_key or "",
        started_at=run.start_date,
        task_id=task_id,
        error=error,
        log_address=log_address or run_url(mill.settings, run.dag_id, run.run_id),
    )
    tell_of_failure(mill, failure)
