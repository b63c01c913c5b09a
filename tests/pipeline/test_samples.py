"""Every sample ends as its author expects, however the drop is cut into batches."""

import importlib
import random
import sys
from pathlib import Path

import pytest

from drivers import assert_books_are_closed, drop, images_at, pages_at, rows_published, run_pipeline
from engines.scripted import ReplayingEngine
from scanmill.models import PageFate
from scanmill.ocr import choose_engine
from scanmill.settings import Settings

FOLDER = Path(__file__).parents[2] / "data_samples"
COLLECTION = "samples"


@pytest.fixture(scope="module")
def samples():
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("generate").SAMPLES
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def engine():
    """The real engine, which reads each page once for all tests of this module."""
    return ReplayingEngine(choose_engine(Settings(ocr_workers=2)))


@pytest.fixture(scope="module")
def uploaded_in(samples, engine):
    """Return a function that drops the samples in so many shares and runs the pipeline on each."""

    def run(mill, cuts):
        shuffled = random.Random(cuts).sample(samples, len(samples))
        for number in range(cuts):
            for sample in shuffled[number::cuts]:
                drop(mill, f"{COLLECTION}/{sample.path}", (FOLDER / sample.path).read_bytes())
            run_pipeline(mill, engine)

    return run


def fates(mill, sample):
    """Return what became of a sample: the image's fate and reason, and those of its pages."""
    key = f"{COLLECTION}/{sample.path}"
    (image,) = images_at(mill, key)
    pages = pages_at(mill, key)
    assert image["page_count"] == len(pages), sample.path
    return (image["fate"], image["reason"]), [(page["fate"], page["reason"]) for page in pages]


def expected(sample):
    pages = [(page.fate, page.reason) for page in sample.pages]
    return (sample.image_fate, sample.reason), pages


@pytest.mark.parametrize("cuts", [1, 12])
def test_each_sample_meets_its_fate(new_mill, samples, uploaded_in, cuts):
    mill = new_mill(ocr_workers=2)

    uploaded_in(mill, cuts)

    singles = [sample for sample in samples if not sample.twin]
    assert {s.path: fates(mill, s) for s in singles} == {s.path: expected(s) for s in singles}
    assert_one_of_each_pair_is_published(mill, samples)
    assert_the_dataset_holds_what_was_published(mill, samples)
    assert_books_are_closed(mill)


def assert_one_of_each_pair_is_published(mill, samples):
    pairs = {}
    for sample in samples:
        if sample.twin:
            pairs.setdefault(sample.twin, []).append(sample)
    for pair in pairs.values():
        pages = [page for s in pair for page in pages_at(mill, f"{COLLECTION}/{s.path}")]
        pages.sort(key=lambda page: page["fate"] != PageFate.PUBLISHED)
        original, copy = pages
        names = [sample.path for sample in pair]

        assert original["fate"] == PageFate.PUBLISHED, names
        assert (copy["fate"], copy["reason"]) == (PageFate.DUPLICATE, pair[0].twin_reason), names
        assert copy["other_page_id"] == original["page_id"], names


def assert_the_dataset_holds_what_was_published(mill, samples):
    rows = rows_published(mill, COLLECTION)
    labels = {f"landing/{COLLECTION}/{sample.path}": sample.label for sample in samples}
    twins = {sample.twin for sample in samples if sample.twin}
    pages = sum(page.fate == PageFate.PUBLISHED for s in samples for page in s.pages)

    assert len(rows) == pages - len(twins)
    assert all(row["label_name"] == labels[row["source_key"]] for row in rows)
    assert all(row["text"] for row in rows)
