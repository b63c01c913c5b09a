"""Airflow's LocalExecutor, for a scheduler that somebody starts again.

Its workers wait for tasks one after the other, behind a lock. A worker that is killed there takes
the lock with it: the others wait for ever, those that come in its place too, every task stays
queued, and Airflow calls itself healthy (seen with 3.3.2). What a dead worker held cannot be known,
so the scheduler ends with it. The next one takes up what was queued; tasks at work go on.
"""

import os

from airflow.executors import local_executor


class LocalExecutor(local_executor.LocalExecutor):
    """Ends the scheduler when a worker was killed."""

    def _check_workers(self) -> None:
        """Look at the workers, as Airflow does at each heartbeat and after queueing tasks."""
        killed = {pid: one.exitcode for pid, one in self.workers.items() if (one.exitcode or 0) < 0}
        if killed:
            self.log.critical("Workers were killed, and may have held locks: %s", killed)
            os._exit(1)  # an orderly end would wait for workers that wait for the lock
        super()._check_workers()
