"""The gate: a few bad pages are set aside, many hold the batch, and a person decides."""

import json
import re
import shutil
from pathlib import Path

import pytest

from drivers import (
    Fuse,
    Killed,
    assert_books_are_closed,
    drop,
    finish_batch,
    fragile,
    image_counts,
    objects,
    page_counts,
    read_batch,
    rows_of,
    rows_published,
    run_pipeline,
    state,
)
from engines.scripted import NonsenseEngine, ScriptedEngine, blank, gibberish, picture, prose
from scanmill import layout
from scanmill.errors import GateFailed, UsageError
from scanmill.ledger import tables as t
from scanmill.models import BatchState, Reason
from scanmill.steps import building, judging, planning
from scanmill.steps.auditing import audit
from scanmill.steps.rebuilding import rebuild
from scanmill.steps.receipting import pending, receipt
from scanmill.steps.reprocessing import Choice, reprocess
from scanmill.steps.reviewing import decide

EXPECTATIONS = Path(__file__).parents[2] / "expectations"
PAGES = 40
BATCH = "c-000001"
NEXT = "c-000002"


def drop_pages(mill, *, nonsense, start=0, folder="c/x"):
    """Upload 40 pages, so many of which read as nonsense."""
    for number in range(start, start + PAGES):
        is_bad = number < start + nonsense
        text = gibberish(number) if is_bad else prose(number)
        drop(mill, f"{folder}/{number:03}.png", picture(text))


def read_pages(mill, *, engine=ScriptedEngine(), **wanted):  # noqa: B008 - it has no state
    """Upload, plan and read 40 pages; return the batch, ready to be judged."""
    drop_pages(mill, **wanted)
    (batch,) = planning.plan_batches(mill)
    read_batch(mill, batch, engine)
    return batch


def messages(mill):
    return rows_of(mill, t.OUTBOX)


def verdicts(mill):
    return [(row["gate"], row["severity"]) for row in rows_of(mill, t.VERDICTS)]


@pytest.fixture
def held(mill):
    """A mill with a batch of which 30 percent is nonsense, held by the gate."""
    batch = read_pages(mill, nonsense=12)
    with pytest.raises(GateFailed):
        judging.judge_batch(mill, batch)
    return mill


@pytest.fixture
def rules(tmp_path):
    """A copy of the rules, and a function that changes the arguments of their expectations."""
    folder = tmp_path / "expectations"
    shutil.copytree(EXPECTATIONS, folder)

    def change(name, is_meant, **arguments):
        path = folder / name
        suite = json.loads(path.read_text())
        (meant,) = [entry for entry in suite["expectations"] if is_meant(entry)]
        meant["kwargs"] |= arguments
        path.write_text(json.dumps(suite))
        return folder

    return change


# --- what passes ---------------------------------------------------------------------------------


def test_ten_percent_nonsense_warns_and_the_rest_is_published(mill):
    batch = read_pages(mill, nonsense=4)

    counts = judging.judge_batch(mill, batch)
    building.build_snapshot(mill, batch)

    assert counts["pending"] == PAGES
    assert page_counts(mill) == {"found": PAGES, "published": 36, "rejected": 4}
    assert len(rows_published(mill, "c")) == 36
    assert ("pages_gate", "warning") in verdicts(mill)
    assert [m["kind"] for m in messages(mill) if "pages_gate" in m["key"]] == ["gate_warned"]
    assert_books_are_closed(mill)


def test_a_batch_of_which_both_gates_warn_is_told_of_once(mill):
    finish_batch(mill, read_pages(mill, nonsense=4, folder="c"))  # without a folder, so no label

    assert verdicts(mill) == [("pages_gate", "warning"), ("dataset_gate", "warning")]
    assert [message["kind"] for message in messages(mill)] == ["gate_warned"]


def test_who_released_a_batch_is_not_warned_of_it_afterwards(mill):
    batch = read_pages(mill, nonsense=10, folder="c")
    finish_batch(mill, batch)
    decide(mill, batch, verb="release", because="seen", decided_by="me")
    finish_batch(mill, batch)

    assert verdicts(mill) == [("pages_gate", "critical"), ("dataset_gate", "warning")]
    assert [message["kind"] for message in messages(mill)] == ["gate_failed"]


def test_a_batch_in_another_language_than_it_was_read_in_is_warned_of(new_mill):
    mill = new_mill(collection_languages={"c": "deu"})
    batch = read_pages(mill, nonsense=0)

    judging.judge_batch(mill, batch)

    assert verdicts(mill) == [("pages_gate", "warning")]
    (message,) = messages(mill)
    assert "Pages in another language than they were read in: 100.0 %" in message["text"]


def test_a_good_batch_passes_without_a_word(mill):
    batch = read_pages(mill, nonsense=0)

    judging.judge_batch(mill, batch)

    assert verdicts(mill) == [("pages_gate", "pass")]
    assert messages(mill) == []


def test_a_small_batch_is_judged_page_by_page(mill):
    drop(mill, "c/x/bad.png", picture(gibberish(1)))
    drop(mill, "c/x/unsure.png", picture(prose(1), confidence=20.0))
    drop(mill, "c/x/good.png", picture(prose(2)))

    run_pipeline(mill)

    reasons = {row["reason"] for row in rows_of(mill, t.PAGES)}
    assert reasons == {Reason.UNKNOWN_WORDS, Reason.LOW_CONFIDENCE, None}
    assert page_counts(mill) == {"found": 3, "published": 1, "rejected": 2}
    assert_books_are_closed(mill)


def test_one_number_in_the_suite_flips_the_verdict(new_mill, rules):
    def is_critical_share(entry):
        column = entry["kwargs"].get("column")
        return column == "row_rule" and entry["severity"] == "critical"

    folder = rules("pages_gate.json", is_critical_share, mostly=0.6)
    mill = new_mill(expectations_dir=folder)

    counts = judging.judge_batch(mill, read_pages(mill, nonsense=12))

    assert counts["pending"] == PAGES


def test_pages_read_again_are_judged_by_the_row_rules_alone(mill):
    finish_batch(mill, read_pages(mill, nonsense=0))
    (batch,) = reprocess(mill, Choice(batch=BATCH), settings={}, asked_by="me")

    finish_batch(mill, batch, NonsenseEngine())

    assert state(mill, batch) == BatchState.BUILT
    assert page_counts(mill) == {"found": PAGES, "published": PAGES}
    assert_books_are_closed(mill)


# --- what is held --------------------------------------------------------------------------------


def test_thirty_percent_nonsense_holds_the_batch(mill):
    batch = read_pages(mill, nonsense=12)
    before = page_counts(mill)

    with pytest.raises(GateFailed, match="scanmill review c-000001"):
        judging.judge_batch(mill, batch)

    assert before == {"found": PAGES, "pending": PAGES}
    assert page_counts(mill) == {"found": PAGES, "held": PAGES}
    assert state(mill, batch) == BatchState.HELD
    assert receipt(mill)["held"] == [batch]
    assert pending(mill)["batches"] == 0
    assert audit(mill) == []


def test_a_held_batch_leaves_the_dataset_alone(mill):
    finish_batch(mill, read_pages(mill, nonsense=0))
    before = objects(mill, "datasets/")
    batch = read_pages(mill, nonsense=12, start=PAGES)

    finish_batch(mill, batch)
    with pytest.raises(UsageError, match="held"):
        building.build_snapshot(mill, batch)

    assert objects(mill, "datasets/") == before
    assert page_counts(mill) == {"found": 2 * PAGES, "published": PAGES, "held": PAGES}
    assert_books_are_closed(mill)


def test_an_engine_that_reads_nonsense_everywhere_publishes_nothing(mill):
    batch = read_pages(mill, nonsense=0, engine=NonsenseEngine())

    with pytest.raises(GateFailed):
        judging.judge_batch(mill, batch)

    assert objects(mill, "datasets/") == {}


def test_a_held_batch_is_told_of_once_however_often_it_is_judged(held):
    for _ in range(2):
        with pytest.raises(GateFailed):
            judging.judge_batch(held, BATCH)

    (message,) = messages(held)
    assert message["kind"] == "gate_failed"
    assert verdicts(held) == [("pages_gate", "critical")]


def test_the_message_says_what_is_at_stake_and_what_to_type(held):
    text = messages(held)[0]["text"]

    assert re.search(rf"pages held +{PAGES}\n", text)
    assert re.search(rf"pages found +{PAGES}\n", text)
    assert re.search(rf"images +{PAGES}\n", text)
    assert "30.0 % (12 of 40)" in text
    assert f"./scanmill review {BATCH} --release" in text
    assert f"./scanmill review {BATCH} --discard" in text
    assert f"{layout.report(BATCH, 'pages_gate')}index.html" in text
    assert "landing/c/x/000.png" in text


@pytest.mark.parametrize("is_healed", [False, True])
def test_a_kill_at_any_write_of_a_judge_sends_one_message(new_mill, is_healed):
    position, was_killed = 0, True
    while was_killed:
        position += 1
        mill = new_mill()
        batch = read_pages(mill, nonsense=12)
        try:
            judging.judge_batch(fragile(mill, Fuse(position)), batch)
        except Killed:
            assert audit(mill) == []
        except GateFailed:
            was_killed = False
        if is_healed:  # which enters the verdict of the killed one
            rebuild(mill)
        with pytest.raises(GateFailed):
            judging.judge_batch(mill, batch)

        assert len(messages(mill)) == 1
        assert page_counts(mill) == {"found": PAGES, "held": PAGES}

    assert position > 3


# --- a person decides ----------------------------------------------------------------------------


def by(verb):
    return {"verb": verb, "because": "looked at it", "decided_by": "operator"}


def test_a_released_batch_is_published_without_its_nonsense(held):
    decide(held, BATCH, **by("release"))
    building.build_snapshot(held, BATCH)

    assert page_counts(held) == {"found": PAGES, "published": 28, "rejected": 12}
    assert len(rows_published(held, "c")) == 28
    assert_books_are_closed(held)


def test_a_released_batch_is_not_held_again_when_it_is_judged_again(held):
    decide(held, BATCH, **by("release"))

    judging.judge_batch(held, BATCH)

    assert state(held, BATCH) == BatchState.RELEASED
    assert len(messages(held)) == 1


def test_a_discarded_batch_is_withdrawn(held):
    decide(held, BATCH, **by("discard"))

    assert page_counts(held) == {"found": PAGES, "withdrawn": PAGES}
    assert image_counts(held) == {"landed": PAGES, "withdrawn": PAGES}
    with pytest.raises(UsageError, match="discarded"):
        building.build_snapshot(held, BATCH)
    assert_books_are_closed(held)


@pytest.mark.parametrize("first", ["release", "discard"])
@pytest.mark.parametrize("second", ["release", "discard"])
def test_a_batch_is_decided_on_once(held, first, second):
    decide(held, BATCH, **by(first))

    with pytest.raises(UsageError):
        decide(held, BATCH, **by(second))

    assert [row["verb"] for row in rows_of(held, t.DECISIONS)] == [first]


@pytest.mark.parametrize("verb", ["release", "discard"])
def test_a_decision_whose_books_were_never_written_is_entered_by_the_next_try(held, verb):
    with pytest.raises(Killed):
        decide(fragile(held, Fuse(2)), BATCH, **by(verb))
    assert state(held, BATCH) == BatchState.HELD

    decide(held, BATCH, **by(verb))

    assert state(held, BATCH) in {BatchState.RELEASED, BatchState.DISCARDED}
    assert len(rows_of(held, t.DECISIONS)) == 1


def test_of_two_people_the_first_decides_and_the_second_is_told(held):
    with pytest.raises(Killed):
        decide(fragile(held, Fuse(2)), BATCH, **by("release") | {"decided_by": "first"})

    with pytest.raises(UsageError, match="first"):
        decide(held, BATCH, **by("discard") | {"decided_by": "second"})

    assert state(held, BATCH) == BatchState.RELEASED
    assert page_counts(held) == {"found": PAGES, "held": PAGES}


@pytest.mark.parametrize("because", ["", "  \n"])
def test_a_decision_needs_a_reason(held, because):
    with pytest.raises(UsageError, match="--because"):
        decide(held, BATCH, verb="release", because=because, decided_by="operator")

    assert state(held, BATCH) == BatchState.HELD


def test_an_unknown_batch_cannot_be_decided_on(mill):
    with pytest.raises(UsageError, match="no batch"):
        decide(mill, "nobody-000001", **by("release"))


# --- the dataset gate ----------------------------------------------------------------------------


@pytest.fixture
def strict_mill(new_mill, rules):
    """A mill whose dataset gate wants longer pages than there are."""

    def is_length(entry):
        return entry["kwargs"].get("min_value") == 1

    return new_mill(expectations_dir=rules("dataset_gate.json", is_length, min_value=100_000))


def test_the_dataset_gate_holds_what_is_about_to_be_published(strict_mill):
    batch = read_pages(strict_mill, nonsense=0)
    judging.judge_batch(strict_mill, batch)

    with pytest.raises(GateFailed, match="dataset_gate"):
        building.build_snapshot(strict_mill, batch)

    assert page_counts(strict_mill) == {"found": PAGES, "held": PAGES}
    assert {row["reason"] for row in rows_of(strict_mill, t.PAGES)} == {Reason.DATASET_GATE}
    assert objects(strict_mill, "datasets/") == {}
    assert [message["kind"] for message in messages(strict_mill)] == ["gate_failed"]


def test_a_release_overrules_only_the_gate_that_held(strict_mill):
    batch = read_pages(strict_mill, nonsense=12)
    finish_batch(strict_mill, batch)
    decide(strict_mill, batch, **by("release"))

    with pytest.raises(GateFailed, match="dataset_gate"):
        building.build_snapshot(strict_mill, batch)
    decide(strict_mill, batch, **by("release"))
    building.build_snapshot(strict_mill, batch)

    kinds = [message["kind"] for message in messages(strict_mill)]
    assert page_counts(strict_mill) == {"found": PAGES, "published": 28, "rejected": 12}
    assert kinds == ["gate_failed", "gate_failed"]
    assert_books_are_closed(strict_mill)


# --- nothing to judge ----------------------------------------------------------------------------


def test_a_batch_without_a_readable_page_is_settled_with_one_warning(mill):
    drop(mill, "c/x/a.png", b"broken")
    drop(mill, "c/x/b.png", b"")
    (batch,) = planning.plan_batches(mill)
    read_batch(mill, batch)

    for _ in range(2):
        counts = judging.judge_batch(mill, batch)

    assert counts["pending"] == 0
    assert state(mill, batch) == BatchState.SETTLED
    assert [message["kind"] for message in messages(mill)] == ["nothing_readable"]
    assert objects(mill, "datasets/") == {}
    with pytest.raises(UsageError, match="settled"):
        building.build_snapshot(mill, batch)
    assert_books_are_closed(mill)


def test_a_batch_of_blank_pages_adds_no_row(mill):
    drop(mill, "c/x/a.png", blank())

    run_pipeline(mill)

    assert page_counts(mill) == {"found": 1, "rejected": 1}
    assert rows_published(mill, "c") == []
    assert_books_are_closed(mill)


# --- the report ----------------------------------------------------------------------------------

_REACHES_OUT = re.compile(
    r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//|url\(\s*["']?http|@import"""
)


def test_the_report_opens_without_a_network_and_says_what_the_ledger_says(held):
    folder = layout.report(BATCH, "pages_gate")
    page = held.store.read(folder + "index.html").decode()
    numbers = held.store.read_json(folder + "report.json")

    assert _REACHES_OUT.search(page) is None
    assert "data:image/jpeg;base64," in page
    assert numbers["images"] == numbers["images"] | {"planned": PAGES, "decoded": PAGES}
    assert numbers["pages"] == numbers["pages"] | page_counts(held)
    assert numbers["is_balanced"]


def test_a_settled_batch_has_a_report_as_well(mill):
    drop(mill, "c/x/a.png", b"broken")
    run_pipeline(mill)

    folder = layout.report(BATCH, "pages_gate")
    page = mill.store.read(folder + "index.html").decode()

    assert _REACHES_OUT.search(page) is None
    assert "not_an_image" in page
