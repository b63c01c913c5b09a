"""What we keep ourselves: the ledger, `LATEST`, Airflow's database, and every durable write."""

import contextlib
import functools
import sqlite3
import time
from collections.abc import Sequence

from scanmill.drill import hooks
from scanmill.drill.fault import Fault
from scanmill.drill.hooks import Order
from scanmill.drill.scene import WORK_SECONDS, Scene
from scanmill.drill.scratch import wait_until

_LOCKED_SECONDS = 30
_ATTEMPTS = ("", "b", "c")


def _lock_ledger(scene: Scene) -> None:
    scene.drop()
    scene.wait_for_work()
    with contextlib.closing(sqlite3.connect(scene.scratch.home.ledger, timeout=60)) as database:
        database.execute("BEGIN IMMEDIATE")
        scene.began(1)
        time.sleep(_LOCKED_SECONDS)
        database.rollback()


def _delete_ledger(scene: Scene) -> None:
    """Delete the ledger's file when our batch is published, and make it again from the bucket."""
    scene.drop()
    wait_until(scene.is_settled, seconds=WORK_SECONDS)
    for path in scene.scratch.home.root.glob("ledger.db*"):
        path.unlink()
    scene.began(1, sign=lambda: scene.scratch.type("audit").returncode == 1)
    wait_until(lambda: scene.detected_s is not None, seconds=WORK_SECONDS)
    scene.scratch.connect()
    scene.scratch.type("ledger", "rebuild")
    scene.drop(2)


def _delete_latest(scene: Scene) -> None:
    """Delete the pointer to our snapshot, as nobody may, and type what the audit says."""
    scene.drop()
    wait_until(scene.is_settled, seconds=WORK_SECONDS)
    key = f"datasets/{scene.collection}/_snapshots/LATEST"
    scene.scratch.s3.delete_object(Bucket=scene.scratch.bucket, Key=key)
    scene.began(1, sign=lambda: scene.scratch.type("audit").returncode == 1)
    wait_until(lambda: scene.detected_s is not None, seconds=WORK_SECONDS)
    scene.scratch.type("heal")
    scene.drop(2)


def _delete_airflow_database(scene: Scene) -> None:
    """Delete Airflow's database in the middle of a batch, then stop and start the stack."""
    scene.drop()
    scene.wait_for_work()
    for path in scene.scratch.home.airflow.glob("airflow.db*"):
        path.unlink()
    scene.began(1, sign=scene.mailed("is away"))
    wait_until(lambda: scene.detected_s is not None, seconds=WORK_SECONDS)
    scene.scratch.down()
    scene.scratch.up()


def _crash_between_writes(scene: Scene) -> None:
    """Kill the process at work before each of its durable writes, a batch of its own for each.

    Which process writes for which batch is a matter of moments when many batches wait. A failpoint
    that its batch went past is therefore tried again with another one.
    """
    scene.points = _durable_writes(scene)
    scene.began()
    missing = list(enumerate(scene.points, start=1))
    for attempt in _ATTEMPTS:
        missing = _crash_at(scene, missing, attempt)
    for _, point in missing:
        scene.fail(f"never came to the failpoint [{point}]")


def _durable_writes(scene: Scene) -> list[str]:
    """Return every durable write that a batch takes, as one did that no healing came upon.

    Healing comes on its interval, and does whatever lies there undone: with the next batch it would
    come at another moment.
    """
    for attempt in _ATTEMPTS:
        model = scene.twin(f"model{attempt}")
        model.drop_one_of_each()
        wait_until(model.is_settled, seconds=WORK_SECONDS)
        points = hooks.writes(scene.scratch.orders, model.collection)
        if not any(point.startswith("heal:") for point in points):
            return points
    scene.fail("healing came upon every batch whose writes were to be listed")
    return []


def _crash_at(
    scene: Scene, points: Sequence[tuple[int, str]], attempt: str
) -> list[tuple[int, str]]:
    """Kill whoever comes to these failpoints; return those that nobody came to."""
    twins = {number: scene.twin(f"{number:02d}{attempt}") for number, _ in points}
    for number, point in points:
        twin = twins[number]
        hooks.give(scene.scratch.orders, twin.collection, Order(do="kill", at_write=point))
        twin.drop_one_of_each()
        if point.startswith("plan_batches"):  # which would plan the next ones along with it
            wait_until(functools.partial(_was_there, twin), seconds=WORK_SECONDS)
    wait_until(lambda: all(map(_was_there, twins.values())), seconds=4 * WORK_SECONDS)
    for twin in twins.values():
        scene.injected += len(twin.evidence())
        hooks.withdraw(scene.scratch.orders, twin.collection)
    return [(number, point) for number, point in points if not twins[number].evidence()]


def _was_there(twin: Scene) -> bool:
    """Tell whether the order of a batch was obeyed, or will not be any more."""
    return bool(twin.evidence()) or twin.is_settled()


FAULTS = (
    Fault(
        name="ledger_locked",
        what=f"another program locks the ledger for {_LOCKED_SECONDS} s",
        expected="waited for",
        inject=_lock_ledger,
    ),
    Fault(
        name="latest_deleted",
        what="the object `LATEST` of a dataset is deleted",
        expected="the audit names it, `scanmill heal` puts it back",
        inject=_delete_latest,
    ),
    Fault(
        name="crash_between_writes",
        what="kill -9 before every single durable write of the pipeline, one batch for each",
        expected="k of k failpoints passed; nothing lost, nothing twice",
        inject=_crash_between_writes,
    ),
    Fault(
        name="ledger_deleted",
        what="the ledger's file is deleted",
        expected="the audit names what is missing, `scanmill ledger rebuild` makes it again",
        inject=_delete_ledger,
    ),
    Fault(
        name="airflow_database_deleted",
        what="Airflow's database is deleted in the middle of a batch",
        expected="who holds the file open goes on; `down` and `up` mend it; nothing is read twice",
        inject=_delete_airflow_database,
    ),
)
