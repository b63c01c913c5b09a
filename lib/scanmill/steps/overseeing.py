"""Looks, for the watchdog, at Airflow from outside: its components, its tasks, its runs."""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from scanmill import airflow_api, alerts
from scanmill.airflow_api import AirflowApi, UnknownError
from scanmill.errors import RetryableError
from scanmill.ledger import outbox, receipts
from scanmill.models import BatchState
from scanmill.steps import Mill
from scanmill.steps.looking import component
from scanmill.steps.telling import Failure, Seen, say_over, tell_of_failure

TAG = "scanmill"
"""What DAGs carry that are ours to look at: those with our defaults."""

GRACE_SECONDS = 10
"""Airflow ends a task at its limit; one that is there for so much longer, it could not end."""

_QUEUE_SECONDS = 60
"""Where nothing runs, a queued task begins within seconds."""

_OVERLAP = dt.timedelta(minutes=1)
_LOOK_BACK = dt.timedelta(hours=1)
_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")

_OPEN_STATES: Mapping[str, frozenset[BatchState]] = {
    "recognize_pages": frozenset({BatchState.PLANNED, BatchState.RECOGNIZED}),
    "build_dataset": frozenset({BatchState.PASSED, BatchState.RELEASED}),
}
"""Where a batch stands while a run of ours has work to do on it."""


def components(mill: Mill) -> Iterator[Seen]:
    """Yield how every component is; one that cannot be asked is as it was."""
    try:
        health = airflow_api.health(mill.settings)
    except RetryableError as error:
        yield component("api_server", str(error))
        return
    yield component("api_server", "")
    for name in _COMPONENTS:
        state = (health.get(name) or {}).get("status")
        yield component(name, "" if state == "healthy" else f"Airflow calls it [{state}]")


class Overseer:
    """A session with Airflow's API, and how far back its ended runs were looked at."""

    def __init__(self, mill: Mill) -> None:
        self._mill = mill
        self._api: AirflowApi | None = None
        self._limits: dict[tuple[str, str], float] = {}
        self._looked_at = dt.datetime.now(dt.UTC) - _LOOK_BACK

    def look(self) -> Iterator[Seen]:
        """Yield the tasks that hang; tell of runs that failed unheard, and of what is over.

        Raises:
            RetryableError: Airflow is away, or refuses us.
        """
        try:
            api = self._api = self._api or AirflowApi(self._mill.settings).log_in()
            dag_ids = api.tagged(TAG)
            running, queued = api.tasks("running"), api.tasks("queued")
            ours = [task for task in running if task["dag_id"] in dag_ids]
            hung = [message for task in ours for message in self._hung(api, task)]
            self._failed(api, dag_ids)
            yield Seen(scope="task_hung", kind="task_hung", messages=hung)
            yield _executor(running, queued)
            self._mended(api)
        except RetryableError:
            if self._api:
                self._api.close()
            self._api = None  # it may have forgotten us: log in again
            raise

    def _hung(self, api: AirflowApi, task: Mapping[str, Any]) -> Iterator[alerts.Message]:
        if task["start_date"] is None:
            return
        seconds = _age(task["start_date"])
        if seconds <= min(GRACE_SECONDS, self._mill.settings.task_alert_seconds):
            return
        limit = self._limit(api, task["dag_id"], task["task_id"])
        if seconds <= limit:
            return
        run = api.run(task["dag_id"], task["dag_run_id"])
        number = f"[{task['map_index']}]" if task["map_index"] >= 0 else ""
        yield alerts.task_hung(
            dag_id=task["dag_id"],
            about=run["partition_key"] or task["dag_run_id"],
            task_id=f"{task['task_id']}{number}",
            seconds=seconds,
            limit=limit,
            process=f"{task['pid']} on {task['hostname']}",
            log_address=airflow_api.run_url(self._mill.settings, run["dag_id"], run["dag_run_id"]),
        )

    def _limit(self, api: AirflowApi, dag_id: str, task_id: str) -> float:
        if (dag_id, task_id) not in self._limits:
            timeout = api.execution_timeout(dag_id, task_id)
            usual = self._mill.settings.task_alert_seconds
            limit = usual if timeout is None else min(usual, timeout + GRACE_SECONDS)
            self._limits[dag_id, task_id] = limit
        return self._limits[dag_id, task_id]

    def _failed(self, api: AirflowApi, dag_ids: set[str]) -> None:
        """Tell of every run that failed: the callbacks of Airflow may not have come through."""
        now = dt.datetime.now(dt.UTC)
        for run in api.ended_runs("~", state="failed", since=self._looked_at - _OVERLAP):
            if run["dag_id"] in dag_ids:
                failure = Failure(
                    dag_id=run["dag_id"],
                    run_id=run["dag_run_id"],
                    batch_id=run["partition_key"] or "",
                    started_at=_moment(run["start_date"]) if run["start_date"] else None,
                    log_address=airflow_api.run_url(
                        self._mill.settings, run["dag_id"], run["dag_run_id"]
                    ),
                )
                tell_of_failure(self._mill, failure)
        self._looked_at = now

    def _mended(self, api: AirflowApi) -> None:
        """Tell which failures are over because a later run of the same thing succeeded."""
        with self._mill.ledger.reading() as connection:
            waiting = outbox.open_alerts(connection, ["run_failed"])
        since: dict[str, dt.datetime] = {}
        for alert in waiting:
            since.setdefault(_of(alert)[0], alert["created_at"])  # the oldest comes first
        ended, deleted = dict[str, list[dict[str, Any]]](), set[str]()
        for dag_id, moment in since.items():
            try:
                ended[dag_id] = api.ended_runs(dag_id, state="success", since=moment)
            except UnknownError:
                deleted.add(dag_id)  # no run of it can mend anything any more
        for alert in waiting:
            dag_id, batch_id = _of(alert)
            if dag_id in deleted or any(
                alerts.safe(run["partition_key"] or "") == batch_id  # as it stands in the key
                and _moment(run["end_date"]) > alert["created_at"]
                for run in ended.get(dag_id, ())
            ):
                _say_over(self._mill, alert)


def _executor(
    running: Collection[Mapping[str, Any]], queued: Collection[Mapping[str, Any]]
) -> Seen:
    """Return whether somebody takes up what is queued: Airflow's health leaves the executor out."""
    waits = [_age(task["queued_when"]) for task in queued if task["queued_when"]]
    is_deaf = not running and max(waits, default=0) > _QUEUE_SECONDS
    trouble = (
        f"No task runs, and {len(waits)} are queued, the first for {max(waits):.0f} s. Start the "
        "scheduler again; a local stack: ./scanmill down, then ./scanmill up."
        if is_deaf
        else ""
    )
    return component("executor", trouble)


def settled_failures(mill: Mill) -> Iterator[Seen]:
    """Tell which failures are over because their batch has left the state they kept it in.

    A failure is told of by whoever sees it first: no look at all of them yields it.
    """
    yield from ()
    with mill.ledger.reading() as connection:
        over = [
            alert
            for alert in outbox.open_alerts(connection, ["run_failed"])
            if _has_left(receipts.batch(connection, _of(alert)[1]), _of(alert)[0])
        ]
    for alert in over:
        _say_over(mill, alert)


def _has_left(batch: sa.RowMapping | None, dag_id: str) -> bool:
    return batch is not None and batch["state"] not in _OPEN_STATES.get(dag_id, set(BatchState))


def _of(alert: sa.RowMapping) -> tuple[str, str]:
    """Return DAG and batch of a failure: `run_failed:DAG:BATCH:ERROR:NUMBER`, no batch for some."""
    dag_id, *batch, _, _ = alert["key"].split(":")[1:]
    return dag_id, ":".join(batch)


def _say_over(mill: Mill, alert: sa.RowMapping) -> None:
    with mill.ledger.writing() as connection:
        say_over(connection, alert)


def _age(text: str) -> float:
    return (dt.datetime.now(dt.UTC) - _moment(text)).total_seconds()


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
