"""The auditor is audited: whatever is dropped, added, altered or doubled, the audit names it."""

import contextlib
import datetime as dt
import json
import shutil

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from drivers import (
    delete,
    drop,
    drop_every_kind,
    finish_batch,
    forget,
    images_at,
    point_at,
    rows_of,
    run_pipeline,
    stubbed_judge,
    tamper,
)
from engines.scripted import picture, prose
from scanmill import layout, report
from scanmill.dataset import manifests
from scanmill.errors import FatalError
from scanmill.findings import FindingKind, hints
from scanmill.ledger import tables as t
from scanmill.models import Reason
from scanmill.settings import Settings
from scanmill.steps import Mill, judging, planning
from scanmill.steps.auditing import audit, batches
from scanmill.steps.healing import heal
from scanmill.steps.reprocessing import Choice, reprocess
from scanmill.steps.reviewing import decide
from scanmill.store import parquet_bytes

PART, PLAN = layout.part("c-000001", 0), layout.plan("c-000001")
LATEST = "datasets/c/_snapshots/LATEST"
ANOTHER_TABLE = parquet_bytes(pa.table({"a": [1]}))


@pytest.fixture(scope="module")
def eventful(endpoint, empty_ledger, tmp_path_factory):
    """A mill with every kind of batch, image and page; each test leaves it as it was."""
    with pytest.MonkeyPatch.context() as patch:
        point_at(endpoint, patch)
        patch.setattr(judging, "judge", stubbed_judge(is_held=is_held))
        patch.setattr(report, "MOST_WORST_PAGES", 0)
        patch.setattr(batches, "_ENTERING", dt.timedelta(0))
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="damaged")
        s3.put_bucket_versioning(Bucket="damaged", VersioningConfiguration={"Status": "Enabled"})
        path = tmp_path_factory.mktemp("damage") / "ledger.db"
        shutil.copy(empty_ledger, path)
        mill = Mill.from_settings(
            Settings(
                bucket="damaged",
                ledger_url=f"sqlite:///{path}",
                ocr_workers=1,
                pending_alert_seconds=0,
            )
        )
        bring_about(mill)
        yield mill


def is_held(run_name, gate):
    """Hold what is in a collection named so."""
    return gate == Reason.PAGES_GATE and not run_name.startswith("c-")


def bring_about(mill):
    drop_every_kind(mill)
    for name in ("held", "released", "discarded"):
        drop(mill, f"{name}/x/1.png", picture(prose(name)))
    run_pipeline(mill)
    for name, verb in (("released", "release"), ("discarded", "discard")):
        decide(mill, f"{name}-000001", verb=verb, because="for a test", decided_by="tester")
    finish_batch(mill, "released-000001")
    drop(mill, "c/x/old.png", picture(prose(6)))
    run_pipeline(mill)
    (again,) = reprocess(mill, Choice(key="c/x/book.tif"), settings={}, asked_by="tester")
    finish_batch(mill, again)
    assert audit(mill) == []


@pytest.fixture(scope="module")
def before(eventful):
    """Every object but the uploads, with its etag."""
    return {key: (etag, eventful.store.read(key)) for key, etag in etags_of(eventful).items()}


@contextlib.contextmanager
def undone(mill, before, folder):
    """Put ledger and bucket back as they were."""
    ledger = mill.settings.ledger_url.removeprefix("sqlite:///")
    checkpoint(mill)
    shutil.copy(ledger, folder / "copy.db")
    landed = {one.version for one in mill.store.list_versions(layout.LANDING)}
    try:
        yield
    finally:
        checkpoint(mill)
        shutil.copy(folder / "copy.db", ledger)
        now = etags_of(mill)
        for key in now.keys() - before.keys():
            delete(mill, key)
        for key, (etag, content) in before.items():
            if now.get(key) != etag:
                tamper(mill, key, content)
        for one in list(mill.store.list_versions(layout.LANDING)):
            if one.version not in landed:
                delete(mill, one.key, one.version)
        assert etags_of(mill) == {key: etag for key, (etag, _) in before.items()}


def etags_of(mill):
    return {
        key: etag for key, etag in mill.store.list_keys("") if not key.startswith(layout.LANDING)
    }


def checkpoint(mill):
    """Have the ledger in its one file, and nobody holding it open."""
    with mill.ledger._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    mill.ledger._engine.dispose()


# --- what is done to it --------------------------------------------------------------------------


def change(table, values, *conditions):
    """Return the damage of altered rows."""

    def damage(mill):
        with mill.ledger.writing() as connection:
            changed = connection.execute(sa.update(table).where(*conditions).values(**values))
        assert changed.rowcount

    return damage


def lose(table, *conditions):
    """Return the damage of rows dropped from the ledger."""

    def damage(mill):
        count = len(rows_of(mill, table))
        with mill.ledger.writing() as connection:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        forget(mill, table, *conditions)
        assert len(rows_of(mill, table)) < count

    return damage


def lose_image(mill):
    (image,) = images_at(mill, "c/x/a.png")
    forget(mill, t.PAGES, t.PAGES.c.image_id == image["image_id"])
    forget(mill, t.IMAGES, t.IMAGES.c.image_id == image["image_id"])


def copy_row(table, where, **values):
    """Return the damage of a row that is in the ledger once more, under another name."""

    def damage(mill):
        row = next(row for row in rows_of(mill, table) if where.items() <= row.items())
        with mill.ledger.writing() as connection:
            connection.execute(sa.insert(table), [row | values])

    return damage


def without(key):
    """Return the damage of an object that is gone."""
    return lambda mill: delete(mill, key(mill) if callable(key) else key)


def rotten(key):
    """Return the damage of an object with other bytes."""
    return lambda mill: tamper(mill, key(mill) if callable(key) else key, b"rotten")


def one_bit(key):
    """Return the damage of a table by one bit, in the values of its first column."""

    def damage(mill):
        body = bytearray(mill.store.read(key))
        column = pq.read_metadata(pa.BufferReader(body)).row_group(0).column(0)
        body[column.data_page_offset - 1] ^= 1  # the end of its dictionary
        tamper(mill, key, bytes(body))

    return damage


def table_changed(key, change_rows):
    """Return the damage of a table with other rows."""

    def damage(mill):
        address = key(mill) if callable(key) else key
        table = mill.store.read_table(address)
        rows = change_rows(table.to_pylist())
        new = pa.Table.from_pylist(rows, schema=table.schema)
        tamper(mill, address, parquet_bytes(new))

    return damage


def a_page(rows):
    return next(row for row in rows if row["page_number"])


def manifest_changed(change_shards):
    """Return the damage of a manifest that lists other shards."""

    def damage(mill):
        address = the_manifest(mill)
        content = mill.store.read_json(address)
        content["shards"] = change_shards(content["shards"])
        tamper(mill, address, json.dumps(content).encode())

    return damage


def the_manifest(mill):
    _, path, _ = manifests.read_latest(mill.store, "c")
    return layout.dataset("c") + path


def the_parent(mill):
    manifest, _, _ = manifests.read_latest(mill.store, "c")
    return layout.dataset("c") + manifest.parent


def the_fates(mill):
    manifest, _, _ = manifests.read_latest(mill.store, "c")
    return layout.dataset("c") + manifest.fates


def the_shard(mill):
    manifest, _, _ = manifests.read_latest(mill.store, "c")
    return layout.dataset("c") + manifest.shards[0].path


def kept(name):
    def key(mill):
        (image,) = images_at(mill, "c/x/broken.png")
        return layout.quarantine("c", Reason(image["reason"]), image["image_id"]) + name

    return key


def pointer_back(mill):
    tamper(mill, LATEST, the_parent(mill).removeprefix(layout.dataset("c")).encode())


def upload(key, content):
    return lambda mill: drop(mill, key, content)


IMAGES, PAGES, BATCHES = t.IMAGES.c, t.PAGES.c, t.BATCHES.c
A, BOOK, BROKEN = (f"landing/c/x/{name}" for name in ("a.png", "book.tif", "broken.png"))
PUBLISHED, DUPLICATE = PAGES.fate == "published", PAGES.fate == "duplicate"

DAMAGES = {
    "ledger: image dropped": (lose_image, "no_ledger_row"),
    "ledger: page dropped": (lose(t.PAGES, DUPLICATE), "no_page_row"),
    "ledger: batch dropped": (lose(t.BATCHES, BATCHES.batch_id == "c-000001"), "no_batch_row"),
    "ledger: part dropped": (lose(t.PARTS, t.PARTS.c.batch_id == "c-000001"), "no_part_row"),
    "ledger: attempt dropped": (lose(t.ATTEMPTS, t.ATTEMPTS.c.page_number == 2), "no_attempt_row"),
    "ledger: signatures dropped": (lose(t.SIGNATURES), "no_signature"),
    "ledger: verdict of a held batch dropped": (
        lose(t.VERDICTS, t.VERDICTS.c.batch_id == "held-000001"),
        "no_verdict_row",
    ),
    "ledger: decision dropped": (
        lose(t.DECISIONS, t.DECISIONS.c.batch_id == "discarded-000001"),
        "no_decision",
    ),
    "ledger: first snapshot dropped": (
        lose(t.SNAPSHOTS, t.SNAPSHOTS.c.version == 1, t.SNAPSHOTS.c.collection == "c"),
        "no_snapshot_row",
    ),
    "ledger: newest snapshot dropped": (
        lose(t.SNAPSHOTS, t.SNAPSHOTS.c.version == 2),
        "no_snapshot_row",
    ),
    "ledger: page added": (
        copy_row(t.PAGES, {"fate": "rejected"}, page_id="f" * 32, page_number=9),
        "no_part_row",
    ),
    "ledger: image added": (
        copy_row(t.IMAGES, {"key": A}, image_id="f" * 32, key="landing/c/x/f.png", page_count=0),
        "no_part_row",
    ),
    "ledger: batch added": (
        copy_row(t.BATCHES, {"batch_id": "c-000001"}, batch_id="c-000099", sequence=99),
        "no_plan",
    ),
    "ledger: part added": (copy_row(t.PARTS, {"batch_id": "c-000001"}, slice=9), "no_part"),
    "ledger: snapshot added": (
        copy_row(t.SNAPSHOTS, {"collection": "c"}, version=99, manifest="_snapshots/99-f.json"),
        "no_snapshot",
    ),
    "ledger: page doubled": (
        copy_row(t.PAGES, {"fate": "published"}, page_id="f" * 32),
        "imbalance",
    ),
    "ledger: image doubled": (
        copy_row(t.IMAGES, {"key": BROKEN}, image_id="f" * 32, version="again"),
        "no_part_row",
    ),
    "ledger: fate of an image altered": (
        change(t.IMAGES, {"fate": "ignored"}, IMAGES.key == A),
        "altered_image_row",
    ),
    "ledger: sha256 of an image altered": (
        change(t.IMAGES, {"sha256": "f" * 64}, IMAGES.key == A),
        "altered_image_row",
    ),
    "ledger: number of pages altered": (
        change(t.IMAGES, {"page_count": 7}, IMAGES.key == A),
        "imbalance",
    ),
    "ledger: fate altered to one that is in no law": (
        change(t.PAGES, {"fate": "skipped"}, PAGES.fate == "rejected"),
        "imbalance",
    ),
    "ledger: published page altered to rejected": (
        change(t.PAGES, {"fate": "rejected"}, PUBLISHED),
        "unknown_dataset_row",
    ),
    "ledger: rejected page altered to published": (
        change(t.PAGES, {"fate": "published"}, PAGES.fate == "rejected"),
        "no_dataset_row",
    ),
    "ledger: image of a published page altered": (
        change(t.IMAGES, {"fate": "superseded"}, IMAGES.key == BOOK),
        "stray_page",
    ),
    "ledger: key of an image altered to that of another": (
        change(t.IMAGES, {"key": BOOK}, IMAGES.key == "landing/c/x/a copy.png"),
        "two_versions",
    ),
    "ledger: duplicate altered to pending": (
        change(t.PAGES, {"fate": "pending"}, DUPLICATE),
        "forgotten",
    ),
    "ledger: original of a duplicate altered": (
        change(t.PAGES, {"other_page_id": "f" * 32}, DUPLICATE),
        "no_original",
    ),
    "ledger: decoded image altered to pending": (
        change(t.IMAGES, {"fate": "pending"}, IMAGES.key == A),
        "forgotten",
    ),
    "plan: dropped": (without(PLAN), "no_plan"),
    "plan: rotten": (rotten(PLAN), "no_plan"),
    "plan: image added": (
        table_changed(PLAN, lambda rows: [*rows, rows[0] | {"image_id": "f" * 32}]),
        "no_ledger_row",
    ),
    "part: dropped": (without(PART), "no_part"),
    "part: rotten": (rotten(PART), "no_part"),
    "part: row dropped": (table_changed(PART, lambda rows: rows[1:]), "altered_part"),
    "part: row doubled": (table_changed(PART, lambda rows: [*rows, *rows[:1]]), "altered_part"),
    "part: row added": (
        table_changed(PART, lambda rows: [*rows, a_page(rows) | {"page_id": "f" * 32}]),
        "no_page_row",
    ),
    "part: row altered": (
        table_changed(PART, lambda rows: [row | {"image_fate": "ignored"} for row in rows]),
        "altered_image_row",
    ),
    "part: one bit altered": (one_bit(PART), "no_part"),
    "part: text of a row altered": (
        table_changed(PART, lambda rows: [row | {"text": "forged"} for row in rows]),
        "altered_object",
    ),
    "verdict: altered": (
        lambda mill: tamper(mill, layout.verdict("held-000001", 1), b"{}"),
        "altered_object",
    ),
    "fates: altered": (
        lambda mill: tamper(mill, the_fates(mill), ANOTHER_TABLE),
        "altered_object",
    ),
    "verdict: dropped": (without(layout.verdict("held-000001", 1)), "no_judgement"),
    "decision: dropped": (without(layout.decision("released-000001", 1)), "no_judgement"),
    "manifest: dropped": (without(the_manifest), "no_snapshot"),
    "manifest: rotten": (rotten(the_manifest), "no_snapshot"),
    "manifest: parent dropped": (without(the_parent), "no_manifest"),
    "manifest: fates dropped": (without(the_fates), "no_manifest"),
    "manifest: shard dropped from it": (manifest_changed(lambda s: s[1:]), "altered_manifest"),
    "manifest: shard doubled in it": (manifest_changed(lambda s: s + s[:1]), "altered_manifest"),
    "manifest: shards in another order": (manifest_changed(lambda s: s[::-1]), "altered_manifest"),
    "manifest: shards without paths": (
        manifest_changed(lambda s: [{} for _ in s]),
        "altered_manifest",
    ),
    "part: fate that is in no law": (
        table_changed(PART, lambda rows: [row | {"image_fate": "strange"} for row in rows]),
        "altered_image_row",
    ),
    "manifest: shard added to it": (
        manifest_changed(lambda s: [*s, s[0] | {"path": "data/train/none.parquet"}]),
        "altered_manifest",
    ),
    "manifest: LATEST dropped": (without(LATEST), "no_snapshot"),
    "manifest: LATEST rotten": (rotten(LATEST), "no_snapshot"),
    "manifest: LATEST put back": (pointer_back, "stale_pointer"),
    "manifest: empty": (lambda mill: tamper(mill, the_manifest(mill), b"{}"), "no_snapshot"),
    "manifest: LATEST no text": (lambda mill: tamper(mill, LATEST, b"\xff\xfe"), "no_snapshot"),
    "plan: another table": (lambda mill: tamper(mill, PLAN, ANOTHER_TABLE), "no_plan"),
    "part: another table": (lambda mill: tamper(mill, PART, ANOTHER_TABLE), "no_part"),
    "shard: dropped": (without(the_shard), "no_shard"),
    "shard: rotten": (rotten(the_shard), "altered_shard"),
    "shard: row doubled": (
        table_changed(the_shard, lambda rows: rows + rows[:1]),
        "altered_shard",
    ),
    "quarantine: original dropped": (without(kept("original")), "no_quarantine_object"),
    "quarantine: attempt dropped": (without(kept("attempts/1.json")), "no_quarantine_object"),
    "quarantine: original altered": (rotten(kept("original")), "altered_original"),
    "landing: image added": (upload("c/x/new.png", b"new"), "never_planned"),
    "landing: image altered": (upload("c/x/a.png", b"new"), "never_planned"),
    "landing: image doubled": (upload("c/x/twin.png", picture(prose(1))), "never_planned"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named(eventful, before, tmp_path, name):
    damage, kind = DAMAGES[name]

    with undone(eventful, before, tmp_path):
        damage(eventful)
        findings = audit(eventful)

    assert kind in {finding.kind for finding in findings}, findings


@pytest.mark.parametrize("name", [name for name in DAMAGES if not name.startswith("landing")])
def test_damage_is_mended_or_told_of_once(eventful, before, tmp_path, name):
    damage, _ = DAMAGES[name]

    with undone(eventful, before, tmp_path):
        damage(eventful)
        audit(eventful)
        for _ in range(2):
            with contextlib.suppress(FatalError):
                heal(eventful)
        left = audit(eventful)
        told = rows_of(eventful, t.OUTBOX)

    kinds = [message["kind"] for message in told if message["kind"] == "books_do_not_balance"]
    assert len(kinds) == bool(left), left
    is_in_the_ledger_alone = name.startswith("ledger")
    assert is_in_the_ledger_alone or left == []


def test_what_has_no_version_left_is_told_of_with_what_to_do(eventful, before, tmp_path):
    with undone(eventful, before, tmp_path):
        for one in list(eventful.store.list_versions(PART)):
            delete(eventful, PART, one.version)
        audit(eventful)
        with pytest.raises(FatalError, match="put the object back from a copy"):
            heal(eventful)


def test_every_kind_of_finding_has_words_for_it():
    assert set(hints) == set(FindingKind)


def test_what_is_planned_and_not_read_yet_is_no_damage(eventful, before, tmp_path):
    with undone(eventful, before, tmp_path):
        drop(eventful, "c/x/next.png", picture(prose("next")))
        planning.plan_batches(eventful)
        reprocess(eventful, Choice(key="c/x/a.png"), settings={}, asked_by="tester")

        assert audit(eventful) == []
