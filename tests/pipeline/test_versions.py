"""Scans that are overwritten: the newer version takes the place of the older one."""

import pytest

from drivers import (
    assert_books_are_closed,
    drop,
    finish_batch,
    images_at,
    pages_at,
    run_pipeline,
    texts_published,
)
from engines.scripted import blank, picture, prose, volume
from one_of_each import BLANK, BOUND, COPY, GOOD, TORN
from scanmill import layout
from scanmill.models import ImageFate, PageFate, Reason
from scanmill.steps import planning
from scanmill.steps.tracing import trace

pytestmark = pytest.mark.usefixtures("open_gates")


def test_an_overwritten_scan_changes_places_with_its_newer_version(settled):
    old = images_at(settled, BOUND)[0]["image_id"]
    drop(settled, BOUND, volume(prose(6), prose(7)))
    run_pipeline(settled)

    texts = texts_published(settled, "c")
    story = trace(settled, BOUND)
    before, after = story["versions"]

    assert texts[BOUND] == [prose(6), prose(7)]
    assert (before["image_id"], before["fate"], before["reason"]) == (
        old,
        ImageFate.SUPERSEDED,
        Reason.OVERWRITTEN,
    )
    assert before["successor_id"] == after["image_id"]
    assert {page["fate"] for page in before["pages"]} == {PageFate.SUPERSEDED}
    assert {page["fate"] for page in after["pages"]} == {PageFate.PUBLISHED}
    assert trace(settled, before["pages"][0]["page_id"])["key"] == layout.LANDING + BOUND
    assert trace(settled, after["pages"][0]["page_id"])["key"] == layout.LANDING + BOUND
    assert_books_are_closed(settled)


def test_a_scan_overwritten_by_something_broken_keeps_its_row(settled):
    drop(settled, GOOD, b"broken")
    run_pipeline(settled)

    old, new = images_at(settled, GOOD)
    assert texts_published(settled, "c")[GOOD] == [prose(1)]
    assert (old["fate"], new["fate"]) == (ImageFate.DECODED, ImageFate.QUARANTINED)
    assert_books_are_closed(settled)


def test_a_scan_overwritten_by_a_blank_page_leaves_the_dataset(settled):
    drop(settled, BOUND, blank())
    drop(settled, "c/x/another.png", picture(prose(8)))
    run_pipeline(settled)

    old, new = images_at(settled, BOUND)
    assert BOUND not in texts_published(settled, "c")
    assert (old["fate"], new["fate"]) == (ImageFate.SUPERSEDED, ImageFate.DECODED)
    assert_books_are_closed(settled)


def test_when_an_original_is_overwritten_its_copy_takes_its_place(settled):
    drop(settled, GOOD, picture(prose(9)))
    run_pipeline(settled)

    texts = texts_published(settled, "c")
    assert (texts[GOOD], texts[COPY]) == ([prose(9)], [prose(1)])
    assert_books_are_closed(settled)


def test_a_copy_that_was_overwritten_never_takes_the_place_of_its_original(settled):
    drop(settled, COPY, picture(prose(10)))
    run_pipeline(settled)
    drop(settled, GOOD, picture(prose(11)))
    run_pipeline(settled)

    texts = texts_published(settled, "c")
    assert (texts[GOOD], texts[COPY]) == ([prose(11)], [prose(10)])
    assert_books_are_closed(settled)


@pytest.mark.parametrize("key", [COPY, BLANK])
def test_an_image_without_a_row_is_superseded_as_well_when_it_is_overwritten(settled, key):
    drop(settled, key, picture(prose(12)))
    run_pipeline(settled)

    old, new = images_at(settled, key)
    assert (old["fate"], old["successor_id"]) == (ImageFate.SUPERSEDED, new["image_id"])
    assert [page["fate"] for page in pages_at(settled, key)] == ["superseded", "published"]
    assert_books_are_closed(settled)


def test_a_broken_scan_that_is_uploaded_again_whole_is_published(settled):
    drop(settled, TORN, picture(prose(2)))
    run_pipeline(settled)

    assert texts_published(settled, "c")[TORN] == [prose(2)]
    assert_books_are_closed(settled)


def test_versions_that_are_built_out_of_order_end_with_the_newer_one(mill):
    drop(mill, GOOD, picture(prose(1)))
    (old,) = planning.plan_batches(mill)
    drop(mill, GOOD, picture(prose(2)))
    (new,) = planning.plan_batches(mill)

    finish_batch(mill, new)
    finish_batch(mill, old)

    assert texts_published(mill, "c") == {GOOD: [prose(2)]}
    assert [page["fate"] for page in pages_at(mill, GOOD)] == ["superseded", "published"]
    assert_books_are_closed(mill)
