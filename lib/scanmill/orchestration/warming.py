"""Imports once what every task needs, where tasks are forked from.

Great Expectations alone costs seven seconds of CPU at each import, and a batch is judged twice.
LocalExecutor forks its workers from the scheduler and each task from a worker: what the scheduler
has imported costs a task nothing. The local stack has Airflow call this from
`airflow_local_settings.py`; on an executor that starts a new interpreter there is nothing to gain.
"""

import importlib
import logging
import sys
import warnings

_HEAVY = (
    "great_expectations",
    "pandas",
    "pyarrow.parquet",
    "pytesseract",
    "rensa",
    "sqlalchemy",
    "boto3",
    "scanmill.steps.building",
    "scanmill.steps.healing",
    "scanmill.steps.judging",
    "scanmill.steps.recognizing",
)


def warm() -> None:
    """Import what tasks need, if this process is a scheduler."""
    if sys.argv[1:2] != ["scheduler"]:
        return
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name in _HEAVY:
            importlib.import_module(name)
