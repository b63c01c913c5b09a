"""# Failing

DAGs whose only task fails, each in its own way; they are started by hand.
"""

import ctypes
import datetime as dt
import os
import signal
import time

from airflow.sdk import dag, get_current_context, task

from scanmill.errors import FatalError, RetryableError
from scanmill.orchestration.defaults import DAG_DEFAULTS


@dag(schedule=None, doc_md=__doc__, **DAG_DEFAULTS)
def fails_for_good():
    @task
    def fail():
        raise FatalError("The rights of this role are gone.")

    fail()


@dag(schedule=None, doc_md=__doc__, **DAG_DEFAULTS)
def fails_once():
    @task
    def fail():
        if get_current_context()["ti"].try_number == 1:
            raise RetryableError("The store was away.")

    fail()


@dag(schedule=None, doc_md=__doc__, **DAG_DEFAULTS)
def is_killed():
    @task(retries=1)
    def fail():
        os.kill(os.getpid(), signal.SIGKILL)

    fail()


@dag(schedule=None, doc_md=__doc__, **DAG_DEFAULTS)
def segfaults():
    @task(retries=0)
    def fail():
        ctypes.string_at(0)

    fail()


@dag(schedule=None, doc_md=__doc__, **DAG_DEFAULTS)
def takes_too_long():
    @task(retries=0, execution_timeout=dt.timedelta(seconds=1))
    def fail():
        time.sleep(3600)

    fail()


@dag(schedule=None, doc_md=__doc__, **DAG_DEFAULTS)
def hangs():
    """Hang as native code does, which never gives Python's handler of the time limit its turn."""

    @task(retries=0, execution_timeout=dt.timedelta(seconds=3))
    def fail():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(3600)

    fail()


fails_for_good()
fails_once()
is_killed()
segfaults()
takes_too_long()
hangs()
