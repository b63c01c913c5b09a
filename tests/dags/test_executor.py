"""The executor of the local stack: what becomes of the scheduler when a worker goes."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

SCHEDULER = """
import os, signal, sys
from multiprocessing.connection import wait
from scanmill.orchestration.executor import LocalExecutor

executor = LocalExecutor(parallelism=2)
executor.start()
worker = next(iter(executor.workers.values()))
if sys.argv[1] == "killed":
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
else:
    executor.activity_queue.put(None)
    wait([one.sentinel for one in executor.workers.values()])
executor.sync()
executor.end()
print("the scheduler goes on")
"""


@pytest.mark.parametrize(("end", "status"), [("killed", 1), ("asked to end", 0)])
def test_a_scheduler_ends_with_a_worker_that_was_killed(tmp_path, end, status):
    with (tmp_path / "said").open("w") as said:
        scheduler = subprocess.Popen(
            [sys.executable, "-c", SCHEDULER, end],
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        ended = scheduler.wait(60)
    finally:
        with contextlib.suppress(ProcessLookupError):  # its other worker, which nobody waits for
            os.killpg(scheduler.pid, signal.SIGKILL)

    text = (tmp_path / "said").read_text()
    assert ended == status, text
    assert ("the scheduler goes on" in text) == (status == 0)
