"""The law of accounts: what is lost is measured and named, at any moment of a batch."""

import io

import pyarrow.parquet as pq
import pytest

from drivers import (
    ENGINE,
    accounts,
    assert_books_are_closed,
    delete,
    delete_for_good,
    drop,
    forget,
    image_counts,
    images_at,
    page_counts,
    pages_at,
    rows_of,
    run_pipeline,
    tamper,
)
from engines.scripted import picture, prose
from one_of_each import BATCH, BLANK, BOUND, COPY, GOOD, TORN, drop_one_of_each
from scanmill import layout
from scanmill.dataset import manifests
from scanmill.errors import FatalError
from scanmill.ledger import tables as t
from scanmill.models import PageFate, Reason
from scanmill.steps import building, judging, planning, recognizing
from scanmill.steps.auditing import audit
from scanmill.steps.healing import heal
from scanmill.steps.receipting import is_balanced, receipt
from scanmill.store import parquet_bytes

pytestmark = pytest.mark.usefixtures("open_gates")


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
