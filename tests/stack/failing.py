"""# Failing

DAGs whose only task fails, each in its own way; they are started by hand.
"""

import os
import signal

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


fails_for_good()
fails_once()
is_killed()
