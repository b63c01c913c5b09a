"""The law of accounts: losses are measured and named, ends are sudden, and nothing is lost."""

import concurrent.futures
import dataclasses
import io
import itertools
import threading

import pyarrow.parquet as pq
import pytest

from drivers import (
    ENGINE,
    Fuse,
    Killed,
    accounts,
    assert_books_are_closed,
    delete,
    delete_for_good,
    drop,
    finish_batch,
    forget,
    fragile,
    image_counts,
    images_at,
    objects,
    page_counts,
    pages_at,
    read_batch,
    rows_of,
    rows_published,
    run_pipeline,
    s3,
    state,
    tamper,
    texts_published,
)
from engines.scripted import BrokenEngine, blank, picture, prose, volume
from scanmill import layout
from scanmill.dataset import manifests
from scanmill.errors import FatalError, ObjectDeniedError, RetryableError
from scanmill.ledger import tables as t
from scanmill.models import BatchState, ImageFate, PageFate, Reason
from scanmill.steps import building, judging, planning, recognizing
from scanmill.steps.auditing import audit
from scanmill.steps.healing import heal
from scanmill.steps.receipting import is_balanced, receipt
from scanmill.steps.tracing import trace
from scanmill.store import Store, parquet_bytes

BATCH = "c-000001"
GOOD, COPY, TORN, BLANK, BOUND = (
    f"c/x/{name}" for name in ("good.png", "other name.png", "torn.png", "blank.png", "bound.tif")
)


pytestmark = pytest.mark.usefixtures("open_gates")


def drop_one_of_each(mill):
    """Upload a page to publish, its copy, what cannot be read, a blank page, and two in one."""
    drop(mill, GOOD, picture(prose(1)))
    drop(mill, COPY, picture(prose(1)))
    drop(mill, TORN, picture(prose(2))[:100])
    drop(mill, BLANK, blank())
    drop(mill, BOUND, volume(prose(3), prose(4)))


@pytest.fixture
def settled(mill):
    """A mill that has published one of each."""
    drop_one_of_each(mill)
    run_pipeline(mill)
    assert page_counts(mill) == {"found": 5, "published": 3, "duplicate": 1, "rejected": 1}
    return mill


def kinds(findings):
    return {(finding.kind, finding.subject, finding.is_lost) for finding in findings}


def assert_named(mill, kind, subject, *, is_lost=True):
    """The audit names it, and so does the receipt."""
    findings = audit(mill)
    sums = receipt(mill)

    assert (kind, subject, is_lost) in kinds(findings)
    assert not is_balanced(sums)
    assert sums["lost"] == sum(finding.is_lost for finding in findings)
    assert subject in {finding["subject"] for finding in sums["findings"]}


# --- what is missing is measured, and named ------------------------------------------------------


def test_a_clean_run_balances(settled):
    assert image_counts(settled) == {"landed": 5, "decoded": 4, "quarantined": 1}
    assert_books_are_closed(settled)


def test_an_image_missing_from_the_ledger_is_named_and_healed(settled):
    before = accounts(settled)
    (image,) = images_at(settled, BOUND)
    forget(settled, t.PAGES, t.PAGES.c.image_id == image["image_id"])
    forget(settled, t.IMAGES, t.IMAGES.c.image_id == image["image_id"])

    assert_named(settled, "no_ledger_row", layout.LANDING + BOUND)

    assert heal(settled) > 0
    assert accounts(settled) == before
    assert_books_are_closed(settled)


def test_a_page_missing_from_the_ledger_is_named_and_healed(settled):
    before = accounts(settled)
    (page,) = pages_at(settled, GOOD)
    forget(settled, t.PAGES, t.PAGES.c.page_id == page["page_id"])

    assert_named(settled, "no_page_row", layout.LANDING + GOOD)

    heal(settled)
    assert accounts(settled) == before
    assert_books_are_closed(settled)


def test_a_part_missing_from_the_ledger_is_named_and_healed(settled):
    before = accounts(settled)
    forget(settled, t.PARTS, t.PARTS.c.batch_id == BATCH)

    assert_named(settled, "no_part_row", layout.LANDING + GOOD)

    heal(settled)
    assert accounts(settled) == before
    assert_books_are_closed(settled)


def without_rows_of(mill, key):
    """Write the batch's part again without the rows of one image."""
    address = layout.part(BATCH, 0)
    part = mill.store.read_table(address)
    keep = [row != layout.LANDING + key for row in part["source_key"].to_pylist()]
    tamper(mill, address, parquet_bytes(part.filter(keep)))


@pytest.mark.parametrize("key", [GOOD, COPY, BLANK, BOUND, TORN])
def test_a_row_missing_from_a_part_is_named_and_put_back(settled, key):
    without_rows_of(settled, key)

    assert_named(settled, "no_part_row", layout.LANDING + key)

    heal(settled)

    assert audit(settled) == []


def test_what_cannot_be_healed_is_told_once(settled):
    delete_for_good(settled, layout.part(BATCH, 0))
    audit(settled)

    for _ in range(2):
        with pytest.raises(FatalError):
            heal(settled)

    assert len(rows_of(settled, t.OUTBOX)) == 1
    assert layout.part(BATCH, 0) in rows_of(settled, t.OUTBOX)[0]["text"]


def test_a_missing_part_is_named(settled):
    delete(settled, layout.part(BATCH, 0))

    assert_named(settled, "no_part", layout.part(BATCH, 0))


def test_a_missing_plan_is_named(settled):
    delete(settled, layout.plan(BATCH))

    assert_named(settled, "no_plan", layout.plan(BATCH))


@pytest.mark.parametrize(("name", "is_lost"), [("original", True), ("attempts/1.json", False)])
def test_a_missing_quarantine_object_is_named(settled, name, is_lost):
    (image,) = images_at(settled, TORN)
    folder = layout.quarantine("c", Reason.CORRUPT_IMAGE, image["image_id"])
    delete(settled, folder + name)

    assert_named(settled, "no_quarantine_object", layout.LANDING + TORN, is_lost=is_lost)


def the_shard(mill):
    manifest, _, _ = manifests.read_latest(mill.store, "c")
    return layout.dataset("c") + manifest.shards[0].path


def test_a_missing_shard_is_named(settled):
    delete(settled, the_shard(settled))

    assert_named(settled, "no_shard", the_shard(settled))


def test_a_row_missing_from_a_shard_is_named(settled):
    shard = the_shard(settled)
    rows = pq.read_table(io.BytesIO(settled.store.read(shard)))
    tamper(settled, shard, parquet_bytes(rows.slice(1)))

    assert_named(settled, "altered_shard", shard)


def test_a_shard_with_other_bytes_is_named_even_with_the_same_rows(settled):
    shard = the_shard(settled)
    rows = pq.read_table(io.BytesIO(settled.store.read(shard)))
    texts = rows.column_names.index("text")
    tamper(settled, shard, parquet_bytes(rows.set_column(texts, "text", [["other"] * len(rows)])))

    assert_named(settled, "altered_shard", shard)


def test_a_shard_that_is_no_table_any_more_is_named(settled):
    shard = the_shard(settled)
    tamper(settled, shard, b"rotten")

    assert_named(settled, "altered_shard", shard)


@pytest.mark.parametrize("name", [layout.LATEST, None], ids=["LATEST", "manifest"])
def test_a_missing_pointer_or_manifest_is_named(settled, name):
    _, path, _ = manifests.read_latest(settled.store, "c")
    delete(settled, layout.dataset("c") + (name or path))

    assert_named(settled, "no_snapshot", layout.dataset("c"))


def test_a_pointer_put_back_to_an_older_snapshot_is_named(settled):
    old = settled.store.read(layout.dataset("c") + layout.LATEST)
    drop(settled, "c/x/more.png", picture(prose(5)))
    run_pipeline(settled)
    tamper(settled, layout.dataset("c") + layout.LATEST, old)

    assert not is_balanced(receipt(settled))


def test_an_upload_that_nobody_plans_is_lost_when_it_is_old(new_mill):
    mill = new_mill(pending_alert_seconds=0)
    drop(mill, GOOD, picture(prose(1)))

    assert_named(mill, "never_planned", layout.LANDING + GOOD)
    assert receipt(mill)["images"] == receipt(mill)["images"] | {"landed": 1, "pending": 1}


def test_an_image_that_waits_to_be_read_is_no_fault_of_the_books(new_mill):
    mill = new_mill(pending_alert_seconds=0)
    drop(mill, GOOD, picture(prose(1)))
    planning.plan_batches(mill)

    assert audit(mill) == []
    assert is_balanced(receipt(mill))


def test_an_image_deleted_after_it_was_read_keeps_its_row(settled):
    (image,) = images_at(settled, GOOD)
    delete(settled, layout.LANDING + GOOD)
    delete(settled, layout.LANDING + GOOD, image["version"])
    run_pipeline(settled)

    assert pages_at(settled, GOOD)[0]["fate"] == PageFate.PUBLISHED
    assert_books_are_closed(settled)


def test_a_missing_card_is_written_again(settled):
    address = layout.dataset("c") + "README.md"
    card = settled.store.read(address)
    delete(settled, address)

    heal(settled)

    assert settled.store.read(address) == card


# --- in the middle of a batch nothing is off -----------------------------------------------------


def test_nothing_is_off_at_any_moment_of_a_batch(new_mill):
    mill = new_mill(slice_images=3)
    moments = []

    def look(name):
        sums = receipt(mill)
        moments.append((name, audit(mill), sums["imbalances"], sums["images"]["landed"]))

    look("empty")
    drop_one_of_each(mill)
    look("uploaded")
    (batch,) = planning.plan_batches(mill)
    look("planned")
    first, second = recognizing.list_slices(mill, batch)
    recognizing.recognize_slice(mill, ENGINE, batch_id=batch, slice_number=second)
    look("one slice of two")
    recognizing.recognize_slice(mill, ENGINE, batch_id=batch, slice_number=first)
    look("read")
    judging.judge_batch(mill, batch)
    look("judged")
    building.build_snapshot(mill, batch)
    look("built")

    landed = [0, 5, 5, 5, 5, 5, 5]
    assert [moment[1:] for moment in moments] == [([], [], count) for count in landed]


def test_a_judge_refuses_a_batch_of_which_a_slice_is_missing(new_mill):
    mill = new_mill(slice_images=3)
    drop_one_of_each(mill)
    (batch,) = planning.plan_batches(mill)
    recognizing.recognize_slice(mill, ENGINE, batch_id=batch, slice_number=1)

    with pytest.raises(FatalError, match=r"\[0\]"):
        judging.judge_batch(mill, batch)

    assert page_counts(mill)["pending"] == page_counts(mill)["found"]


# --- newer versions ------------------------------------------------------------------------------


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


# --- once more changes nothing -------------------------------------------------------------------

STEPS = {
    "plan": planning.plan_batches,
    "read": lambda mill: read_every_slice(mill, BATCH),
    "judge": lambda mill: judging.judge_batch(mill, BATCH),
    "build": lambda mill: building.build_snapshot(mill, BATCH),
}
"""The steps of one batch, in running order."""


def read_every_slice(mill, batch_id):
    """Read all slices, also those that were read."""
    (batch,) = rows_of(mill, t.BATCHES)
    for number in range(batch["slice_count"]):
        recognizing.recognize_slice(mill, ENGINE, batch_id=batch_id, slice_number=number)


def run_steps(mill, *, until=None):
    for name, step in STEPS.items():
        if name == until:
            return
        step(mill)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_runs_twice_changes_nothing(new_mill, name):
    mill = new_mill(slice_images=3)
    drop_one_of_each(mill)
    run_steps(mill, until=name)
    STEPS[name](mill)
    before = accounts(mill), objects(mill)

    STEPS[name](mill)

    assert (accounts(mill), objects(mill)) == before


def test_all_steps_may_run_again_after_the_end(new_mill):
    mill = new_mill(slice_images=3)
    drop_one_of_each(mill)
    run_steps(mill)
    before = accounts(mill), objects(mill)

    run_steps(mill)

    assert (accounts(mill), objects(mill)) == before


# --- a sudden end between any two writes ---------------------------------------------------------


def killed_at_every_write(new_mill, *, prepare, step, finish, slice_images=200):
    """Yield a mill for every write of a step: killed there, looked at, run again, and finished.

    The last one was not killed at all.
    """
    for position in itertools.count(1):
        mill = new_mill(slice_images=slice_images)
        prepare(mill)
        try:
            step(fragile(mill, Fuse(position)))
        except Killed:
            assert audit(mill) == [], f"killed at write {position}"
            step(mill)
            finish(mill)
            yield position, mill
        else:
            assert position > 1
            finish(mill)
            yield 0, mill
            return


def assert_all_end_alike(mills):
    """Every mill holds the same accounts and the same dataset as the one without a kill."""
    ends = {}
    for position, mill in mills:
        assert_books_are_closed(mill)
        ends[position] = accounts(mill), rows_published(mill, "c")
    untouched = ends.pop(0)

    assert [position for position, end in ends.items() if end != untouched] == []


@pytest.mark.parametrize("name", STEPS)
def test_a_kill_at_any_write_of_a_step_is_as_if_it_had_not_been(new_mill, name):
    def prepare(mill):
        drop_one_of_each(mill)
        run_steps(mill, until=name)

    mills = killed_at_every_write(
        new_mill,
        prepare=prepare,
        step=STEPS[name],
        finish=run_steps,
        slice_images=3 if name == "read" else 200,
    )

    assert_all_end_alike(mills)


def test_a_kill_at_any_write_of_a_build_that_replaces_rows_is_as_if_it_had_not_been(new_mill):
    def prepare(mill):
        drop_one_of_each(mill)
        run_pipeline(mill)
        drop(mill, GOOD, picture(prose(9)))
        drop(mill, BOUND, volume(prose(3), prose(7)))
        (batch,) = planning.plan_batches(mill)
        read_batch(mill, batch)
        judging.judge_batch(mill, batch)

    mills = killed_at_every_write(
        new_mill,
        prepare=prepare,
        step=lambda mill: building.build_snapshot(mill, "c-000002"),
        finish=lambda mill: None,
    )

    assert_all_end_alike(mills)


# --- several builders ----------------------------------------------------------------------------


class RivalStore(Store):
    """A store in which somebody else does something just before our first swap."""

    def __init__(self, bucket, rival):
        super().__init__(bucket)
        self._rival = rival

    def swap(self, key, body, *, etag):
        rival, self._rival = self._rival, lambda: None
        rival()
        super().swap(key, body, etag=etag)


@pytest.fixture
def at_once(monkeypatch):
    """Let a builder that lost a swap build again at once."""
    monkeypatch.setattr(building.build_snapshot.retry, "sleep", lambda _: None)


def judged_batches(mill, *drops):
    """Plan each drop as a batch, read and judge them all, and build none."""
    batches = []
    for files in drops:
        for key, content in files.items():
            drop(mill, key, content)
        batches += planning.plan_batches(mill)
    for batch in batches:
        read_batch(mill, batch)
        judging.judge_batch(mill, batch)
    return batches


def test_of_two_builders_the_one_that_loses_the_swap_builds_on_the_winner(mill, at_once):
    ours, theirs = judged_batches(
        mill,
        {"c/x/a.png": picture(prose(1)), "c/x/b.png": picture(prose(2))},
        {"c/x/c.png": picture(prose(2)), "c/y/d.png": picture(prose(3))},
    )
    rival = RivalStore(mill.store.bucket, lambda: building.build_snapshot(mill, theirs))

    snapshot = building.build_snapshot(dataclasses.replace(mill, store=rival), ours)

    assert snapshot.version == 2
    assert sorted(map(str, texts_published(mill, "c").values())) == sorted(
        str([prose(number)]) for number in (1, 2, 3)
    )
    assert_books_are_closed(mill)


def test_two_builders_of_one_batch_publish_it_once(mill, at_once):
    (batch,) = judged_batches(mill, {"c/x/a.png": picture(prose(1))})
    rival = RivalStore(mill.store.bucket, lambda: building.build_snapshot(mill, batch))

    snapshot = building.build_snapshot(dataclasses.replace(mill, store=rival), batch)

    assert snapshot.version == 1
    assert texts_published(mill, "c") == {"c/x/a.png": [prose(1)]}
    assert_books_are_closed(mill)


def test_builders_that_start_together_lose_nothing(mill, at_once):
    batches = judged_batches(mill, *[{f"c/x/{n}.png": picture(prose(n))} for n in range(3)])
    start = threading.Barrier(len(batches))

    def build(batch):
        start.wait()
        building.build_snapshot(mill, batch)

    with concurrent.futures.ThreadPoolExecutor(len(batches)) as pool:
        list(pool.map(build, batches))

    assert texts_published(mill, "c") == {f"c/x/{n}.png": [prose(n)] for n in range(3)}
    assert manifests.read_latest(mill.store, "c")[0].version == 3
    assert_books_are_closed(mill)


# --- faults of the store and of the engine -------------------------------------------------------


class FailingStore(Store):
    """A store that fails like this whenever one of these keys is read."""

    def __init__(self, bucket, error, *keys):
        super().__init__(bucket)
        self._error = error
        self._keys = {layout.LANDING + key for key in keys}

    def read_version(self, key, version):
        if key in self._keys:
            raise self._error(f"[{key}]")
        return super().read_version(key, version)


def read_with(mill, error, *keys):
    (batch,) = planning.plan_batches(mill)
    store = FailingStore(mill.store.bucket, error, *keys)
    read_batch(dataclasses.replace(mill, store=store), batch)
    return batch


def test_one_object_that_is_denied_is_quarantined_when_its_mates_can_be_read(mill):
    drop(mill, "c/x/a.png", picture(prose(1)))
    drop(mill, "c/x/archived.png", picture(prose(2)))

    finish_batch(mill, read_with(mill, ObjectDeniedError, "c/x/archived.png"))

    (image,) = images_at(mill, "c/x/archived.png")
    assert (image["fate"], image["reason"]) == (ImageFate.QUARANTINED, Reason.OBJECT_UNREADABLE)
    assert texts_published(mill, "c") == {"c/x/a.png": [prose(1)]}
    assert_books_are_closed(mill)


def test_objects_that_are_all_denied_are_the_fault_of_our_rights(mill):
    keys = ["c/x/a.png", "c/x/b.png"]
    for key in keys:
        drop(mill, key, picture(prose(1)))

    with pytest.raises(FatalError, match="s3:GetObjectVersion"):
        read_with(mill, ObjectDeniedError, *keys)

    assert image_counts(mill) == {"landed": 2, "pending": 2}


def assert_nobody_was_blamed(mill):
    assert image_counts(mill) == {"landed": 2, "pending": 2}
    assert objects(mill, "quarantine/") == {}
    assert audit(mill) == []
    run_pipeline(mill)
    assert page_counts(mill) == {"found": 2, "published": 2}


def test_a_fault_of_the_store_is_blamed_on_no_image(mill):
    drop(mill, "c/x/a.png", picture(prose(1)))
    drop(mill, "c/x/b.png", picture(prose(2)))

    with pytest.raises(RetryableError):
        read_with(mill, RetryableError, "c/x/b.png")

    assert_nobody_was_blamed(mill)


@pytest.mark.parametrize("error", [RetryableError, ZeroDivisionError], ids=["fault", "bug"])
def test_an_engine_that_fails_is_blamed_on_no_image(mill, error):
    drop(mill, "c/x/a.png", picture(prose(1)))
    drop(mill, "c/x/b.png", picture(prose(2)))
    (batch,) = planning.plan_batches(mill)

    with pytest.raises(error):
        read_batch(mill, batch, BrokenEngine(error))

    assert_nobody_was_blamed(mill)


def test_an_image_above_the_limit_is_set_aside_without_being_fetched(new_mill):
    mill = new_mill(max_object_bytes=10)
    drop(mill, "c/x/a.png", picture(prose(1)))

    read_with(mill, AssertionError, "c/x/a.png")

    (image,) = images_at(mill, "c/x/a.png")
    assert image["reason"] == Reason.IMAGE_TOO_LARGE
    assert audit(mill) == []


def test_nothing_is_ever_written_or_deleted_below_landing(settled):
    heal(settled)
    listed = s3(settled).list_object_versions(Bucket=settled.store.bucket, Prefix=layout.LANDING)

    assert len(listed["Versions"]) == 5
    assert "DeleteMarkers" not in listed
    assert state(settled, BATCH) == BatchState.BUILT
