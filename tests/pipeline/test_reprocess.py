"""Reading again: a better result is published, everything else is history."""

import dataclasses
import json

import pytest

from drivers import (
    Fuse,
    Killed,
    accounts,
    assert_books_are_closed,
    delete,
    delete_for_good,
    drop,
    finish_batch,
    fragile,
    image_counts,
    images_at,
    objects,
    page_counts,
    pages_at,
    rows_of,
    run_pipeline,
    state,
    stubbed_judge,
    texts_published,
)
from engines.scripted import ScriptedEngine, picture, prose, volume
from scanmill import layout
from scanmill.errors import UsageError
from scanmill.ledger import Ledger
from scanmill.ledger import tables as t
from scanmill.models import BatchState, EngineInfo, Reason, SetAside
from scanmill.steps import judging, planning, recognizing
from scanmill.steps.rebuilding import rebuild
from scanmill.steps.reprocessing import Choice, reprocess
from scanmill.steps.reviewing import decide
from scanmill.steps.tracing import trace

GOOD, POOR, COPY, BOUND, TORN = (
    f"c/x/{name}" for name in ("good.png", "poor.png", "copy.png", "bound.tif", "torn.png")
)
AGAIN = "c-000002"


pytestmark = pytest.mark.usefixtures("open_gates")


class Engine(ScriptedEngine):
    """Reads as the script says, but some texts otherwise: with another confidence, or not."""

    info = EngineInfo(name="other", version="2", model_sha256="3" * 64)

    def __init__(self, **otherwise):
        self._otherwise = otherwise

    def _read(self, pgm):
        reading = super()._read(pgm)
        first = reading.words[0].text if reading.words else ""
        change = self._otherwise.get(first)
        if isinstance(change, SetAside) or change is None:
            return change or reading
        words = tuple(dataclasses.replace(word, confidence=change) for word in reading.words)
        return dataclasses.replace(reading, words=words)


def text(name):
    """Return a text of its own that begins with this name."""
    return f"{name} {prose(name)}"


def unreadable(reason=Reason.ENGINE_TIMEOUT):
    return SetAside(reason=reason, detail="as asked", stage="recognize")


FIRST = Engine(poor=30.0, second=unreadable(), good=80.0, copy=80.0)
"""The engine of the first reading: of the good pages none is read as well as it could be."""


@pytest.fixture
def settled(mill):
    """A mill that published one page and its copy, and set aside one of each kind."""
    drop(mill, GOOD, picture(text("good")))
    drop(mill, COPY, picture(text("good")))
    drop(mill, POOR, picture(text("poor")))
    drop(mill, BOUND, volume(text("first"), text("second")))
    drop(mill, TORN, picture(text("torn"))[:100])
    run_pipeline(mill, FIRST)
    assert page_counts(mill) == {
        "found": 5,
        "published": 2,
        "duplicate": 1,
        "rejected": 1,
        "quarantined": 1,
    }
    return mill


def ask(mill, **choice):
    """Plan images to be read again; return the batches."""
    choice = Choice(**choice)
    return reprocess(mill, choice, settings={"ocr_psm": 6}, asked_by="me", because="for a test")


def read_again(mill, *, engine=Engine(), **choice):  # noqa: B008 - it has no state
    """Plan images to be read again, and finish their batches."""
    batches = ask(mill, **choice)
    for batch_id in batches:
        finish_batch(mill, batch_id, engine)
    return batches


def fates(mill, key):
    return [(page["fate"], page["reason"]) for page in pages_at(mill, key)]


def attempts(mill, key):
    images = {image["image_id"] for image in images_at(mill, key)}
    rows = [row for row in rows_of(mill, t.ATTEMPTS) if row["image_id"] in images]
    return sorted((row["batch_id"], row["page_number"], row["fate"]) for row in rows)


# --- what becomes of a page ----------------------------------------------------------------------


def test_a_rejected_page_that_reads_well_now_is_published(settled):
    assert read_again(settled, reason=Reason.LOW_CONFIDENCE) == [AGAIN]

    assert fates(settled, POOR) == [("published", None)]
    assert texts_published(settled, "c")[POOR] == [text("poor")]
    assert state(settled, AGAIN) == BatchState.BUILT
    assert_books_are_closed(settled)


def test_a_page_that_still_reads_badly_keeps_its_fate(settled):
    before = objects(settled, "datasets/c/data/")

    read_again(settled, reason=Reason.LOW_CONFIDENCE, engine=Engine(poor=31.0))

    assert fates(settled, POOR) == [("rejected", "low_confidence")]
    assert attempts(settled, POOR) == [("c-000001", 1, "pending"), (AGAIN, 1, "pending")]
    assert objects(settled, "datasets/c/data/") == before
    assert_books_are_closed(settled)


def test_a_quarantined_page_joins_its_mates(settled):
    read_again(settled, key="c/x/bound*")

    assert fates(settled, BOUND) == [("published", None)] * 2
    assert texts_published(settled, "c")[BOUND] == [text("first"), text("second")]
    assert_books_are_closed(settled)


def test_a_better_reading_takes_the_place_of_a_published_one(settled):
    (old,) = pages_at(settled, GOOD)
    (copy,) = pages_at(settled, COPY)
    original = {old["fate"]: old, copy["fate"]: copy}["published"]

    read_again(settled, batch="c-000001")

    page = next(p for p in rows_of(settled, t.PAGES) if p["page_id"] == original["page_id"])
    assert (page["fate"], page["batch_id"]) == ("published", AGAIN)
    assert page["shard"] != original["shard"]
    assert page_counts(settled) == {"found": 5, "published": 4, "duplicate": 1}
    assert_books_are_closed(settled)


def test_a_worse_reading_of_a_published_page_is_history(settled):
    before = accounts(settled) | {"batches": [], "parts": [], "snapshots": [], "verdicts": []}

    read_again(settled, key=GOOD, engine=Engine(good=70.0))

    after = accounts(settled) | {"batches": [], "parts": [], "snapshots": [], "verdicts": []}
    assert after == before
    assert attempts(settled, GOOD) == [("c-000001", 1, "pending"), (AGAIN, 1, "pending")]
    assert_books_are_closed(settled)


def test_a_page_that_cannot_be_read_any_more_stays_published(settled):
    read_again(settled, batch="c-000001", engine=Engine(good=unreadable(), first=unreadable()))

    assert ("published", None) in fates(settled, BOUND)
    assert texts_published(settled, "c")[BOUND][0] == text("first")
    assert_books_are_closed(settled)


def test_an_image_that_can_be_opened_now_is_decoded(settled):
    (image,) = images_at(settled, TORN)
    folder = layout.quarantine("c", Reason.CORRUPT_IMAGE, image["image_id"])
    mend(settled, folder, picture(text("torn")))

    read_again(settled, reason=Reason.CORRUPT_IMAGE)

    assert image_counts(settled) == {"landed": 5, "decoded": 5}
    assert fates(settled, TORN) == [("published", None)]
    assert attempts(settled, TORN) == [("c-000001", 0, "quarantined"), (AGAIN, 1, "pending")]
    assert_books_are_closed(settled)


def mend(mill, folder, content, *, image=None):
    """Stand in for a better decoder: the landed object is gone, and what was kept is readable."""
    image = image or images_at(mill, TORN)[0]
    delete(mill, layout.LANDING + TORN, image["version"])
    delete_for_good(mill, folder + "original")
    mill.store.create(folder + "original", content)


def test_an_image_that_still_cannot_be_opened_has_one_attempt_more(settled):
    (image,) = images_at(settled, TORN)
    folder = layout.quarantine("c", Reason.CORRUPT_IMAGE, image["image_id"])

    assert read_again(settled, key=TORN) == [AGAIN]

    assert image_counts(settled)["quarantined"] == 1
    assert settled.store.read_json(folder + "attempts/2.json")["engine"]["version"] == "2"
    assert state(settled, AGAIN) == BatchState.SETTLED
    assert_books_are_closed(settled)


def test_a_version_that_was_replaced_is_not_read_again(settled):
    drop(settled, POOR, picture(text("new")))
    run_pipeline(settled)

    assert ask(settled, key=POOR, reason=Reason.LOW_CONFIDENCE) == []


def test_a_version_replaced_between_plan_and_build_does_not_come_back(settled):
    (batch_id,) = ask(settled, reason=Reason.LOW_CONFIDENCE)
    drop(settled, POOR, picture(text("new")))
    for planned in planning.plan_batches(settled):
        finish_batch(settled, planned)
    finish_batch(settled, batch_id)

    assert texts_published(settled, "c")[POOR] == [text("new")]
    assert [image["fate"] for image in images_at(settled, POOR)] == ["superseded", "decoded"]
    assert_books_are_closed(settled)


def test_an_old_version_that_can_be_opened_late_is_not_published_beside_the_new_one(settled):
    (image,) = images_at(settled, TORN)
    folder = layout.quarantine("c", Reason.CORRUPT_IMAGE, image["image_id"])
    (batch_id,) = ask(settled, reason=Reason.CORRUPT_IMAGE)
    drop(settled, TORN, picture(text("new")))
    for planned in planning.plan_batches(settled):
        finish_batch(settled, planned)
    mend(settled, folder, picture(text("torn")))
    finish_batch(settled, batch_id)

    assert texts_published(settled, "c")[TORN] == [text("new")]
    assert [image["fate"] for image in images_at(settled, TORN)] == ["superseded", "decoded"]
    assert_books_are_closed(settled)


def test_a_newer_version_that_can_be_read_late_takes_the_place_of_the_old_one(settled):
    drop(settled, COPY, picture(text("second") + " anew"))
    run_pipeline(settled, FIRST)
    assert texts_published(settled, "c")[COPY] == [text("good")]

    read_again(settled, key=COPY, reason=Reason.ENGINE_TIMEOUT)

    assert texts_published(settled, "c")[COPY] == [text("second") + " anew"]
    assert [image["fate"] for image in images_at(settled, COPY)] == ["superseded", "decoded"]
    assert_books_are_closed(settled)


def test_of_two_versions_that_can_be_opened_late_the_newer_one_is_published(settled):
    drop(settled, TORN, picture(text("anew"))[:100])
    run_pipeline(settled, FIRST)
    for image, name in zip(images_at(settled, TORN), ("torn", "anew"), strict=True):
        folder = layout.quarantine("c", Reason.CORRUPT_IMAGE, image["image_id"])
        mend(settled, folder, picture(text(name)), image=image)

    read_again(settled, reason=Reason.CORRUPT_IMAGE)

    assert texts_published(settled, "c")[TORN] == [text("anew")]
    assert [image["fate"] for image in images_at(settled, TORN)] == ["superseded", "decoded"]
    assert_books_are_closed(settled)


def test_a_page_that_was_read_again_stays_when_the_batch_of_its_image_is_discarded(
    mill, monkeypatch
):
    monkeypatch.setattr(judging, "judge", stubbed_judge(is_held=lambda run, _: run == "c-000001"))
    drop(mill, GOOD, picture(text("good")))
    drop(mill, BOUND, picture(text("second")))
    run_pipeline(mill, FIRST)
    read_again(mill, reason=Reason.ENGINE_TIMEOUT)

    decide(mill, "c-000001", verb="discard", because="blurred", decided_by="somebody")

    assert image_counts(mill) == {"landed": 2, "decoded": 1, "withdrawn": 1}
    assert texts_published(mill, "c") == {BOUND: [text("second")]}
    assert_books_are_closed(mill)


def test_what_is_discarded_while_it_is_read_again_is_not_published(mill, monkeypatch):
    monkeypatch.setattr(judging, "judge", stubbed_judge(is_held=lambda run, _: run == "c-000001"))
    drop(mill, GOOD, picture(text("good")))
    drop(mill, BOUND, volume(text("first"), text("second")))
    run_pipeline(mill, FIRST)
    (batch_id,) = ask(mill, reason=Reason.ENGINE_TIMEOUT)

    decide(mill, "c-000001", verb="discard", because="blurred", decided_by="somebody")
    finish_batch(mill, batch_id, Engine())

    assert image_counts(mill) == {"landed": 2, "withdrawn": 2}
    assert page_counts(mill) == {"found": 3, "withdrawn": 2, "quarantined": 1}
    assert_books_are_closed(mill)


def test_a_page_whose_new_text_is_in_the_dataset_already_is_a_duplicate(settled):
    drop(settled, "c/x/twin.png", picture(text("poor")))
    run_pipeline(settled)
    (twin,) = pages_at(settled, "c/x/twin.png")
    assert twin["fate"] == "published"

    read_again(settled, key=POOR)

    (page,) = pages_at(settled, POOR)
    assert (page["fate"], page["other_page_id"]) == ("duplicate", twin["page_id"])
    assert_books_are_closed(settled)


def test_a_copy_is_published_when_its_original_reads_as_something_else_now(settled):
    by_fate = {pages_at(settled, key)[0]["fate"]: key for key in (GOOD, COPY)}

    class Sharper(Engine):
        def _read(self, pgm):
            reading = super()._read(pgm)
            words = reading.words[: len(reading.words) // 2]
            return dataclasses.replace(reading, words=words, seconds=0.0)

    read_again(settled, key=by_fate["published"], engine=Sharper())

    assert fates(settled, by_fate["published"]) == [("published", None)]
    assert fates(settled, by_fate["duplicate"]) == [("published", None)]
    assert_books_are_closed(settled)


# --- who may ask for what ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({}, "--reason"),
        ({"reason": "ugly"}, "docs/reasons.md"),
        ({"batch": "c-000009"}, "no batch"),
    ],
)
def test_a_choice_that_cannot_be_meant_is_refused(settled, choice, said):
    with pytest.raises(UsageError, match=said):
        ask(settled, **choice)


def test_what_is_in_no_book_is_not_read_again(settled):
    assert ask(settled, key="c/x/nothing*") == []
    assert len(rows_of(settled, t.BATCHES)) == 1


@pytest.mark.parametrize("pattern", ["landing/c/x/p*", "c/x/p*", "*/poor.png"])
def test_a_pattern_names_keys_with_or_without_landing(settled, pattern):
    (batch_id,) = ask(settled, key=pattern)

    plan = settled.store.read_table(layout.plan(batch_id))
    assert plan["key"].to_pylist() == [layout.LANDING + POOR]


def test_the_batch_is_read_with_the_settings_that_were_asked_for(settled):
    (batch_id,) = ask(settled, key=POOR)

    assert settled.settings.ocr_psm != 6
    assert recognizing.for_batch(settled, batch_id).settings.ocr_psm == 6
    assert recognizing.for_batch(settled, "c-000001") == settled


def test_the_plan_says_who_asked_and_why(settled):
    (batch_id,) = ask(settled, key=POOR)

    metadata = settled.store.read_table(layout.plan(batch_id)).schema.metadata
    asked = json.loads(metadata[b"reprocess"])
    assert (asked["asked_by"], asked["because"]) == ("me", "for a test")


def test_the_story_of_an_image_tells_every_attempt(settled):
    read_again(settled, reason=Reason.LOW_CONFIDENCE)

    (version,) = trace(settled, POOR)["versions"]
    assert [attempt["mean_confidence"] for attempt in version["attempts"]] == [30.0, 95.0]
    assert version["pages"][0]["part"] == layout.part(AGAIN, 0)


# --- whatever happens ----------------------------------------------------------------------------


def test_the_ledger_made_again_knows_every_reading(settled, tmp_path):
    read_again(settled, batch="c-000001")
    read_again(settled, key="c/x/*", engine=Engine(good=70.0))
    rebuilt = dataclasses.replace(settled, ledger=Ledger(f"sqlite:///{tmp_path}/rebuilt.db"))

    rebuild(rebuilt)

    for table in t.BOOKS:
        rows = [sorted(map(repr, rows_of(mill, table))) for mill in (rebuilt, settled)]
        assert rows[0] == rows[1], table.name
    assert_books_are_closed(rebuilt)


def test_a_plan_whose_author_was_killed_is_carried_out_all_the_same(settled):
    with pytest.raises(Killed):
        ask(fragile(settled, Fuse(2)), key=POOR)
    assert len(rows_of(settled, t.BATCHES)) == 1
    drop(settled, "c/x/more.png", picture(text("more")))

    run_pipeline(settled, Engine())

    assert fates(settled, POOR) == [("published", None)]
    assert state(settled, "c-000003") == BatchState.BUILT
    assert_books_are_closed(settled)


def test_a_kill_at_any_write_is_as_if_it_had_not_been(settled):
    expected = None
    for burns_at in range(1, 100):
        (batch_id,) = ask(settled, batch="c-000001")
        # Better each time: whatever is published moves to the new reading.
        better = dict.fromkeys(("good", "poor", "first", "second"), 95.0 + burns_at / 20)
        fuse = Fuse(burns_at)
        try:
            finish_batch(fragile(settled, fuse), batch_id, Engine(**better))
        except Killed:
            finish_batch(settled, batch_id, Engine(**better))
        pages = rows_of(settled, t.PAGES)

        assert {p["batch_id"] for p in pages if p["fate"] == "published"} == {batch_id}
        expected = expected or (page_counts(settled), texts_published(settled, "c"))
        assert (page_counts(settled), texts_published(settled, "c")) == expected, burns_at
        assert_books_are_closed(settled)
        if fuse.writes < burns_at:
            return
    raise AssertionError("the fuse burned every time")
