"""Metadata files: who gets a label never depends on the cut, on accents, or on what was deleted."""

import json
import unicodedata

import pytest
import yaml

from drivers import (
    assert_books_are_closed,
    delete,
    drop,
    finish_batch,
    images_at,
    page_counts,
    read_batch,
    rows_published,
    run_pipeline,
)
from engines.scripted import picture, prose
from scanmill import layout
from scanmill.dataset import labels
from scanmill.errors import PageError, RetryableError
from scanmill.models import Reason
from scanmill.steps import building, judging, planning

FIRST, SECOND = "c-000001", "c-000002"
SCANS = ("a.png", "b.png", "y.png", "z.png")
CSV = "landing/c/metadata.csv"
JSONL = "landing/c/metadata.jsonl"
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café.png") for form in ("NFC", "NFD"))


def drop_labelled_scans(mill, name="metadata.csv"):
    """Upload scans of two labels and two documents, and the file that says so."""
    notes = [
        {"file_name": scan, "label": f"label {number % 2}", "document_id": f"document {number % 2}"}
        for number, scan in enumerate(SCANS)
    ]
    for scan in SCANS:
        drop(mill, f"c/{scan}", picture(prose(scan)))
    if name.endswith(".csv"):
        lines = ["file_name,label,document_id", *(",".join(note.values()) for note in notes)]
    else:
        lines = [json.dumps(note) for note in notes]
    drop(mill, f"c/{name}", "\n".join(lines).encode())


def notes_published(mill):
    names = ("source_key", "label_name", "document_id", "split")
    return [tuple(row[name] for name in names) for row in rows_published(mill, "c")]


def labels_published(mill):
    return {
        row["source_key"].removeprefix("landing/c/"): row["label_name"]
        for row in rows_published(mill, "c")
    }


def note(name, value):
    """A line of a metadata file that gives one image this label."""
    return json.dumps({"file_name": name, "label": value}, ensure_ascii=False).encode()


# --- the cut into batches ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_labels_and_splits_do_not_depend_on_how_a_drop_is_cut(new_mill, name):
    whole, cut = new_mill(), new_mill(batch_images=2)
    for mill in (whole, cut):
        drop_labelled_scans(mill, name)
        run_pipeline(mill)

    assert {row[1] for row in notes_published(whole)} == {"label 0", "label 1"}
    assert notes_published(cut) == notes_published(whole)
    assert_books_are_closed(cut)


def test_metadata_is_planned_before_the_images_that_it_is_about(new_mill):
    mill = new_mill(batch_images=2)
    drop_labelled_scans(mill)

    planned = planning.plan_batches(mill)

    assert len(planned) == 3
    assert [image["batch_id"] for image in images_at(mill, "c/metadata.csv")] == planned[:1]


def test_nothing_is_built_while_a_metadata_file_waits_to_be_read(mill):
    drop(mill, "c/a.png", picture(prose(1)))
    planning.plan_batches(mill)
    read_batch(mill, FIRST)
    judging.judge_batch(mill, FIRST)
    drop(mill, "c/metadata.csv", b"file_name,label\na.png,invoice\n")
    planning.plan_batches(mill)

    with pytest.raises(RetryableError):
        building.build_snapshot(mill, FIRST)
    before = page_counts(mill)
    finish_batch(mill, SECOND)
    building.build_snapshot(mill, FIRST)

    assert before == {"found": 1, "pending": 1}
    assert labels_published(mill) == {"a.png": "invoice"}
    assert_books_are_closed(mill)


def test_metadata_of_another_collection_holds_nothing_up(mill):
    drop(mill, "c/a.png", picture(prose(1)))
    drop(mill, "other/metadata.csv", b"file_name,label\na.png,invoice\n")
    planning.plan_batches(mill)

    finish_batch(mill, FIRST)

    assert page_counts(mill, FIRST) == {"found": 1, "published": 1}


# --- metadata that is gone -----------------------------------------------------------------------


def test_metadata_deleted_for_good_does_not_stop_later_builds(mill):
    drop(mill, "c/a.png", picture(prose(1)))
    version = drop(mill, "c/metadata.csv", b"file_name,label\na.png,invoice\n")
    run_pipeline(mill)
    delete(mill, CSV, version)
    drop(mill, "c/b.png", picture(prose(2)))

    run_pipeline(mill)

    assert page_counts(mill) == {"found": 2, "published": 2}
    assert labels_published(mill)["a.png"] == "invoice"
    assert_books_are_closed(mill)


# --- what a line says ----------------------------------------------------------------------------


def test_a_label_may_be_a_number_even_zero():
    notes = labels.read_metadata(JSONL, note("pump/a.png", 0))

    assert labels.label_of("landing/c/pump/a.png", notes) == "0"


@pytest.mark.parametrize("value", [{"name": "invoice"}, ["invoice"]], ids=["object", "list"])
def test_a_label_that_is_no_single_word_is_bad_metadata(value):
    with pytest.raises(PageError) as raised:
        labels.read_metadata(JSONL, note("a.png", value))

    assert raised.value.reason == Reason.BAD_METADATA


@pytest.mark.parametrize(
    "content",
    [
        b'{"file_name": "a.png", "label": "\\ud800"}',
        b'{"file_name": "a.png", "document_id": "\\ud800"}',
        b"[" * 100_000,
    ],
    ids=["half a character", "half a character in a document", "deeply nested"],
)
def test_metadata_that_no_dataset_can_hold_is_bad_metadata(content):
    with pytest.raises(PageError) as raised:
        labels.read_metadata(JSONL, content)

    assert raised.value.reason == Reason.BAD_METADATA


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"], ids=ascii)
def test_only_a_line_feed_ends_a_line_of_json(separator):
    content = note("a.png", f"one{separator}two") + b"\r\n" + note("b.png", "three")

    notes = labels.read_metadata(JSONL, content)

    assert labels.label_of("landing/c/a.png", notes) == f"one{separator}two"
    assert labels.label_of("landing/c/b.png", notes) == "three"


@pytest.mark.parametrize(
    ("written", "landed"),
    [
        (COMPOSED, COMPOSED),
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        (DECOMPOSED, DECOMPOSED),
        ("pump\\a.png", "pump/a.png"),
        ("pump/a.png", "pump/a.png"),
    ],
    ids=ascii,
)
def test_a_name_meets_its_file_however_a_file_system_spells_it(written, landed):
    notes = labels.read_metadata(JSONL, note(written, "invoice"))

    assert labels.label_of(f"landing/c/{landed}", notes) == "invoice"


def test_a_name_with_accents_is_labelled_in_the_dataset(mill):
    drop(mill, f"c/{DECOMPOSED}", picture(prose(1)))
    drop(mill, "c/metadata.csv", f"file_name,label\n{COMPOSED},invoice\n".encode())

    run_pipeline(mill)

    assert labels_published(mill) == {DECOMPOSED: "invoice"}
    assert_books_are_closed(mill)


# --- the card ------------------------------------------------------------------------------------

ODD_LABELS = (
    "a\x7fb",
    "caf\x85e",
    "one\u2028two",
    "one\u2029two",
    "\ufeffmarked",
    "\x96dash",
    "smile \U0001f600",
    "no",
    "1.0",
    "null",
    "a: b # c",
    'quote " and \\',
)


def test_the_card_gives_every_label_back_whatever_is_in_it(mill):
    for number in range(len(ODD_LABELS)):
        drop(mill, f"c/{number:02}.png", picture(prose(number)))
    lines = [note(f"{number:02}.png", label) for number, label in enumerate(ODD_LABELS)]
    drop(mill, "c/metadata.jsonl", b"\n".join(lines))
    run_pipeline(mill)

    card = mill.store.read(layout.dataset("c") + "README.md").decode()
    head = yaml.safe_load(card.split("---\n")[1])
    features = {entry["name"]: entry.get("dtype") for entry in head["dataset_info"]["features"]}

    names = features["label"]["class_label"]["names"]
    assert list(labels_published(mill).values()) == list(ODD_LABELS)
    assert list(names) == [str(number) for number in range(len(ODD_LABELS))]
    assert list(names.values()) == sorted(ODD_LABELS)
