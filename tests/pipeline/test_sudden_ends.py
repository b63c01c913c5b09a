"""Steps that end between any two writes, or run more than once: nothing changes by it."""

import itertools

import pytest

from drivers import (
    ENGINE,
    Fuse,
    Killed,
    accounts,
    assert_books_are_closed,
    drop,
    fragile,
    objects,
    read_batch,
    rows_of,
    rows_published,
    run_pipeline,
)
from engines.scripted import picture, prose, volume
from one_of_each import BATCH, BOUND, GOOD, drop_one_of_each
from scanmill.ledger import tables as t
from scanmill.steps import building, judging, planning, recognizing
from scanmill.steps.auditing import audit

pytestmark = pytest.mark.usefixtures("open_gates")


# --- once more changes nothing -------------------------------------------------------------------


STEPS = {
    "plan": planning.plan_batches,
    "read": lambda mill: read_every_slice(mill, BATCH),
    "judge": lambda mill: judging.judge_batch(mill, BATCH),
    "build": lambda mill: building.build_snapshot(mill, BATCH),
}
"""The steps of one batch, in running order."""


def read_every_slice(mill, batch_id):
    """Read all slices, also those that were read."""
    (batch,) = rows_of(mill, t.BATCHES)
    for number in range(batch["slice_count"]):
        recognizing.recognize_slice(mill, ENGINE, batch_id=batch_id, slice_number=number)


def run_steps(mill, *, until=None):
    for name, step in STEPS.items():
        if name == until:
            return
        step(mill)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_runs_twice_changes_nothing(new_mill, name):
    mill = new_mill(slice_images=3)
    drop_one_of_each(mill)
    run_steps(mill, until=name)
    STEPS[name](mill)
    before = accounts(mill), objects(mill)

    STEPS[name](mill)

    assert (accounts(mill), objects(mill)) == before


def test_all_steps_may_run_again_after_the_end(new_mill):
    mill = new_mill(slice_images=3)
    drop_one_of_each(mill)
    run_steps(mill)
    before = accounts(mill), objects(mill)

    run_steps(mill)

    assert (accounts(mill), objects(mill)) == before


# --- a sudden end between any two writes ---------------------------------------------------------


def killed_at_every_write(new_mill, *, prepare, step, finish, slice_images=200):
    """Yield a mill for every write of a step: killed there, looked at, run again, and finished.

    The last one was not killed at all.
    """
    for position in itertools.count(1):
        mill = new_mill(slice_images=slice_images)
        prepare(mill)
        try:
            step(fragile(mill, Fuse(position)))
        except Killed:
            assert audit(mill) == [], f"killed at write {position}"
            step(mill)
            finish(mill)
            yield position, mill
        else:
            assert position > 1
            finish(mill)
            yield 0, mill
            return


def assert_all_end_alike(mills):
    """Every mill holds the same accounts and the same dataset as the one without a kill."""
    ends = {}
    for position, mill in mills:
        assert_books_are_closed(mill)
        ends[position] = accounts(mill), rows_published(mill, "c")
    untouched = ends.pop(0)

    assert [position for position, end in ends.items() if end != untouched] == []


@pytest.mark.parametrize("name", STEPS)
def test_a_kill_at_any_write_of_a_step_is_as_if_it_had_not_been(new_mill, name):
    def prepare(mill):
        drop_one_of_each(mill)
        run_steps(mill, until=name)

    mills = killed_at_every_write(
        new_mill,
        prepare=prepare,
        step=STEPS[name],
        finish=run_steps,
        slice_images=3 if name == "read" else 200,
    )

    assert_all_end_alike(mills)


def test_a_kill_at_any_write_of_a_build_that_replaces_rows_is_as_if_it_had_not_been(new_mill):
    def prepare(mill):
        drop_one_of_each(mill)
        run_pipeline(mill)
        drop(mill, GOOD, picture(prose(9)))
        drop(mill, BOUND, volume(prose(3), prose(7)))
        (batch,) = planning.plan_batches(mill)
        read_batch(mill, batch)
        judging.judge_batch(mill, batch)

    mills = killed_at_every_write(
        new_mill,
        prepare=prepare,
        step=lambda mill: building.build_snapshot(mill, "c-000002"),
        finish=lambda mill: None,
    )

    assert_all_end_alike(mills)
