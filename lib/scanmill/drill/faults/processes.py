"""Processes that die: Airflow's, the stack's, and those that do the work."""

import functools
import signal

from scanmill.drill.fault import Fault
from scanmill.drill.hooks import Order
from scanmill.drill.scene import WORK_SECONDS, Scene
from scanmill.drill.scratch import wait_until

_FROZEN_SECONDS = 120
"""The patience of waiting for the mail."""


def _kill_program(scene: Scene, *, name: str) -> None:
    scene.drop()
    scene.wait_for_work()
    scene.wait_a_moment()
    scene.kill(name)


def _freeze_program(scene: Scene, *, name: str) -> None:
    """Stop a program without ending it, as a deadlock does, until a mail tells of it."""
    scene.drop()
    scene.wait_for_work()
    pid = wait_until(lambda: scene.scratch.pid(name), seconds=WORK_SECONDS)
    if pid:
        scene.scratch.send(pid, signal.SIGSTOP)
        scene.began(1, sign=scene.mailed(f"] the {name} is away"))
        wait_until(lambda: scene.detected_s is not None, seconds=_FROZEN_SECONDS)
        scene.scratch.send_if_there(pid, signal.SIGCONT)
        if scene.detected_s is None:
            scene.fail(f"no mail told in {_FROZEN_SECONDS} s that the {name} hangs")


def _kill_idle_workers(scene: Scene) -> None:
    """Kill the executor's processes that wait for a task: one of them holds the lock of all."""
    scheduler, workers = scene.scratch.pid("scheduler"), scene.scratch.idle_workers()
    for pid in workers:
        scene.scratch.send_if_there(pid, signal.SIGKILL)
    scene.began(len(workers), sign=lambda: scene.scratch.pid("scheduler") not in {None, scheduler})
    scene.drop()


def _kill_supervisor(scene: Scene) -> None:
    """Kill what restarts the others, then type what `status` says."""
    scene.drop()
    scene.wait_for_work()
    pid = scene.scratch.pid("supervisor")
    if pid:
        scene.scratch.send(pid, signal.SIGKILL)
        scene.began(1, sign=lambda: _is_told_to_start(scene))
        wait_until(lambda: scene.detected_s is not None, seconds=WORK_SECONDS)
        scene.scratch.up()


def _is_told_to_start(scene: Scene) -> bool:
    said = scene.scratch.type("status")
    return said.returncode == 1 and "./scanmill up" in said.stderr


def _kill_everything(scene: Scene) -> None:
    """Kill every process of the stack at once, as when the machine loses power, and start it."""
    scene.drop()
    scene.wait_for_work()
    scene.wait_a_moment()
    pids = scene.scratch.processes()
    for pid in pids:
        scene.scratch.send_if_there(pid, signal.SIGKILL)
    scene.began(len(pids), sign=lambda: _is_told_to_start(scene))
    wait_until(lambda: scene.detected_s is not None, seconds=WORK_SECONDS)
    scene.scratch.up()


def _order(scene: Scene, *, order: Order) -> None:
    with scene.ordered(order, sign=scene.retried):
        scene.drop()


def _kill_reader(scene: Scene) -> None:
    """Kill -9 the program that recognizes, while it reads our pages."""
    with scene.scratch.slow_reader():
        scene.drop()
        pids = wait_until(scene.scratch.readers, seconds=WORK_SECONDS)
        for pid in pids:
            scene.scratch.send_if_there(pid, signal.SIGKILL)
    scene.began(len(pids))


_FREEZABLE = ("scheduler", "api-server", "store", "watchdog")
_NAMES = ("scheduler", "triggerer", "dag-processor", "api-server", "store", "watchdog", "mail")
_AIRFLOW_ALONE = {
    "scheduler": "never: a red mark in its UI after 30 s, and nobody starts it again",
    "triggerer": "never: a red mark in its UI after 30 s, and nobody starts it again",
    "dag-processor": "never: a red mark in its UI after 30 s, and nobody starts it again",
    "api-server": "never: it is what would tell",
    "store": "when the last try of a task has failed",
}
_PART = "recognize_slice: put batches/C-N/pages/N.parquet #1"

FAULTS = (
    *(
        Fault(
            name=f"kill_{name.replace('-', '_')}",
            what=f"kill -9 of the {name}, in the middle of a batch",
            expected="started again; every page published",
            inject=functools.partial(_kill_program, name=name),
            airflow=_AIRFLOW_ALONE.get(name, ""),
            is_quick=name in {"scheduler", "store"},
        )
        for name in _NAMES
    ),
    *(
        Fault(
            name=f"freeze_{name.replace('-', '_')}",
            what=f"the {name} stands still without being dead (SIGSTOP), in the middle of a batch",
            expected="told of by mail; goes on when it does",
            inject=functools.partial(_freeze_program, name=name),
            airflow=_AIRFLOW_ALONE.get(name, ""),
        )
        for name in _FREEZABLE
    ),
    Fault(
        name="kill_idle_workers",
        what="kill -9 of the executor's processes that wait for a task, with the lock they hold",
        expected="the scheduler is started again; every page published",
        inject=_kill_idle_workers,
        airflow="never: tasks stay queued for ever, and everything is called healthy",
    ),
    Fault(
        name="kill_supervisor",
        what="kill -9 of the supervisor that restarts the others",
        expected="`status` is red and says `./scanmill up`, which mends it",
        inject=_kill_supervisor,
    ),
    Fault(
        name="kill_everything",
        what="kill -9 of every process of the stack at once, as when power is cut",
        expected="`status` is red and says `./scanmill up`, which mends it",
        inject=_kill_everything,
    ),
    Fault(
        name="kill_task",
        what="kill -9 of a task, before a durable write",
        expected="tried again; every page published",
        inject=functools.partial(_order, order=Order(do="kill", at_write=_PART)),
        airflow="at the next heartbeat; on the last try no callback of the task runs",
        is_quick=True,
    ),
    Fault(
        name="kill_task_supervisor",
        what="kill -9 of the process that supervises a task",
        expected="noticed by the missing heartbeat; every page published once",
        inject=functools.partial(_order, order=Order(do="kill_supervisor", at_write=_PART)),
        airflow="after 300 s, its heartbeat time-out by default",
    ),
    Fault(
        name="segfault_task",
        what="a real segmentation fault in a task's own process",
        expected="the task dies and is tried again; every page published",
        inject=functools.partial(_order, order=Order(do="segfault", at_write=_PART)),
        airflow="never: the task runs for ever, with heartbeats",
    ),
    Fault(
        name="kill_reader",
        what="kill -9 of the OCR program in the middle of a chunk",
        expected="the chunk is read again page by page; every page published",
        inject=_kill_reader,
    ),
)
