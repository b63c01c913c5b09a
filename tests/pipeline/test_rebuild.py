"""The ledger is an index: what the bucket holds makes it again, row by row."""

import dataclasses

import pytest

from drivers import (
    assert_books_are_closed,
    drop,
    drop_every_kind,
    finish_batch,
    forget,
    rows_of,
    run_pipeline,
    state,
)
from engines.scripted import gibberish, picture, prose
from scanmill.ledger import Ledger
from scanmill.ledger import tables as t
from scanmill.models import BatchState
from scanmill.steps.rebuilding import rebuild
from scanmill.steps.reviewing import decide


def drop_nonsense(mill, collection):
    """Upload a batch that the gate holds."""
    for number in range(30):
        text = gibberish(number) if number < 12 else prose(f"{collection} {number}")
        drop(mill, f"{collection}/x/{number}.png", picture(text))


@pytest.fixture
def eventful(mill):
    """A state with every kind of batch, image and page that there is."""
    drop_every_kind(mill)
    drop(mill, "loose.png", picture(prose(5)))
    drop(mill, "broken/x/1.png", b"no image")
    for collection in ("held", "released", "discarded"):
        drop_nonsense(mill, collection)
    run_pipeline(mill)
    decide(mill, "released-000001", verb="release", because="for a test", decided_by="tester")
    finish_batch(mill, "released-000001")
    decide(mill, "discarded-000001", verb="discard", because="for a test", decided_by="tester")
    drop(mill, "c/x/old.png", picture(prose(6)))
    drop(mill, "c/x/a.png", picture(prose(7)))
    run_pipeline(mill)
    return mill


def books_of(mill):
    """Return every table that the bucket must be able to give, row by row."""
    return {table.name: sorted(map(repr, rows_of(mill, table))) for table in t.BOOKS}


def test_a_lost_ledger_is_made_again_row_by_row(eventful, tmp_path):
    new = Ledger(f"sqlite:///{tmp_path}/rebuilt.db")
    rebuilt = dataclasses.replace(eventful, ledger=new)

    assert rebuild(rebuilt) == 7
    assert books_of(rebuilt) == books_of(eventful)
    states = {
        state(rebuilt, f"{name}-000001") for name in ("held", "released", "discarded", "broken")
    }
    assert states == {
        BatchState.HELD,
        BatchState.BUILT,
        BatchState.DISCARDED,
        BatchState.SETTLED,
    }
    assert_books_are_closed(rebuilt)


def test_rebuilding_changes_nothing_where_nothing_is_missing(eventful):
    before = books_of(eventful)

    rebuild(eventful)

    assert books_of(eventful) == before


@pytest.mark.parametrize("table", [t.PAGES, t.PARTS, t.VERDICTS, t.DECISIONS, t.SNAPSHOTS])
def test_a_lost_table_is_made_again(eventful, table):
    before = books_of(eventful)
    forget(eventful, table)

    rebuild(eventful)

    assert books_of(eventful) == before


def test_a_rebuilt_ledger_goes_on_where_the_lost_one_stopped(eventful, tmp_path):
    new = Ledger(f"sqlite:///{tmp_path}/rebuilt.db")
    rebuilt = dataclasses.replace(eventful, ledger=new)
    rebuild(rebuilt)
    drop(rebuilt, "c/x/new.png", picture(prose(8)))
    drop(rebuilt, "c/x/copy of a copy.png", picture(prose(1)))

    run_pipeline(rebuilt)

    fates = {row["key"]: row["fate"] for row in rows_of(rebuilt, t.IMAGES)}
    assert fates["landing/c/x/new.png"] == "decoded"
    duplicates = [row for row in rows_of(rebuilt, t.PAGES) if row["fate"] == "duplicate"]
    assert len(duplicates) == 1
    assert_books_are_closed(rebuilt)
