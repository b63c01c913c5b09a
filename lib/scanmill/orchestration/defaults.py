"""What every DAG and task of ours has in common: schedules, retries, alerts, owner."""

import datetime as dt
import faulthandler
import signal
import sys
from typing import Any

from airflow.sdk import Asset, AssetOrTimeSchedule, DeltaTriggerTimetable
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

from scanmill.errors import FatalError, RetryableError
from scanmill.orchestration.alerting import tell_of_failed_run, tell_of_failed_task
from scanmill.settings import Settings

_SETTINGS = Settings.load()
_RETRY_DELAY = dt.timedelta(seconds=_SETTINGS.retry_seconds)

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(exception=FatalError, action=RetryAction.FAIL, reason="no attempt can help"),
        RetryRule(
            exception=RetryableError, retry_delay=_RETRY_DELAY, reason="the world failed, not us"
        ),
    ]
)
"""Our error classes, mapped to Airflow in this one place; anything else is a bug or a kill."""


def let_crashes_be_deaths(_context: Any) -> None:
    """Have a segmentation fault end this task's process, with a traceback in its log.

    Airflow leaves a handler in Python behind, which never gets its turn: the task would spin for
    ever in state `running`, and send heartbeats.
    """
    faulthandler.disable()
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    faulthandler.enable(sys.__stderr__ or 2)


TASK_DEFAULTS: dict[str, Any] = {
    "owner": "scanmill",
    "retries": 3,
    "retry_delay": _RETRY_DELAY,
    "retry_policy": RETRY_POLICY,
    "execution_timeout": dt.timedelta(seconds=_SETTINGS.task_seconds),
    "on_execute_callback": let_crashes_be_deaths,
    "on_failure_callback": tell_of_failed_task,
}

DAG_DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "default_args": TASK_DEFAULTS,
    "on_failure_callback": tell_of_failed_run,
    "tags": ["scanmill"],
}

SLICES_AT_ONCE = _SETTINGS.slices_at_once


def at_upload_and_by_sweep(landing: Asset) -> Any:
    """Return the schedule of the intake: the doorbell makes it fast, the sweep makes it certain."""
    if not _SETTINGS.sweep_seconds:
        return [landing]
    every = dt.timedelta(seconds=_SETTINGS.sweep_seconds)
    if not landing.watchers:
        return DeltaTriggerTimetable(every)
    return AssetOrTimeSchedule(timetable=DeltaTriggerTimetable(every), assets=[landing])


def at_audit_interval() -> Any:
    """Return the schedule of the audit; None when the settings turn it off."""
    if not _SETTINGS.audit_seconds:
        return None
    return DeltaTriggerTimetable(dt.timedelta(seconds=_SETTINGS.audit_seconds))
