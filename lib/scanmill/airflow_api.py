"""Asks Airflow's REST API, as any client may; knows nothing of Airflow's code."""

import datetime as dt
import urllib.parse
from types import TracebackType
from typing import Any, Self

import httpx

from scanmill.errors import RetryableError
from scanmill.settings import Settings

_TIMEOUT_SECONDS = 10
_MOST = 100


class UnknownError(RetryableError):
    """Airflow knows no such thing; it may have been deleted, or not be parsed yet."""


class AirflowApi:
    """One session with the Airflow that the settings name.

    Whatever goes wrong on the way is a `RetryableError`: Airflow is away, or refuses us.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = httpx.Client(base_url=settings.airflow_url, timeout=_TIMEOUT_SECONDS)

    def log_in(self) -> Self:
        """Log in, and begin a session that somebody has to close."""
        login = {
            "username": self._settings.airflow_user,
            "password": self._settings.airflow_password.get_secret_value(),
        }
        token = self._ask("POST", "/auth/token", json=login)["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"
        return self

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        """Log in."""
        return self.log_in()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def asset(self, name: str) -> dict[str, Any]:
        """Return an asset: its watchers, its producers, and the DAGs scheduled on it."""
        found = self._ask("GET", f"/api/v2/assets?name_pattern={name}&limit=100")
        for asset in found["assets"]:
            if asset["name"] == name:
                return dict(asset)
        raise RetryableError(f"Airflow knows no asset [{name}]; have its DAGs been parsed?")

    def dag(self, dag_id: str) -> dict[str, Any]:
        """Return a DAG."""
        return self._ask("GET", f"/api/v2/dags/{dag_id}")

    def tagged(self, tag: str) -> set[str]:
        """Return the DAGs with this tag."""
        found = self._ask("GET", "/api/v2/dags", params={"tags": tag, "limit": _MOST})
        return {dag["dag_id"] for dag in found["dags"]}

    def tasks(self, state: str) -> list[dict[str, Any]]:
        """Return the tasks in this state, of all DAGs, those that began first."""
        params = {"state": state, "order_by": "start_date", "limit": _MOST}
        path = "/api/v2/dags/~/dagRuns/~/taskInstances"
        return list(self._ask("GET", path, params=params)["task_instances"])

    def execution_timeout(self, dag_id: str, task_id: str) -> float | None:
        """Return after how many seconds Airflow ends a task; None where it never does."""
        limit = self._ask("GET", f"/api/v2/dags/{_quoted(dag_id)}/tasks/{_quoted(task_id)}")
        parts = limit["execution_timeout"]
        if parts is None:
            return None
        names = ("days", "seconds", "microseconds")
        return dt.timedelta(**{name: parts[name] for name in names}).total_seconds()

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return a run."""
        return self._ask("GET", f"/api/v2/dags/{_quoted(dag_id)}/dagRuns/{_quoted(run_id)}")

    def ended_runs(self, dag_id: str, *, state: str, since: dt.datetime) -> list[dict[str, Any]]:
        """Return the runs of a DAG, or of all (`~`), that ended so since then, newest first."""
        params = {
            "state": state,
            "end_date_gte": since.isoformat(),
            "order_by": "-end_date",
            "limit": _MOST,
        }
        path = f"/api/v2/dags/{_quoted(dag_id)}/dagRuns"
        return list(self._ask("GET", path, params=params)["dag_runs"])

    def ring(self, asset_name: str, partition_key: str) -> None:
        """Announce a partition of an asset."""
        asset_id = self.asset(asset_name)["id"]
        event = {"asset_id": asset_id, "partition_key": partition_key, "extra": {}}
        self._ask("POST", "/api/v2/assets/events", json=event)

    def _ask(self, verb: str, path: str, **body: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(verb, path, **body).raise_for_status()
        except httpx.HTTPStatusError as error:
            is_unknown = error.response.status_code == httpx.codes.NOT_FOUND
            kind = UnknownError if is_unknown else RetryableError
            raise kind(f"Airflow did not answer [{path}]: {error}") from error
        except httpx.HTTPError as error:
            raise RetryableError(f"Airflow did not answer [{path}]: {error}") from error
        content: dict[str, Any] = answer.json()
        return content


def health(settings: Settings) -> dict[str, Any]:
    """Return the state of every component; Airflow tells it without a login.

    Raises:
        RetryableError: the API server does not answer.
    """
    url = f"{settings.airflow_url}/api/v2/monitor/health"
    try:
        answer = httpx.get(url, timeout=_TIMEOUT_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        raise RetryableError(f"Airflow did not answer [{url}]: {error}") from error
    content: dict[str, Any] = answer.json()
    return content


def run_url(settings: Settings, dag_id: str, run_id: str) -> str:
    """Return the address of the page of a run."""
    return f"{settings.airflow_url}/dags/{_quoted(dag_id)}/runs/{_quoted(run_id)}"


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="~")
