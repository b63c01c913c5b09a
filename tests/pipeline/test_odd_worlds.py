"""Odd worlds: killed planners, denied objects, suspended versions, altered books, long queues."""

import dataclasses
import datetime as dt
import json
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from drivers import (
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
    run_pipeline,
    s3,
    state,
    tamper,
    texts_published,
)
from engines.scripted import gibberish, picture, prose, volume
from scanmill import layout
from scanmill.errors import FatalError, GateFailed, ObjectDeniedError, UsageError
from scanmill.ledger import candidates
from scanmill.ledger import tables as t
from scanmill.models import BatchState, ImageFate, PageFate, Reason
from scanmill.s3 import Bucket
from scanmill.steps import building, judging, planning, recognizing
from scanmill.steps.auditing import audit
from scanmill.steps.healing import heal
from scanmill.steps.tracing import trace
from scanmill.store import Store, parquet_bytes

EXPECTATIONS = Path(__file__).parents[2] / "expectations"
BATCH, NEXT = "c-000001", "c-000002"


def kinds(findings):
    return [(finding.kind, finding.is_lost) for finding in findings]


# --- a plan that the ledger never saw ------------------------------------------------------------


def set_planned_at(mill, batch, seconds_ago):
    """Write a plan by hand, as if it had been made so long ago."""
    plan = mill.store.read_table(layout.plan(batch))
    planned_at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds_ago)
    plan = plan.replace_schema_metadata({"planned_at": planned_at.isoformat()})
    delete_for_good(mill, layout.plan(batch))
    mill.store.create(layout.plan(batch), parquet_bytes(plan))


def plan_and_die(mill):
    """Write a plan, and be killed before the ledger hears of it."""
    with pytest.raises(Killed):
        planning.plan_batches(fragile(mill, Fuse(2)))


def test_a_plan_that_the_ledger_never_saw_is_named_when_it_is_old_and_entered(mill):
    version = drop(mill, "c/a.png", picture(prose(1)))
    plan_and_die(mill)
    set_planned_at(mill, BATCH, seconds_ago=120)
    delete(mill, "landing/c/a.png", version)  # no listing will ever name it again

    findings = audit(mill)
    heal(mill)

    (finding,) = findings
    assert (finding.kind, finding.is_lost) == ("no_batch_row", True)
    assert BATCH in finding.subject
    assert planning.batches_to_announce(mill) == [BATCH]
    finish_batch(mill, BATCH)
    assert image_counts(mill) == {"landed": 1, "superseded": 1}
    assert_books_are_closed(mill)


def test_a_plan_that_is_just_being_entered_is_not_named(mill):
    drop(mill, "c/a.png", picture(prose(1)))
    plan_and_die(mill)

    assert audit(mill) == []


@pytest.mark.parametrize("folder", ["c", "my scans", "c-000001"])
def test_a_batch_missing_from_the_ledger_is_named_and_healed(mill, folder):
    drop(mill, f"{folder}/a.png", picture(prose(1)))
    (batch,) = run_pipeline(mill)
    before = accounts(mill)
    set_planned_at(mill, batch, seconds_ago=120)
    forget(mill, t.BATCHES)

    findings = audit(mill)
    heal(mill)

    assert ("no_batch_row", True) in kinds(findings)
    assert accounts(mill) == before
    assert_books_are_closed(mill)


# --- objects that are denied ---------------------------------------------------------------------


class DenyingBucket(Bucket):
    """A bucket that never hands out these keys of landing, however it is asked."""

    def __init__(self, name, *keys):
        super().__init__(name)
        self._keys = {layout.LANDING + key for key in keys}

    def call(self, verb, **arguments):
        if verb != "put_object" and self._is_denied(arguments):
            raise ObjectDeniedError(f"[{arguments['Key']}] AccessDenied")
        return super().call(verb, **arguments)

    def _is_denied(self, arguments):
        return arguments.get("Key") in self._keys


class VersionDenyingBucket(DenyingBucket):
    """A bucket for a role that may read what is current, but no version by its name."""

    def _is_denied(self, arguments):
        return "VersionId" in arguments and arguments["Key"].startswith(layout.LANDING)


def denying(mill, *keys, bucket=DenyingBucket):
    store = Store(mill.store.bucket)
    store._s3 = bucket(mill.store.bucket, *keys)
    return dataclasses.replace(mill, store=store)


@pytest.mark.parametrize("other", ["c/x/z.png", "elsewhere/x/a.png"])
def test_objects_denied_alone_in_a_slice_are_quarantined_when_another_can_be_read(new_mill, other):
    mill = new_mill(slice_images=2)
    for number, key in enumerate(("c/x/a.png", "c/x/b.png", other)):
        drop(mill, key, picture(prose(number)))

    run_pipeline(denying(mill, "c/x/a.png", "c/x/b.png"))

    denied = [images_at(mill, f"c/x/{name}.png")[0] for name in "ab"]
    assert {image["fate"] for image in denied} == {ImageFate.QUARANTINED}
    assert {image["reason"] for image in denied} == {Reason.OBJECT_UNREADABLE}
    assert image_counts(mill) == {"landed": 3, "decoded": 1, "quarantined": 2}
    assert_books_are_closed(mill)


def test_a_role_that_may_read_no_version_blames_no_image(new_mill):
    mill = new_mill(slice_images=2)
    for name in "abc":
        drop(mill, f"c/x/{name}.png", picture(prose(name)))
    planning.plan_batches(mill)

    with pytest.raises(FatalError, match="s3:GetObjectVersion"):
        read_batch(denying(mill, bucket=VersionDenyingBucket), BATCH)

    assert image_counts(mill) == {"landed": 3, "pending": 3}


def test_a_scan_that_is_denied_when_the_report_is_made_does_not_block_the_verdict(mill):
    drop(mill, "c/x/a.png", picture(prose(1)))
    planning.plan_batches(mill)
    read_batch(mill, BATCH)

    judging.judge_batch(denying(mill, "c/x/a.png"), BATCH)

    assert state(mill, BATCH) == BatchState.PASSED
    assert layout.report(BATCH, Reason.PAGES_GATE) + "index.html" in objects(mill, "batches/")


# --- versions that were suspended ----------------------------------------------------------------


def set_versioning(mill, status):
    wanted = {"Status": status}
    s3(mill).put_bucket_versioning(Bucket=mill.store.bucket, VersioningConfiguration=wanted)


def drop_while_suspended(mill, key, content):
    """Upload an object that gets the version `null`, in place of any other version `null`."""
    set_versioning(mill, "Suspended")
    drop(mill, key, content)
    set_versioning(mill, "Enabled")


@pytest.fixture
def with_null_version(mill):
    """A mill in which a scan without a version of its own has landed."""
    drop_while_suspended(mill, "c/x/a.png", picture(prose(1)))
    return mill


def test_an_object_of_the_time_before_versions_is_published_once(with_null_version):
    run_pipeline(with_null_version)

    assert run_pipeline(with_null_version) == []
    assert texts_published(with_null_version, "c") == {"c/x/a.png": [prose(1)]}
    assert_books_are_closed(with_null_version)


def test_an_object_overwritten_while_versions_were_suspended_is_another_image(with_null_version):
    run_pipeline(with_null_version)
    drop_while_suspended(with_null_version, "c/x/a.png", picture(prose(2)))

    run_pipeline(with_null_version)

    assert texts_published(with_null_version, "c") == {"c/x/a.png": [prose(2)]}
    assert image_counts(with_null_version) == {"landed": 2, "decoded": 1, "superseded": 1}
    assert run_pipeline(with_null_version) == []
    assert_books_are_closed(with_null_version)


def test_an_object_overwritten_between_its_plan_and_its_reading_is_not_read_as_the_old_one(
    with_null_version,
):
    planning.plan_batches(with_null_version)
    drop_while_suspended(with_null_version, "c/x/a.png", picture(prose(2)))

    read_batch(with_null_version, BATCH)
    read = pages_at(with_null_version, "c/x/a.png")
    run_pipeline(with_null_version)

    assert read == []
    assert texts_published(with_null_version, "c") == {"c/x/a.png": [prose(2)]}
    assert image_counts(with_null_version) == {"landed": 2, "decoded": 1, "superseded": 1}
    assert_books_are_closed(with_null_version)


@pytest.mark.parametrize("is_read_before", [True, False], ids=["read", "planned"])
def test_a_real_version_follows_one_without_a_name(with_null_version, is_read_before):
    planning.plan_batches(with_null_version)
    if is_read_before:
        finish_batch(with_null_version, BATCH)
    drop(with_null_version, "c/x/a.png", picture(prose(2)))

    run_pipeline(with_null_version)

    assert texts_published(with_null_version, "c") == {"c/x/a.png": [prose(2)]}
    assert image_counts(with_null_version)["superseded"] == 1
    assert run_pipeline(with_null_version) == []
    assert_books_are_closed(with_null_version)


# --- many pages of one text ----------------------------------------------------------------------

COPIES = 300


@pytest.fixture
def mill_of_copies(mill):
    """A mill that has read and judged one batch of pages that all hold the same text."""
    drop(mill, "c/x/copies.tif", volume(*[prose(1)] * COPIES))
    planning.plan_batches(mill)
    read_batch(mill, BATCH)
    judging.judge_batch(mill, BATCH)
    return mill


def test_of_pages_with_one_text_the_first_is_published_and_named_by_the_others(mill_of_copies):
    building.build_snapshot(mill_of_copies, BATCH)

    pages = rows_of(mill_of_copies, t.PAGES)
    (original,) = [page for page in pages if page["fate"] == PageFate.PUBLISHED]
    copies = [page for page in pages if page["fate"] == PageFate.DUPLICATE]
    assert len(copies) == COPIES - 1
    assert {(page["reason"], page["other_page_id"]) for page in copies} == {
        (Reason.SAME_TEXT, original["page_id"])
    }
    assert_books_are_closed(mill_of_copies)


def test_the_ledger_hands_over_no_pages_that_are_only_like_each_other(mill_of_copies):
    with mill_of_copies.ledger.reading() as connection:
        page_ids = [page["page_id"] for page in candidates.open_pages(connection, BATCH)]
        published = candidates.published_with(connection, "c", bands_of(connection, page_ids))

    assert len(page_ids) == COPIES
    assert published == {}


def test_copies_of_a_published_page_are_handed_over_with_that_page_alone(mill_of_copies):
    building.build_snapshot(mill_of_copies, BATCH)
    drop(mill_of_copies, "c/x/more.tif", volume(prose(1), prose(1)))
    planning.plan_batches(mill_of_copies)
    read_batch(mill_of_copies, NEXT)

    with mill_of_copies.ledger.reading() as connection:
        page_ids = [page["page_id"] for page in candidates.open_pages(connection, NEXT)]
        bands = bands_of(connection, page_ids)
        found = candidates.published_with(connection, "c", bands)

    published = {p["page_id"] for p in rows_of(mill_of_copies, t.PAGES) if p["snapshot"] == 1}
    originals = {page_id for others in found.values() for page_id in others}
    assert len(page_ids) == 2
    assert set(found) == set(bands)
    assert len(originals) == 1
    assert originals < published


def bands_of(connection, page_ids):
    """Return every band of these pages."""
    return sorted(set().union(*candidates.bands(connection, page_ids).values()))


def test_a_page_nearly_like_its_mate_is_still_found(mill):
    text = prose(1, words=60).split()
    for name, words in {"a": text, "b": [*text[:-1], "another"]}.items():
        drop(mill, f"c/x/{name}.png", picture(" ".join(words)))

    run_pipeline(mill)

    assert {page["reason"] for page in rows_of(mill, t.PAGES)} == {None, Reason.NEAR_TEXT}
    assert page_counts(mill) == {"found": 2, "published": 1, "duplicate": 1}


# --- a batch that the dataset gate holds ---------------------------------------------------------


@pytest.fixture
def held_by_dataset_gate(new_mill, tmp_path):
    """A mill with a batch that the dataset gate holds, because no page is as long as it wants."""
    folder = tmp_path / "expectations"
    shutil.copytree(EXPECTATIONS, folder)
    path = folder / "dataset_gate.json"
    suite = json.loads(path.read_text())
    (meant,) = [e for e in suite["expectations"] if e["kwargs"].get("min_value") == 1]
    meant["kwargs"]["min_value"] = 100_000
    path.write_text(json.dumps(suite))
    mill = new_mill(expectations_dir=folder)
    for number in range(3):
        drop(mill, f"c/x/{number}.png", picture(prose(number)))
    run_pipeline(mill)
    assert state(mill, BATCH) == BatchState.HELD
    return mill


def test_a_batch_that_the_dataset_gate_holds_stays_held_when_it_is_judged_again(
    held_by_dataset_gate,
):
    before = accounts(held_by_dataset_gate)

    for _ in range(2):
        with pytest.raises(GateFailed, match="dataset_gate"):
            judging.judge_batch(held_by_dataset_gate, BATCH)
        with pytest.raises(GateFailed, match="dataset_gate"):
            building.build_snapshot(held_by_dataset_gate, BATCH)

    assert [row["kind"] for row in rows_of(held_by_dataset_gate, t.OUTBOX)] == ["gate_failed"]
    assert accounts(held_by_dataset_gate) == before
    assert_held_books_are_right(held_by_dataset_gate)


def assert_held_books_are_right(mill):
    assert page_counts(mill) == {"found": 3, "held": 3}
    assert audit(mill) == []


@pytest.mark.parametrize("batch", ["typo-000001", "typo", ""])
def test_a_batch_that_nobody_planned_cannot_be_judged(mill, batch):
    with pytest.raises(UsageError, match="no batch"):
        judging.judge_batch(mill, batch)


# --- altered books -------------------------------------------------------------------------------


def test_a_held_batch_without_its_verdict_is_named_and_healed(mill):
    for number in range(30):
        text = gibberish(number) if number < 12 else prose(number)
        drop(mill, f"c/x/{number:02}.png", picture(text))
    run_pipeline(mill)
    before = accounts(mill)
    assert state(mill, BATCH) == BatchState.HELD
    forget(mill, t.VERDICTS)

    findings = audit(mill)
    heal(mill)

    (finding,) = findings
    assert (finding.kind, finding.subject, finding.is_lost) == ("no_verdict_row", BATCH, True)
    assert accounts(mill) == before
    assert audit(mill) == []


@pytest.mark.parametrize("content", [b"garbage", b"\xff\xfe", b"", b"[]"], ids=repr)
def test_a_manifest_that_is_no_json_object_is_named_and_put_back(mill, content):
    drop(mill, "c/x/a.png", picture(prose(1)))
    run_pipeline(mill)
    manifest = layout.dataset("c") + mill.store.read(layout.dataset("c") + layout.LATEST).decode()
    tamper(mill, manifest, content)

    (finding,) = audit(mill)

    assert (finding.kind, finding.subject) == ("no_snapshot", layout.dataset("c"))
    assert (finding.address, finding.is_lost) == (manifest, True)
    heal(mill)
    assert audit(mill) == []


# --- names like addresses ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["http://x.png", "s3://bucket/landing/x.png"])
def test_a_row_is_traced_back_to_a_key_that_looks_like_an_address(mill, name):
    drop(mill, f"c/{name}", picture(prose(1)))
    run_pipeline(mill)
    (page,) = rows_of(mill, t.PAGES)

    stories = [
        trace(mill, asked) for asked in (page["page_id"], page["image_id"], f"landing/c/{name}")
    ]

    assert [story["key"] for story in stories] == [f"landing/c/{name}"] * 3
    assert all(story["versions"][0]["pages"] for story in stories)


# --- a queue behind a long batch -----------------------------------------------------------------


def note_times(mill, batch, **seconds_ago):
    """Note in the books when something happened to a batch."""
    now = dt.datetime.now(dt.UTC)
    moments = {name: now - dt.timedelta(seconds=ago) for name, ago in seconds_ago.items()}
    with mill.ledger.writing() as connection:
        bell = sa.update(t.DOORBELLS).where(t.DOORBELLS.c.batch_id == batch)
        connection.execute(bell.values(**moments))


@pytest.fixture
def queue(new_mill):
    """A mill of two batches, of which the first is being read and the second waits its turn."""
    mill = new_mill(batch_images=1)
    for name in "ab":
        drop(mill, f"c/{name}.png", picture(prose(name)))
    batches = planning.plan_batches(mill)
    planning.note_announced(mill, batches)
    recognizing.list_slices(mill, BATCH)
    return mill


def sweep(mill):
    """Ring for the batches that need it, as each sweep does; return them."""
    batches = planning.batches_to_announce(mill)
    planning.note_announced(mill, batches)
    return batches


def test_a_batch_that_waits_behind_another_is_left_in_peace(queue):
    note_times(queue, BATCH, announced_at=700, touched_at=5)
    note_times(queue, NEXT, announced_at=700)

    assert sweep(queue) == []


def test_a_batch_that_stands_still_is_rung_for_once_and_not_at_each_sweep(queue):
    note_times(queue, BATCH, announced_at=1000, touched_at=700)
    note_times(queue, NEXT, announced_at=30)

    assert [sweep(queue) for _ in range(3)] == [[BATCH], [], []]


def test_a_batch_that_waits_behind_one_slow_slice_is_not_rung_for_at_each_sweep(queue):
    note_times(queue, BATCH, announced_at=400, touched_at=300)
    note_times(queue, NEXT, announced_at=400)

    assert [sweep(queue) for _ in range(3)][1:] == [[], []]


def test_ringing_for_builds_makes_no_waiting_batch_look_overtaken(queue):
    read_batch(queue, BATCH)
    judging.judge_batch(queue, BATCH)
    note_times(queue, BATCH, announced_at=700, touched_at=5)
    note_times(queue, NEXT, announced_at=100)

    planning.note_built_for(queue, [BATCH])

    assert sweep(queue) == []


def test_a_batch_that_was_overtaken_is_rung_for(queue):
    note_times(queue, BATCH, announced_at=700)
    with queue.ledger.writing() as connection:
        connection.execute(
            sa.update(t.DOORBELLS).where(t.DOORBELLS.c.batch_id == BATCH).values(touched_at=None)
        )
    recognizing.list_slices(queue, NEXT)

    assert sweep(queue) == [BATCH]
