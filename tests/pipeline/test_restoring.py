"""Healing puts back what was written once, from the versions that a bucket keeps."""

import pyarrow as pa
import pytest

from drivers import (
    delete,
    delete_for_good,
    drop,
    finish_batch,
    read_batch,
    run_pipeline,
    tamper,
    texts_published,
)
from engines.scripted import picture, prose
from scanmill import layout, schema
from scanmill.dataset import manifests
from scanmill.errors import AlteredError, FatalError
from scanmill.steps import judging, planning
from scanmill.steps.auditing import audit
from scanmill.steps.building import build_snapshot
from scanmill.steps.healing import heal
from scanmill.store import json_bytes, parquet_bytes

ON_BOTH_STORES = True
PART = layout.part("c-000001", 0)


@pytest.fixture
def settled(new_mill, open_gates):
    """Return a function that makes a mill with one published page."""

    def make(**how):
        mill = new_mill(**how)
        drop(mill, "c/x/a.png", picture(prose("a")))
        run_pipeline(mill)
        assert audit(mill) == []
        return mill

    return make


def test_what_was_overwritten_and_deleted_is_as_we_wrote_it(settled):
    mill = settled()
    first = mill.store.read(PART)
    for content in (b"second", b"third"):
        tamper(mill, PART, content)
    delete(mill, PART)

    findings = audit(mill)
    healed = heal(mill)

    assert {(one.kind, one.address) for one in findings} == {
        ("no_part", PART),
        ("no_part_row", PART),
    }
    assert healed == len(findings) == 2
    assert mill.store.read(PART) == first
    assert audit(mill) == []


def test_what_changed_and_breaks_no_count_is_named_and_put_back(settled):
    mill = settled()
    first = mill.store.read(PART)
    forged = [row | {"text": "forged"} for row in mill.store.read_table(PART).to_pylist()]
    tamper(mill, PART, parquet_bytes(pa.Table.from_pylist(forged, schema=schema.PAGES)))

    (finding,) = audit(mill)
    heal(mill)

    assert (finding.kind, finding.subject) == ("altered_object", PART)
    assert mill.store.read(PART) == first
    assert audit(mill) == []


def forge(mill, address, names):
    """Overwrite a table of ours with one of other texts."""
    rows = [row | {"text": "forged"} for row in mill.store.read_table(address).to_pylist()]
    tamper(mill, address, parquet_bytes(pa.Table.from_pylist(rows, schema=names)))


def refused_until_healed(mill, work):
    """Do some work, which is refused; heal; do it again."""
    with pytest.raises(AlteredError, match="heal"):
        work()
    audit(mill)
    heal(mill)
    work()


def test_a_part_that_was_changed_is_published_only_as_we_wrote_it(new_mill, open_gates):
    mill = new_mill()
    drop(mill, "c/x/a.png", picture(prose("a")))
    planning.plan_batches(mill)
    read_batch(mill, "c-000001")
    judging.judge_batch(mill, "c-000001")
    forge(mill, PART, schema.PAGES)

    refused_until_healed(mill, lambda: build_snapshot(mill, "c-000001"))

    assert texts_published(mill, "c") == {"c/x/a.png": [prose("a")]}
    assert audit(mill) == []


def test_a_changed_part_is_no_reading_to_use_again(settled):
    mill = settled()
    forge(mill, PART, schema.PAGES)
    drop(mill, "c/x/copy.png", picture(prose("a")))
    run_pipeline(mill)

    (row,) = mill.store.read_table(layout.part("c-000002", 0)).to_pylist()
    assert row["text"].split() == prose("a").split()
    assert row["reused_from"] is None


def test_a_changed_shard_is_not_written_anew(settled):
    mill = settled()
    drop(mill, "c/x/b.png", picture(prose("b")))
    drop(mill, "c/x/c.png", picture(prose("c")))
    run_pipeline(mill)
    manifest, _, _ = manifests.read_latest(mill.store, "c")
    for shard in manifest.shards:
        forge(mill, f"datasets/c/{shard.path}", schema.DATASET)
    drop(mill, "c/x/b.png", picture(prose("b, anew")))
    planning.plan_batches(mill)

    refused_until_healed(mill, lambda: finish_batch(mill, "c-000003"))

    names = {"a": "a", "b": "b, anew", "c": "c"}
    assert texts_published(mill, "c") == {f"c/x/{n}.png": [prose(t)] for n, t in names.items()}
    assert audit(mill) == []


def test_nothing_is_built_on_a_changed_manifest(settled):
    mill = settled()
    _, path, _ = manifests.read_latest(mill.store, "c")
    content = mill.store.read_json(f"datasets/c/{path}")
    tamper(mill, f"datasets/c/{path}", json_bytes(content | {"shards": []}))
    drop(mill, "c/x/b.png", picture(prose("b")))
    planning.plan_batches(mill)

    refused_until_healed(mill, lambda: finish_batch(mill, "c-000002"))

    assert sorted(texts_published(mill, "c")) == ["c/x/a.png", "c/x/b.png"]
    assert audit(mill) == []


def test_what_we_wrote_anew_after_a_deletion_is_ours(settled):
    mill = settled()
    anew = parquet_bytes(mill.store.read_table(PART).replace_schema_metadata({"again": "1"}))
    delete(mill, PART)
    mill.store.create(PART, anew)

    assert audit(mill) == []


def test_what_a_person_put_back_from_a_copy_stays(settled):
    mill = settled()
    copy = mill.store.read(PART)
    delete_for_good(mill, PART)
    for content in (b"bad", copy):
        tamper(mill, PART, content)

    assert audit(mill) == []


def test_what_was_put_back_proves_itself_when_the_first_version_has_expired(settled):
    mill = settled()
    (first,) = mill.store.list_versions(PART)
    content = mill.store.read(PART)
    for _ in range(2):
        tamper(mill, PART, b"bad")
        audit(mill)
        heal(mill)
        delete(mill, PART, first.version)

    assert mill.store.read(PART) == content
    assert audit(mill) == []


def test_healing_deletes_no_version(settled):
    mill = settled()
    tamper(mill, PART, b"second")
    before = {one.version for one in mill.store.list_versions("batches/")}

    audit(mill)
    heal(mill)

    assert before < {one.version for one in mill.store.list_versions("batches/")}


def test_without_versions_it_says_what_to_do(settled):
    mill = settled(is_versioned=False, require_versioning=False)
    tamper(mill, PART, b"second")
    audit(mill)

    with pytest.raises(FatalError, match=r"no_part.*put the object back from a copy"):
        heal(mill)

    assert mill.store.read(PART) == b"second"
