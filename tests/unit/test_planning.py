"""Planning: every version that lands is in exactly one plan, whoever plans, however often."""

import dataclasses
from collections import Counter

import pytest

from drivers import (
    Fuse,
    Killed,
    delete,
    drop,
    forget,
    fragile,
    image_counts,
    images_at,
    read_batch,
    rows_of,
    state,
)
from engines.scripted import ScriptedEngine, picture, prose
from scanmill import layout
from scanmill.errors import FatalError
from scanmill.ledger import tables as t
from scanmill.models import BatchState, ImageFate, Reason
from scanmill.steps import planning, recognizing
from scanmill.store import Store

ON_BOTH_STORES = True


def plans(mill):
    """Return the rows of every plan in the bucket, by batch."""
    keys = [key for key, _ in mill.store.list_keys("batches/") if key.endswith("plan.parquet")]
    return {key.split("/")[1]: mill.store.read_table(key).to_pylist() for key in sorted(keys)}


def assert_nothing_is_planned_twice(mill):
    ids = [row["image_id"] for rows in plans(mill).values() for row in rows]

    assert max(Counter(ids).values()) == 1
    assert {row["image_id"] for row in rows_of(mill, t.IMAGES)} == set(ids)


# --- what becomes a batch ------------------------------------------------------------------------


def test_an_empty_bucket_gives_no_batch(mill):
    assert planning.plan_batches(mill) == []
    assert planning.batches_to_announce(mill) == []


def test_what_landed_is_planned_once(mill):
    drop(mill, "c/a.png", b"1")

    assert planning.plan_batches(mill) == ["c-000001"]
    assert planning.plan_batches(mill) == []
    assert image_counts(mill) == {"landed": 1, "pending": 1}


def test_a_large_drop_is_cut_into_batches_and_these_into_slices(new_mill):
    mill = new_mill(batch_images=5, slice_images=2)
    for number in range(12):
        drop(mill, f"c/{number:02}.png", b"1")

    planned = planning.plan_batches(mill)

    assert planned == ["c-000001", "c-000002", "c-000003"]
    assert [len(rows) for rows in plans(mill).values()] == [5, 5, 2]
    assert [row["slice"] for row in plans(mill)["c-000001"]] == [0, 0, 1, 1, 2]
    assert recognizing.list_slices(mill, "c-000003") == [0]
    assert_nothing_is_planned_twice(mill)


def test_a_slice_holds_so_many_bytes_and_at_least_one_image():
    sizes = [200, None, 400, 100, 900, 600, 300, 100]
    sizes = [size and size * 1_000_000 for size in sizes]

    assert list(planning.slice_numbers(sizes, 2)) == [0, None, 1, 1, 2, 3, 4, 4]


@pytest.mark.parametrize(("workers", "expected"), [(1, 4), (2, 8), (9, 20)])
def test_a_slice_takes_about_as_long_as_it_should(new_mill, workers, expected):
    mill = new_mill(slice_images=20, slice_seconds=20, ocr_workers=workers)
    drop(mill, "c/a.png", picture(prose(0)))
    drop(mill, "c/b.png", picture(prose(1)))
    drop(mill, "c/copy.png", picture(prose(1)))
    (first,) = planning.plan_batches(mill)
    read_batch(mill, first, SlowEngine())
    for number in range(40):
        drop(mill, f"c/{number}.png", picture(prose(number)))

    (second,) = planning.plan_batches(mill)

    assert Counter(row["slice"] for row in plans(mill)[second])[0] == expected


class SlowEngine(ScriptedEngine):
    """Says that a page takes 5 s."""

    def _read(self, pgm):
        return dataclasses.replace(super()._read(pgm), seconds=5.0)


def test_what_needs_no_reading_takes_no_place_in_a_slice(new_mill):
    mill = new_mill(slice_images=1)
    for name in (".keep", "a.png", "b.png"):
        drop(mill, f"c/{name}", b"1")
    planning.plan_batches(mill)

    slices = {row["key"].rpartition("/")[2]: row["slice"] for row in plans(mill)["c-000001"]}

    assert slices == {".keep": None, "a.png": 0, "b.png": 1}


def test_each_collection_has_batches_of_its_own(mill):
    for key in ("one/a.png", "two/a.png", "two/b.png"):
        drop(mill, key, b"1")

    assert planning.plan_batches(mill) == ["one-000001", "two-000001"]
    assert [len(rows) for rows in plans(mill).values()] == [1, 2]


def test_collections_with_odd_names_do_not_mix(mill, aws, seaweedfs):
    folders = ["a b", "a_b?", "a b ", "{{ a }}", "ä", "a\nb", "<b>", "a'b\"c", "%2e%2e"]
    if aws != seaweedfs:  # which refuses such a key
        folders.append("..")
    for folder in folders:
        drop(mill, f"{folder}/x.png", b"1")

    planned = planning.plan_batches(mill)

    assert len(set(planned)) == len(folders)
    assert {rows[0]["key"] for rows in plans(mill).values()} == {
        f"landing/{folder}/x.png" for folder in folders
    }
    assert planning.plan_batches(mill) == []


def test_a_file_beside_the_collections_is_quarantined_as_that(mill):
    drop(mill, "stray.png", picture(prose(1)))
    (batch,) = planning.plan_batches(mill)

    read_batch(mill, batch)

    (image,) = images_at(mill, "stray.png")
    assert (image["fate"], image["reason"]) == (ImageFate.QUARANTINED, Reason.NO_COLLECTION)


def test_a_placeholder_is_ignored_and_its_batch_settled(mill):
    drop(mill, "c/.keep", b"")
    drop(mill, "c/folder/", b"")

    (batch,) = planning.plan_batches(mill)

    assert image_counts(mill) == {"landed": 2, "ignored": 2}
    assert state(mill, batch) == BatchState.SETTLED
    assert planning.batches_to_announce(mill) == []


def test_a_doorbell_lists_only_the_folders_it_names(mill):
    drop(mill, "one/a.png", b"1")
    drop(mill, "two/a.png", b"1")

    assert planning.plan_batches(mill, folders=["landing/two/"]) == ["two-000001"]
    assert planning.plan_batches(mill) == ["one-000001"]


def test_a_batch_is_announced_again_until_its_consumer_starts(new_mill):
    mill = new_mill(announce_again_seconds=0, stalled_seconds=0)
    drop(mill, "c/a.png", b"1")
    (batch,) = planning.plan_batches(mill)

    planning.note_announced(mill, [batch])

    assert planning.batches_to_announce(mill) == [batch]


def test_a_batch_that_was_just_announced_is_left_in_peace(mill):
    drop(mill, "c/a.png", b"1")
    (batch,) = planning.plan_batches(mill)
    assert planning.batches_to_announce(mill) == [batch]

    planning.note_announced(mill, [batch])

    assert planning.batches_to_announce(mill) == []


# --- versions ------------------------------------------------------------------------------------


def fates_at(mill, key):
    return [(row["fate"], row["reason"]) for row in images_at(mill, key)]


def test_a_version_overwritten_before_it_was_planned_is_superseded_by_the_next(mill):
    versions = [drop(mill, "c/a.png", content) for content in (b"1", b"2", b"3")]
    planning.plan_batches(mill)

    images = {row["version"]: row for row in images_at(mill, "c/a.png")}
    first, second, third = (images[version] for version in versions)

    assert [row["fate"] for row in (first, second, third)] == [
        "superseded",
        "superseded",
        "pending",
    ]
    assert first["reason"] == second["reason"] == Reason.OVERWRITTEN
    assert third["successor_id"] is None
    assert {first["successor_id"], second["successor_id"]} <= {
        row["image_id"] for row in images.values()
    }
    assert second["successor_id"] == third["image_id"]
    assert image_counts(mill) == {"landed": 3, "superseded": 2, "pending": 1}


def test_an_object_deleted_before_it_was_planned_is_superseded_as_deleted(mill):
    drop(mill, "c/a.png", b"1")
    delete(mill, "landing/c/a.png")
    (batch,) = planning.plan_batches(mill)

    assert fates_at(mill, "c/a.png") == [(ImageFate.SUPERSEDED, Reason.DELETED)]
    assert state(mill, batch) == BatchState.SETTLED


def test_an_object_that_comes_back_after_a_deletion_is_read(mill, aws, seaweedfs):
    drop(mill, "c/a.png", b"1")
    delete(mill, "landing/c/a.png")
    drop(mill, "c/a.png", b"1")
    planning.plan_batches(mill)

    (first, reason), second = fates_at(mill, "c/a.png")
    assert (first, second) == (ImageFate.SUPERSEDED, (ImageFate.PENDING, None))
    # A store that dates to the second cannot say what came between.
    assert reason == Reason.DELETED or (aws == seaweedfs and reason == Reason.OVERWRITTEN)


def test_the_same_bytes_uploaded_again_are_another_image(mill):
    for content in (b"A", b"B", b"A"):
        drop(mill, "c/a.png", content)
        planning.plan_batches(mill)

    assert len(images_at(mill, "c/a.png")) == 3
    assert_nothing_is_planned_twice(mill)


def test_a_version_deleted_for_good_after_its_plan_is_superseded_when_it_is_read(mill):
    version = drop(mill, "c/a.png", b"1")
    (batch,) = planning.plan_batches(mill)
    delete(mill, "landing/c/a.png", version)

    read_batch(mill, batch)

    assert fates_at(mill, "c/a.png") == [(ImageFate.SUPERSEDED, Reason.DELETED)]


# --- a bucket without versions -------------------------------------------------------------------


def test_a_bucket_without_versions_is_refused(new_mill):
    mill = new_mill(is_versioned=False)
    drop(mill, "c/a.png", b"1")

    with pytest.raises(FatalError, match="SCANMILL_REQUIRE_VERSIONING"):
        planning.plan_batches(mill)

    assert plans(mill) == {}


@pytest.fixture
def flat_mill(new_mill):
    """A mill that was told to do without versions."""
    return new_mill(is_versioned=False, require_versioning=False)


def test_without_versions_every_other_content_is_a_new_generation(flat_mill):
    for content in (b"A", b"B", b"A"):
        drop(flat_mill, "c/a.png", content)
        planning.plan_batches(flat_mill)

    assert len({row["version"] for row in images_at(flat_mill, "c/a.png")}) == 3
    assert_nothing_is_planned_twice(flat_mill)


def test_without_versions_an_object_that_stays_is_planned_once(flat_mill):
    drop(flat_mill, "c/a.png", b"A")
    planning.plan_batches(flat_mill)
    drop(flat_mill, "c/a.png", b"A")

    assert planning.plan_batches(flat_mill) == []


def test_without_versions_an_object_overwritten_after_its_plan_is_not_read_as_the_old_one(
    flat_mill,
):
    drop(flat_mill, "c/a.png", picture(prose(1)))
    (old,) = planning.plan_batches(flat_mill)
    drop(flat_mill, "c/a.png", picture(prose(2)))

    read_batch(flat_mill, old)
    (new,) = planning.plan_batches(flat_mill)
    read_batch(flat_mill, new)

    assert fates_at(flat_mill, "c/a.png") == [
        (ImageFate.SUPERSEDED, Reason.OVERWRITTEN),
        (ImageFate.DECODED, None),
    ]


# --- several planners, and sudden ends -----------------------------------------------------------


class RivalStore(Store):
    """A store in which somebody else does something just before our first plan is written."""

    def __init__(self, bucket, rival):
        super().__init__(bucket)
        self._rival = rival

    def create(self, key, body, *, content_type=""):
        rival, self._rival = self._rival, lambda: None
        rival()
        return super().create(key, body, content_type=content_type)


def with_rival(mill, rival):
    return dataclasses.replace(mill, store=RivalStore(mill.store.bucket, rival))


def test_two_planners_of_one_sequence_plan_nothing_twice(new_mill):
    mill = new_mill(batch_images=3)
    for number in range(5):
        drop(mill, f"c/{number}.png", b"1")
    theirs = []

    ours = planning.plan_batches(
        with_rival(mill, lambda: theirs.extend(planning.plan_batches(mill)))
    )

    assert theirs == ["c-000001", "c-000002"]
    assert ours == []
    assert_nothing_is_planned_twice(mill)


def test_a_planner_that_lost_the_race_still_plans_what_the_winner_did_not_see(mill):
    drop(mill, "c/a.png", b"1")
    drop(mill, "other/b.png", b"1")

    def rival():
        planning.plan_batches(mill, folders=["landing/c/"])

    assert planning.plan_batches(with_rival(mill, rival)) == ["other-000001"]
    assert_nothing_is_planned_twice(mill)


def test_a_rival_that_was_killed_before_its_books_were_written_is_adopted(mill):
    drop(mill, "c/a.png", b"1")

    def rival():
        with pytest.raises(Killed):
            planning.plan_batches(fragile(mill, Fuse(2)))

    assert planning.plan_batches(with_rival(mill, rival)) == []
    assert planning.batches_to_announce(mill) == ["c-000001"]
    assert_nothing_is_planned_twice(mill)


def test_a_plan_whose_books_were_never_written_is_adopted_by_the_next_run(mill):
    drop(mill, "c/a.png", b"1")
    with pytest.raises(Killed):
        planning.plan_batches(fragile(mill, Fuse(2)))
    assert image_counts(mill) == {}
    drop(mill, "c/b.png", b"1")

    assert planning.plan_batches(mill) == ["c-000002"]

    assert planning.batches_to_announce(mill) == ["c-000001", "c-000002"]
    assert_nothing_is_planned_twice(mill)


def test_a_kill_before_the_plan_leaves_nothing_behind(mill):
    drop(mill, "c/a.png", b"1")

    with pytest.raises(Killed):
        planning.plan_batches(fragile(mill, Fuse(1)))

    assert plans(mill) == {}
    assert planning.plan_batches(mill) == ["c-000001"]


def test_an_image_whose_row_was_lost_is_not_planned_a_second_time(mill):
    drop(mill, "c/a.png", b"1")
    drop(mill, "c/b.png", b"1")
    planning.plan_batches(mill)
    forget(mill, t.IMAGES, t.IMAGES.c.key == layout.LANDING + "c/a.png")

    assert planning.plan_batches(mill) == []

    assert image_counts(mill) == {"landed": 2, "pending": 2}
    assert_nothing_is_planned_twice(mill)
