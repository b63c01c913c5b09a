"""What we keep ourselves: the ledger, `LATEST`, Airflow's database, and every durable write."""

import contextlib
import sqlite3
import time

from scanmill.drill import hooks
from scanmill.drill.fault import Fault
from scanmill.drill.hooks import Order
from scanmill.drill.scene import WORK_SECONDS, Scene
from scanmill.drill.scratch import wait_until

_LOCKED_SECONDS = 30


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
    """Kill the process at work before each of its durable writes, a batch of its own for each."""
    scene.drop_one_of_each()
    wait_until(scene.is_settled, seconds=WORK_SECONDS)
    scene.points = hooks.writes(scene.scratch.orders, scene.collection)
    twins = [scene.twin(f"{number:02d}") for number, _ in enumerate(scene.points, start=1)]
    scene.began()
    for point, twin in zip(scene.points, twins, strict=True):
        order = Order(do="kill", at_write=point)
        hooks.give(scene.scratch.orders, twin.collection, order)
        twin.drop_one_of_each()
        if point.startswith("plan_batches"):  # which would plan the next ones along with it
            wait_until(twin.evidence, seconds=WORK_SECONDS)
    wait_until(lambda: all(twin.evidence() for twin in twins), seconds=4 * WORK_SECONDS)
    for point, twin in zip(scene.points, twins, strict=True):
        scene.injected += len(twin.evidence())
        if not twin.evidence():
            scene.fail(f"never came to the failpoint [{point}]")


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
        expected="told of by mail; `down` and `up` mend it; nothing is read twice",
        inject=_delete_airflow_database,
    ),
)
