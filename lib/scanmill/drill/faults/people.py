"""What people do: overwrite, delete, pause, use a wrong model."""

import time

from scanmill.drill import paper, reader
from scanmill.drill.fault import Fault
from scanmill.drill.own_stack import DAGS
from scanmill.drill.scene import Scene
from scanmill.drill.scratch import wait_until

_PAUSED_SECONDS = 75
"""Longer than the scratch stack lets an image wait before it tells of it."""


def _overwrite(scene: Scene) -> None:
    """Replace pages at three moments: before they are planned, while, and after they are read."""
    early, middle, late, *_ = scene.drop()
    scene.overwrite(early)
    scene.wait_for_work()
    scene.overwrite(middle)
    wait_until(scene.is_settled, seconds=60)
    scene.overwrite(late)
    scene.began(3)


def _delete(scene: Scene) -> None:
    """Delete pages before they are planned, and while they are read."""
    dropped = scene.drop()
    scene.delete(dropped[1])
    scene.wait_for_work()
    scene.delete(dropped[2])
    scene.began(2)


def _pause(scene: Scene) -> None:
    with scene.scratch.paused():
        scene.drop()
        scene.began(len(DAGS), sign=scene.mailed("pending for too long"))
        time.sleep(_PAUSED_SECONDS)


def _use_wrong_model(scene: Scene) -> None:
    """Read a batch with another model, see it held, and read it again with the right one."""
    scene.scratch.use_model(reader.WRONG_MODEL)
    try:
        volume = scene.put_volume(paper.prose)
        scene.began(1, sign=scene.mailed("is held"))
        is_held = scene.wait_until_held()
    finally:
        scene.scratch.use_model(reader.MODEL)
    if is_held:
        batch_id = scene.batches()[-1]["batch_id"]
        scene.scratch.type("review", batch_id, "--discard", "--because", "a wrong model read it")
        scene.witness.amend(volume, is_held=True, fates=frozenset({"withdrawn"}))


FAULTS = (
    Fault(
        name="overwritten",
        what="uploads are replaced before they are planned, while and after they are read",
        expected="the newest version is published, the older ones are superseded",
        inject=_overwrite,
        is_quick=True,
    ),
    Fault(
        name="deleted",
        what="uploads are deleted before they are planned and while they are read",
        expected="superseded, or published when they were read before",
        inject=_delete,
    ),
    Fault(
        name="dags_paused",
        what=f"every DAG is paused for {_PAUSED_SECONDS} s while uploads land",
        expected="told of by mail; everything goes on after the pause",
        inject=_pause,
    ),
    Fault(
        name="wrong_model",
        what="a batch is read with another model than the right one",
        expected="the gate holds it, a mail says so, nothing of it is published",
        inject=_use_wrong_model,
    ),
)
