"""A fault of our own costs the image that brings it out, and is told of."""

import pytest

from drivers import assert_books_are_closed, drop, images_at, page_counts, rows_of, state
from engines.scripted import ScriptedEngine, picture, prose
from scanmill.errors import RetryableError
from scanmill.ledger import tables as t
from scanmill.models import BatchState
from scanmill.steps import building, judging, planning, recognizing

BATCH = "c-000001"
POISON = "this page brings a fault of ours to light"


class FaultyEngine(ScriptedEngine):
    """Fails as a bug does when a page holds certain words."""

    def __init__(self, error):
        self._error = error

    def recognize(self, rasters, **how):
        read = super().recognize(rasters, **how)
        if any(POISON in " ".join(word.text for word in one.words) for one in read):
            raise self._error
        return read


@pytest.fixture
def poisoned(mill):
    for number in range(5):
        drop(mill, f"c/x/{number}.png", picture(prose(number)))
    drop(mill, "c/x/poison.png", picture(POISON))
    planning.plan_batches(mill)
    return mill


def recognize(mill, error, **more):
    return recognizing.recognize_slice(
        mill, FaultyEngine(error), batch_id=BATCH, slice_number=0, **more
    )


def test_a_bug_is_red_at_first_and_blames_nobody(poisoned):
    with pytest.raises(KeyError):
        recognize(poisoned, KeyError("secret words"))

    assert {row["fate"] for row in rows_of(poisoned, t.IMAGES)} == {"pending"}


def test_image_by_image_a_bug_costs_the_one_that_brings_it_out(poisoned):
    recognize(poisoned, KeyError("secret words"), one_by_one=True)
    judging.judge_batch(poisoned, BATCH)
    building.build_snapshot(poisoned, BATCH)

    (culprit,) = images_at(poisoned, "c/x/poison.png")
    assert (culprit["fate"], culprit["reason"]) == ("quarantined", "internal_error")
    assert page_counts(poisoned) == {"found": 5, "published": 5}
    assert_books_are_closed(poisoned)


def test_a_bug_is_told_of_once_without_the_words_of_the_document(poisoned):
    for _ in range(2):
        recognize(poisoned, KeyError("secret words"), one_by_one=True)

    (message,) = [row for row in rows_of(poisoned, t.OUTBOX) if row["kind"] == "internal_error"]
    assert "landing/c/x/poison.png" in message["text"]
    assert "KeyError at test_bugs.py" in message["text"]
    assert "secret words" not in message["text"]


@pytest.mark.parametrize("error", [RetryableError("the store is away"), OSError("disk full")])
def test_a_fault_of_the_world_is_never_an_images_fault(poisoned, error):
    with pytest.raises(type(error)):
        recognize(poisoned, error, one_by_one=True)

    assert state(poisoned, BATCH) == BatchState.PLANNED
    assert rows_of(poisoned, t.PARTS) == []


def test_a_bug_that_every_image_brings_out_is_no_images_fault(mill):
    for number in range(3):
        drop(mill, f"c/x/{number}.png", picture(f"{POISON} {prose(number)}"))
    planning.plan_batches(mill)

    with pytest.raises(KeyError):
        recognize(mill, KeyError("x"), one_by_one=True)

    assert {row["fate"] for row in rows_of(mill, t.IMAGES)} == {"pending"}
