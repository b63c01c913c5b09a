"""The way to the store and to the queue: errors, cuts, lost answers, lost and doubled events."""

import functools
import time

from scanmill.drill.fault import Fault
from scanmill.drill.proxy import Kind, Rule
from scanmill.drill.scene import WORK_SECONDS, Scene
from scanmill.drill.scratch import wait_until

_BROKEN_SECONDS = 25
_AWAY_SECONDS = 60


def _break_s3(scene: Scene, *, rule: Rule) -> None:
    """Break a share of the requests while a batch goes through."""
    with scene.broken(rule, sign=scene.retried):
        scene.drop()
        wait_until(scene.is_settled, seconds=_BROKEN_SECONDS)
        wait_until(scene.proxy.hits.total, seconds=WORK_SECONDS)


def _lose_first_answers(scene: Scene) -> None:
    """Do every kind of write as asked, and reset the connection before the answer, once each."""
    rules = [
        Rule(kind="lose_answer", match=rf"^PUT /[^/]+/{prefix}", most=number)
        for number, prefix in enumerate(("batches/", "quarantine/", "datasets/"), start=1)
    ]
    with scene.broken(*rules):
        scene.drop()
        wait_until(scene.is_settled, seconds=WORK_SECONDS)


def _break_queue(scene: Scene, *, kind: Kind) -> None:
    with scene.broken(Rule(kind=kind, plane="queue")):
        scene.drop()
        wait_until(scene.proxy.hits.total, seconds=WORK_SECONDS)
        wait_until(scene.batches, seconds=WORK_SECONDS)


def _take_queue_away(scene: Scene) -> None:
    with scene.broken(Rule(kind="refuse", plane="queue")):
        scene.drop()
        time.sleep(_AWAY_SECONDS)


def _take_store_away(scene: Scene) -> None:
    """Cut the way to S3 for a minute: longer than any single retry lasts."""
    scene.drop()
    with scene.broken(Rule(kind="refuse"), sign=scene.mailed("the store is away")):
        time.sleep(_AWAY_SECONDS)


def _no_queue(scene: Scene) -> str:
    return "" if scene.scratch.variables["SCANMILL_QUEUE_URL"] else "this stack has no queue"


def _s3(name: str, what: str, *, expected: str, rule: Rule, is_quick: bool = False) -> Fault:
    return Fault(
        name=name,
        what=what,
        expected=expected,
        inject=functools.partial(_break_s3, rule=rule),
        is_quick=is_quick,
    )


def _queue(name: str, what: str, *, kind: Kind) -> Fault:
    return Fault(
        name=name,
        what=what,
        expected="the sweep finds what no event tells of; nothing is planned twice",
        inject=functools.partial(_break_queue, kind=kind),
        hindrance=_no_queue,
        is_quick=kind == "lose_message",
    )


_RETRIED = "tried again; no page is blamed for it"

FAULTS = (
    _s3(
        "s3_503",
        "one S3 request in five answers 503 SlowDown",
        expected=_RETRIED,
        rule=Rule(kind="error_503", share=0.2),
        is_quick=True,
    ),
    _s3(
        "s3_500",
        "one S3 request in five answers 500 InternalError",
        expected=_RETRIED,
        rule=Rule(kind="error_500", share=0.2),
    ),
    _s3(
        "s3_reset",
        "one S3 request in five is reset",
        expected=_RETRIED,
        rule=Rule(kind="reset", share=0.2),
    ),
    _s3(
        "s3_truncated",
        "one S3 download in five breaks off in the middle of the body",
        expected="never read half; tried again",
        rule=Rule(kind="truncate", match="^GET", share=0.2),
    ),
    _s3(
        "s3_stalled",
        "one S3 request in ten stalls for 4 s",
        expected="waited for",
        rule=Rule(kind="stall", share=0.1, seconds=4),
    ),
    Fault(
        name="s3_lost_answer",
        what="writes are done, and the answer to them is lost, at each kind of address",
        expected="the second attempt recognizes its own bytes; nothing twice",
        inject=_lose_first_answers,
    ),
    Fault(
        name="s3_away",
        what=f"the way to S3 is cut for {_AWAY_SECONDS} s",
        expected="told of by mail; goes on by itself",
        inject=_take_store_away,
    ),
    _queue("event_lost", "every S3 event is lost", kind="lose_message"),
    _queue("event_doubled", "every S3 event comes twice", kind="double_message"),
    _queue("event_reordered", "S3 events come in the wrong order", kind="reorder_messages"),
    Fault(
        name="queue_away",
        what=f"the queue is away for {_AWAY_SECONDS} s",
        expected="the sweep finds the uploads",
        inject=_take_queue_away,
        hindrance=_no_queue,
    ),
)
