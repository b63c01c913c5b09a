import importlib
import sys
from collections import Counter
from pathlib import Path

import pytest

from scanmill import layout
from scanmill.models import ImageFate, PageFate, Reason

FOLDER = Path(__file__).parents[2] / "data_samples"


@pytest.fixture(scope="module")
def samples():
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("generate")
    finally:
        sys.path.remove(str(FOLDER))


def test_the_files_are_what_the_script_draws(samples):
    assert samples.differences() == []


def test_every_file_has_exactly_one_expectation(samples):
    expected = Counter(sample.path for sample in samples.SAMPLES)

    assert expected == Counter(samples.on_disk())


def test_there_is_enough_to_look_at(samples):
    labels = {sample.label for sample in samples.SAMPLES}
    hostile = [sample for sample in samples.SAMPLES if sample.is_hostile]

    assert len(samples.SAMPLES) >= 60
    assert len(labels) == 6
    assert len(hostile) >= 12


def test_every_class_has_pages_to_publish_and_something_hostile(samples):
    by_class = {sample.label: [0, 0] for sample in samples.SAMPLES}
    for sample in samples.SAMPLES:
        by_class[sample.label][sample.is_hostile] += 1

    assert all(good >= 6 and hostile >= 2 for good, hostile in by_class.values())


def test_the_folder_is_the_label_that_the_pipeline_reads(samples):
    keys = {f"{layout.LANDING}samples/{sample.path}": sample for sample in samples.SAMPLES}

    assert all(layout.folder_label(key) == sample.label for key, sample in keys.items())
    assert [sample.reason for key, sample in keys.items() if layout.ignored_by(key)] == [
        Reason.PLACEHOLDER
    ]


def test_fates_and_reasons_fit_together(samples):
    for sample in samples.SAMPLES:
        has_pages = sample.image_fate is ImageFate.DECODED
        assert bool(sample.pages) == has_pages, sample.path
        assert (sample.reason is None) == has_pages, sample.path
        for page in sample.pages:
            assert (page.reason is None) == (page.fate is PageFate.PUBLISHED), sample.path


def test_twins_come_in_pairs_of_good_pages_of_one_class(samples):
    groups = {}
    for sample in samples.SAMPLES:
        if sample.twin:
            groups.setdefault(sample.twin, []).append(sample)
    reasons = Counter(members[0].twin_reason for members in groups.values())

    assert all(len(members) == 2 for members in groups.values())
    assert all(len({member.label for member in members}) == 1 for members in groups.values())
    assert all(member.pages == (samples.PUBLISHED,) for pair in groups.values() for member in pair)
    assert reasons[Reason.NEAR_TEXT] >= 2
    assert reasons[Reason.SAME_TEXT] >= 2


def test_the_books_of_the_expectations_balance(samples):
    books = samples.totals()
    images = sum(count for name, count in books.items() if name.startswith("image "))
    pages = sum(count for name, count in books.items() if name.startswith("page "))

    assert images == len(samples.SAMPLES)
    assert pages == sum(sample.page_count for sample in samples.SAMPLES)


def test_a_foreign_file_or_another_byte_is_noticed(samples, tmp_path, monkeypatch):
    rendered = {"certificate/a.png": b"a", "certificate/b.png": b"b", "README.md": b"r"}
    (tmp_path / "certificate").mkdir()
    (tmp_path / "certificate/a.png").write_bytes(b"other")
    (tmp_path / "certificate/stray.png").write_bytes(b"")
    (tmp_path / "README.md").write_bytes(b"r")
    monkeypatch.setattr(samples, "HERE", tmp_path)
    monkeypatch.setattr(samples, "render", lambda: rendered)

    assert samples.differences() == [
        "not in SAMPLES: certificate/stray.png",
        "differs: certificate/a.png",
        "missing: certificate/b.png",
    ]
    assert samples.main(["--check"]) == 1
