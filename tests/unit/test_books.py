"""What is entered in the ledger: again, late, and only along the transitions of the law."""

import itertools

import pytest
import sqlalchemy as sa
from entries import (
    BATCH,
    ENTRIES,
    discarded,
    enter,
    everything,
    fate,
    fate_of_image,
    fate_of_page,
    fates_of,
    image,
    manifest,
    part_of,
    plan_of,
    planned,
    read,
    state_of_batch,
    unread,
    verdict,
)

from scanmill.ledger import books, receipts
from scanmill.ledger import tables as t
from scanmill.models import BatchState, ImageFate, PageFate, Reason


@pytest.mark.parametrize("last", range(1, len(ENTRIES) + 1))
def test_whatever_is_entered_again_at_any_time_changes_nothing(ledger, last):
    story = list(ENTRIES)[:last]
    enter(ledger, *story)
    before = everything(ledger)

    enter(ledger, *story)

    assert everything(ledger) == before


@pytest.mark.parametrize("number", range(len(ENTRIES)))
def test_each_single_entry_may_come_again_after_the_end(ledger, number):
    enter(ledger, *ENTRIES)
    before = everything(ledger)

    enter(ledger, list(ENTRIES)[number])

    assert everything(ledger) == before


def passes(connection):
    books.enter_verdict(connection, BATCH, 1, verdict(passed=True))


def fails_at_the_dataset(connection):
    books.enter_verdict(connection, BATCH, 2, verdict(passed=False, gate=Reason.DATASET_GATE))


@pytest.mark.parametrize("late", [passes, "held", "released"])
def test_an_old_verdict_or_decision_that_comes_late_frees_nobody(ledger, late):
    story = [passes] if late is passes else ["held", "released"]
    enter(ledger, "plan", "part", "recognized", *story, fails_at_the_dataset)
    before = everything(ledger)

    enter(ledger, late)

    assert state_of_batch(ledger) == BatchState.HELD
    assert everything(ledger) == before


def test_a_discarded_batch_stays_discarded_whatever_comes_late(ledger):
    enter(ledger, "plan", "part", "recognized", "held", discarded)
    before = everything(ledger)

    enter(ledger, "plan", "part", "signatures", "recognized", "held", discarded)
    after = everything(ledger)

    after |= {"signatures": [], "sketches": []}
    assert after == before
    assert state_of_batch(ledger) == BatchState.DISCARDED
    assert fate_of_page(ledger, "a") == PageFate.WITHDRAWN
    assert fate_of_image(ledger, "a") == ImageFate.WITHDRAWN
    assert fate_of_image(ledger, "b") == ImageFate.QUARANTINED


def test_landed_and_found_balance_after_every_entry(ledger):
    for name in ENTRIES:
        enter(ledger, name)
        with ledger.reading() as connection:
            images, pages = receipts.image_counts(connection), receipts.page_counts(connection)

        assert receipts.imbalances(images, pages) == [], name


def test_found_is_what_decoding_counted_not_a_count_of_fates(ledger):
    enter(ledger, "plan", "part")
    with ledger.writing() as connection:
        connection.execute(sa.delete(t.PAGES))

    with ledger.reading() as connection:
        images, pages = receipts.image_counts(connection), receipts.page_counts(connection)

    assert pages["found"] == 1
    assert receipts.imbalances(images, pages) == ["found is 1, but the fates add up to 0"]


def test_a_failed_verdict_holds_the_pages_that_were_pending(ledger):
    pages = part_of(
        read("a", 1, 2),
        read("a", 2, 2, fate=PageFate.QUARANTINED, reason=Reason.CORRUPT_IMAGE),
        unread("b"),
    )
    enter(
        ledger,
        "plan",
        lambda c: books.enter_part(c, BATCH, 0, pages),
        "recognized",
        "held",
    )

    with ledger.reading() as connection:
        counts = receipts.page_counts(connection, BATCH)

    assert (counts["held"], counts["quarantined"], counts["pending"]) == (1, 1, 0)


def test_a_verdict_that_was_decided_on_holds_nothing_any_more(ledger):
    enter(ledger, "plan", "part", "recognized", "held", "released", "held")

    assert state_of_batch(ledger) == BatchState.RELEASED


def test_an_old_verdict_that_comes_late_holds_nothing(ledger):
    enter(
        ledger,
        "plan",
        "part",
        "recognized",
        "held",
        lambda c: books.enter_verdict(c, BATCH, 2, verdict(passed=True)),
        "held",
    )

    assert state_of_batch(ledger) == BatchState.PASSED


def test_of_two_decisions_on_one_verdict_the_first_counts(ledger):
    enter(ledger, "plan", "part", "recognized", "held", "released", discarded)

    assert state_of_batch(ledger) == BatchState.RELEASED
    assert fate_of_page(ledger, "a") == PageFate.HELD


def test_an_older_snapshot_that_comes_late_changes_no_page(ledger):
    enter(
        ledger,
        "plan",
        "part",
        lambda c: books.enter_snapshot(c, "c", manifest(2), fates_of(fate("a", "duplicate"))),
        "snapshot",
    )

    assert fate_of_page(ledger, "a") == PageFate.DUPLICATE


@pytest.mark.parametrize(("by", "successor"), [("c-000003", "newer"), ("c-000004", "newest")])
def test_a_superseded_image_names_the_version_that_replaced_it(ledger, by, successor):
    gone = fates_of(fate("a", PageFate.SUPERSEDED, Reason.OVERWRITTEN))
    enter(ledger, "plan", "part")
    for number, name in enumerate(("broken", "newer", "newest"), start=2):
        batch_id = f"c-00000{number}"
        row = unread(name) if name == "broken" else read(name)
        plan = plan_of(planned(name) | {"key": "landing/c/a"})
        enter(ledger, lambda c, b=batch_id, p=plan: books.enter_plan(c, b, p))
        part = part_of(row | {"batch_id": batch_id})
        enter(ledger, lambda c, b=batch_id, p=part: books.enter_part(c, b, 0, p))
    enter(ledger, lambda c: books.enter_snapshot(c, "c", manifest(1, by), gone))

    (row,) = [r for r in everything(ledger)["images"] if r["image_id"] == image("a")]
    assert (row["fate"], row["reason"]) == (ImageFate.SUPERSEDED, Reason.OVERWRITTEN)
    assert row["successor_id"] == image(successor)


# --- only the transitions of the law exist -------------------------------------------------------

_FINAL_IMAGES = (ImageFate.SUPERSEDED, ImageFate.WITHDRAWN, ImageFate.IGNORED)
_IMAGE_ENTRIES = {
    "part": "part",
    "other part": lambda c: books.enter_part(c, BATCH, 0, part_of(unread("a"), unread("b"))),
    "held": "held",
    "discarded": discarded,
    "superseded": lambda c: books.enter_snapshot(
        c, "c", manifest(9), fates_of(fate("a", PageFate.SUPERSEDED, Reason.OVERWRITTEN))
    ),
}


def give(ledger, table, **values):
    with ledger.writing() as connection:
        connection.execute(sa.update(table).where(table.c.image_id == image("a")).values(**values))


@pytest.mark.parametrize(
    ("before", "entry"), list(itertools.product(_FINAL_IMAGES, _IMAGE_ENTRIES))
)
def test_an_image_never_leaves_its_last_fate(ledger, before, entry):
    enter(ledger, "plan", "part", "recognized", "held")
    give(ledger, t.IMAGES, fate=before)

    enter(ledger, _IMAGE_ENTRIES[entry])

    assert fate_of_image(ledger, "a") == before


def test_a_decoded_image_is_not_quarantined_by_a_late_part(ledger):
    enter(ledger, "plan", "part", _IMAGE_ENTRIES["other part"])

    assert fate_of_image(ledger, "a") == ImageFate.DECODED


@pytest.mark.parametrize(
    ("before", "after"),
    list(
        itertools.product(
            (PageFate.SUPERSEDED, PageFate.WITHDRAWN),
            (PageFate.PUBLISHED, PageFate.DUPLICATE, PageFate.REJECTED, PageFate.SUPERSEDED),
        )
    ),
)
def test_a_page_never_leaves_its_last_fate(ledger, before, after):
    enter(ledger, "plan", "part")
    give(ledger, t.PAGES, fate=before, snapshot=1)

    enter(ledger, lambda c: books.enter_snapshot(c, "c", manifest(2), fates_of(fate("a", after))))

    assert fate_of_page(ledger, "a") == before


@pytest.mark.parametrize(
    "before", [each for each in PageFate if each not in {PageFate.PENDING, PageFate.HELD}]
)
def test_a_gate_holds_nothing_but_what_is_pending(ledger, before):
    enter(ledger, "plan", "part", "recognized")
    give(ledger, t.PAGES, fate=before)

    enter(ledger, "held")

    assert fate_of_page(ledger, "a") == before


WAITING = (PageFate.HELD, PageFate.PENDING)


@pytest.mark.parametrize("before", [each for each in PageFate if each not in WAITING])
def test_a_discard_withdraws_nothing_but_what_waits(ledger, before):
    enter(ledger, "plan", "part", "recognized", "held")
    give(ledger, t.PAGES, fate=before)

    enter(ledger, discarded)

    assert fate_of_page(ledger, "a") == before


@pytest.mark.parametrize("end", [BatchState.BUILT, BatchState.SETTLED, BatchState.DISCARDED])
def test_a_finished_batch_never_moves_again(ledger, end):
    enter(ledger, *ENTRIES)
    with ledger.writing() as connection:
        connection.execute(sa.update(t.BATCHES).values(state=end))

    enter(
        ledger,
        *ENTRIES,
        discarded,
        lambda c: books.enter_verdict(c, BATCH, 2, verdict(passed=False)),
        lambda c: books.enter_verdict(c, BATCH, 3, verdict(passed=True)),
        lambda c: books.enter_recognized(c, BATCH, has_pages=False),
    )

    assert state_of_batch(ledger) == end
