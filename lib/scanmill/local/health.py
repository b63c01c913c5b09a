"""Asks Airflow whether all four of its components are alive."""

import datetime as dt
import http.client
import json
from typing import Any

from scanmill.local.ports import LOOPBACK

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


def missing(port: int, *, since: dt.datetime) -> list[str]:
    """Return the components that have given no sign of life since then; empty: all are well.

    Airflow calls a component healthy for half a minute after it was killed, so the time of its
    last heartbeat is looked at too.
    """
    answer = _ask(port)
    if answer is None:
        return ["api-server"]
    return [name for name in COMPONENTS if not _is_well(name, answer.get(name) or {}, since)]


def _is_well(name: str, told: dict[str, Any], since: dt.datetime) -> bool:
    if told.get("status") != "healthy":
        return False
    heartbeat = told.get(f"latest_{name}_heartbeat")
    return name == "metadatabase" or (
        isinstance(heartbeat, str) and dt.datetime.fromisoformat(heartbeat) >= since
    )


def _ask(port: int) -> dict[str, Any] | None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", "/api/v2/monitor/health")
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None
