"""Moves between fates that no other test makes, and the law after each of them."""

import dataclasses
import json
import shutil

import pytest

from drivers import (
    accounts,
    assert_books_are_closed,
    delete,
    drop,
    drop_every_kind,
    finish_batch,
    image_counts,
    images_at,
    pages_at,
    run_pipeline,
    stubbed_judge,
    texts_published,
)
from engines.scripted import picture, prose
from scanmill.steps import judging, orphans, planning
from scanmill.steps.auditing import audit
from scanmill.steps.healing import heal
from scanmill.steps.receipting import receipt
from scanmill.steps.reviewing import decide

ON_BOTH_STORES = True


pytestmark = pytest.mark.usefixtures("open_gates")

FIRST, SECOND, THIRD = "c/x/1.png", "c/x/2.png", "c/x/3.png"


@pytest.fixture
def copies(mill):
    """A mill that has published a page and knows two copies of it."""
    for key in (FIRST, SECOND, THIRD):
        drop(mill, key, picture(prose(1)))
    run_pipeline(mill)
    return mill


def fates(mill, *keys):
    return [pages_at(mill, key)[0]["fate"] for key in keys]


def test_when_an_original_leaves_the_other_copies_name_the_one_that_took_its_place(copies):
    assert fates(copies, FIRST, SECOND, THIRD) == ["published", "duplicate", "duplicate"]
    drop(copies, FIRST, picture(prose(2)))
    run_pipeline(copies)
    heir, copy = pages_at(copies, SECOND)[0], pages_at(copies, THIRD)[0]

    assert (heir["fate"], copy["fate"]) == ("published", "duplicate")
    assert copy["other_page_id"] == heir["page_id"]
    assert_books_are_closed(copies)


def test_a_copy_that_breaks_a_rule_which_is_stricter_by_now_is_no_heir(copies, tmp_path):
    drop(copies, FIRST, picture(prose(2, words=60)))
    run_pipeline(with_stricter_rules(copies, tmp_path / "expectations"))

    assert fates(copies, SECOND, THIRD) == ["rejected", "rejected"]
    assert texts_published(copies, "c") == {FIRST: [prose(2, words=60)]}
    assert_books_are_closed(copies)


def with_stricter_rules(mill, folder):
    """Return the mill with a rule by which a page of 40 words is too short."""
    shutil.copytree(mill.settings.expectations_dir, folder)
    path = folder / "row_rules.json"
    rules = json.loads(path.read_text())
    next(rule for rule in rules if rule["reason"] == "no_text")["min"] = 50
    path.write_text(json.dumps(rules))
    settings = mill.settings.model_copy(update={"expectations_dir": folder})
    return dataclasses.replace(mill, settings=settings)


def test_the_same_content_again_after_another_is_a_third_image(mill):
    versions = [drop(mill, FIRST, picture(prose(number))) for number in (1, 2, 1)]
    run_pipeline(mill)
    images = {image["version"]: image["fate"] for image in images_at(mill, FIRST)}

    assert [images[version] for version in versions] == ["superseded", "superseded", "decoded"]
    assert texts_published(mill, "c") == {FIRST: [prose(1)]}
    assert_books_are_closed(mill)


def test_events_that_come_late_and_twice_change_nothing(copies):
    drop(copies, FIRST, picture(prose(2)))
    run_pipeline(copies)
    before = accounts(copies)
    for batch_id in ("c-000002", "c-000001", "c-000002", "c-000001"):
        planning.plan_batches(copies)
        finish_batch(copies, batch_id)

    assert accounts(copies) == before
    assert_books_are_closed(copies)


def test_nothing_is_off_in_states_that_people_and_replacements_leave(mill, monkeypatch):
    found = {}

    def look(name):
        found[name] = (audit(mill), receipt(mill)["imbalances"])

    for key in (FIRST, SECOND, THIRD):
        drop(mill, key, picture(prose(1)))
    run_pipeline(mill)
    look("duplicates")
    drop(mill, FIRST, picture(prose(2)))
    look("a replacement that nobody planned yet")
    run_pipeline(mill)
    look("replaced")
    delete(mill, f"landing/{SECOND}")
    look("deleted after it was read")
    hold(monkeypatch)
    drop(mill, "c/x/4.png", picture(prose(4)))
    run_pipeline(mill)
    look("held")
    decide(mill, "c-000003", verb="release", because="sound", decided_by="somebody")
    look("released and not built")
    finish_batch(mill, "c-000003")
    look("built after its release")
    drop(mill, "c/x/5.png", picture(prose(5)))
    run_pipeline(mill)
    decide(mill, "c-000004", verb="discard", because="not ours", decided_by="somebody")
    look("discarded")

    assert len(found) == 8
    assert {name: state for name, state in found.items() if state != ([], [])} == {}


def hold(monkeypatch):
    """Let the pages gate hold every batch from now on."""
    judge = stubbed_judge(is_held=lambda _name, gate: gate == "pages_gate")
    monkeypatch.setattr(judging, "judge", judge)


def test_heal_plans_what_nobody_planned_and_counts_what_killed_builds_left(mill):
    drop(mill, FIRST, picture(prose(1)))
    run_pipeline(mill)
    mill.store.create("datasets/c/data/train/left.parquet", b"left behind")
    drop(mill, SECOND, picture(prose(2)))
    heal(mill)

    assert [image["fate"] for image in images_at(mill, SECOND)] == ["pending"]
    assert orphans.count(mill) == (1, len(b"left behind"))
    finish_batch(mill, "c-000002")
    assert_books_are_closed(mill)


def test_every_kind_of_file_has_its_fate_and_the_law_holds_after_changes(mill):
    drop_every_kind(mill)
    run_pipeline(mill)
    before = image_counts(mill)
    drop(mill, "c/x/old.png", picture(prose(5)))
    drop(mill, "c/x/broken.png", picture(prose(6)))
    drop(mill, "c/x/gone.png", picture(prose(7)))
    delete(mill, "landing/c/x/gone.png")
    run_pipeline(mill)

    assert before == {"landed": 8, "decoded": 5, "quarantined": 1, "ignored": 2}
    assert image_counts(mill) == before | {"landed": 11, "decoded": 6, "superseded": 2}
    assert texts_published(mill, "c")["c/x/old.png"] == [prose(5)]
    assert texts_published(mill, "c")["c/x/broken.png"] == [prose(6)]
    assert "c/x/gone.png" not in texts_published(mill, "c")
    assert_books_are_closed(mill)
