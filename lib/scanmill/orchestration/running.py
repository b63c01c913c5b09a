"""What task bodies need of Airflow: the partition's batch, the log's address, the report's link."""

from typing import Any

from airflow.sdk import BaseOperatorLink, get_current_context

from scanmill.errors import UsageError


def current_batch() -> str:
    """Return the batch that this run is about: the partition key that flows through the DAGs."""
    batch_id: str | None = get_current_context()["dag_run"].partition_key
    if not batch_id:
        raise UsageError(
            "This run has no batch. These DAGs start by themselves; to run one by hand, give the "
            "batch id as its partition key."
        )
    return batch_id


def current_log_url() -> str:
    """Return the address of the log of this task."""
    url: str = get_current_context()["ti"].log_url
    return url


def name_slice(name: str) -> None:
    """Show this name on the mapped task in Airflow's grid."""
    get_current_context()["slice_name"] = name


class ReportLink(BaseOperatorLink):
    """A button on the task that leads to the report of its gate."""

    name = "Quality report"

    def __init__(self, gate: str) -> None:
        super().__init__()
        self._gate = gate

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the report's address."""
        from scanmill.settings import Settings  # noqa: PLC0415
        from scanmill.steps.reporting import url  # noqa: PLC0415

        batch_id = ti_key.get_template_context()["dag_run"].partition_key
        return url(Settings.load(), batch_id, self._gate)
