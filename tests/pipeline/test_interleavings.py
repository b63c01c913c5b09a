"""Two things at once, and one thing too late: what a bug hunter forced stays forced."""

import dataclasses
import datetime as dt
import shutil

import pytest
import sqlalchemy as sa

from drivers import (
    assert_books_are_closed,
    delete,
    delete_for_good,
    drop,
    finish_batch,
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
    stubbed_judge,
    tamper,
)
from engines.scripted import ScriptedEngine, picture, prose
from scanmill import layout
from scanmill.errors import FatalError, ObjectDeniedError, RetryableError, UsageError
from scanmill.ledger import Ledger, candidates, receipts
from scanmill.ledger import tables as t
from scanmill.models import BatchState, Reason, SetAside
from scanmill.steps import building, judging, planning
from scanmill.steps.auditing import audit
from scanmill.steps.healing import heal
from scanmill.steps.reviewing import decide
from scanmill.store import Store

pytestmark = pytest.mark.usefixtures("open_gates")

LATEST = "datasets/c/_snapshots/LATEST"


def publish(mill, number):
    """Upload two pages of their own, and publish them as a batch."""
    for name in "ab":
        drop(mill, f"c/x/{number}{name}.png", picture(prose(f"{number}{name}")))
    run_pipeline(mill)


# --- a ledger that is behind its bucket ----------------------------------------------------------


@pytest.mark.parametrize("batches_known", [0, 1, 2])
@pytest.mark.parametrize("is_healed_first", [False, True])
def test_a_running_pipeline_with_an_old_ledger_publishes_nothing_twice(
    mill, tmp_path, batches_known, is_healed_first
):
    old = tmp_path / "old.db"
    for number in range(3):
        if number == batches_known:
            copy_ledger(mill, old)
        publish(mill, number)
    behind = dataclasses.replace(mill, ledger=Ledger(f"sqlite:///{old}"))

    planning.plan_batches(behind)
    if is_healed_first:
        audit(behind)
        heal(behind)
    run_pipeline(behind)

    rows = rows_published(behind, "c")
    assert len(rows) == 6
    assert page_counts(behind) == {"found": 6, "published": 6}
    assert_books_are_closed(behind)


def copy_ledger(mill, path):
    with mill.ledger.writing() as connection:
        connection.execute(sa.text("SELECT 1"))
    mill.ledger._engine.dispose()
    shutil.copy(mill.settings.ledger_url.removeprefix("sqlite:///"), path)


# --- LATEST --------------------------------------------------------------------------------------


def test_nothing_is_built_on_a_dataset_whose_pointer_is_gone(mill):
    publish(mill, 1)
    before = rows_published(mill, "c")
    delete(mill, LATEST)
    drop(mill, "c/x/new.png", picture(prose("new")))
    (batch_id,) = planning.plan_batches(mill)
    read_batch(mill, batch_id)
    judging.judge_batch(mill, batch_id)

    with pytest.raises(FatalError, match="scanmill heal"):
        building.build_snapshot(mill, batch_id)

    audit(mill)
    heal(mill)
    assert rows_published(mill, "c") == before
    building.build_snapshot(mill, batch_id)
    assert len(rows_published(mill, "c")) == 3
    assert_books_are_closed(mill)


def test_a_pointer_to_an_older_snapshot_is_put_right(mill):
    publish(mill, 1)
    old = mill.store.read(LATEST)
    publish(mill, 2)
    tamper(mill, LATEST, old)
    assert "stale_pointer" in {finding.kind for finding in audit(mill)}

    heal(mill)

    assert len(rows_published(mill, "c")) == 4
    assert_books_are_closed(mill)


# --- healing beside a batch at work --------------------------------------------------------------


def test_what_is_entered_again_does_not_count_as_progress(mill):
    drop(mill, "c/x/a.png", picture(prose("a")))
    (batch_id,) = planning.plan_batches(mill)
    read_batch(mill, batch_id)
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    with mill.ledger.writing() as connection:
        connection.execute(sa.update(t.DOORBELLS).values(touched_at=long_ago))
    tamper_finding(mill)
    audit(mill)

    with pytest.raises(FatalError):
        heal(mill)

    assert planning.batches_to_announce(mill) == [batch_id]


def tamper_finding(mill):
    """Bring about a finding that nobody can mend."""
    finish = "d/x/z.png"
    drop(mill, finish, b"no image")
    (batch_id,) = [b for b in planning.plan_batches(mill) if b.startswith("d-")]
    finish_batch(mill, batch_id)
    (image,) = images_at(mill, finish)
    folder = layout.quarantine("d", Reason(image["reason"]), image["image_id"])
    delete_for_good(mill, folder + "original")


# --- a live object that nobody would read --------------------------------------------------------


def test_a_version_that_is_current_again_and_was_never_read_is_named(mill):
    key = "landing/c/x/a.png"
    drop(mill, "c/x/a.png", picture(prose("a")))
    marker = s3(mill).delete_object(Bucket=mill.store.bucket, Key=key)
    planning.plan_batches(mill)
    assert [image["fate"] for image in images_at(mill, "c/x/a.png")] == ["superseded"]
    assert audit(mill) == []

    delete(mill, key, marker["VersionId"])

    (finding,) = audit(mill)
    assert (finding.kind, finding.subject, finding.is_lost) == ("never_read", key, True)


def test_a_deletion_that_is_undone_is_named_though_an_earlier_version_was_read(mill):
    key = "landing/c/x/a.png"
    drop(mill, "c/x/a.png", picture(prose("a")))
    run_pipeline(mill)
    drop(mill, "c/x/a.png", picture(prose("b")))
    marker = s3(mill).delete_object(Bucket=mill.store.bucket, Key=key)
    run_pipeline(mill)
    assert audit(mill) == []

    delete(mill, key, marker["VersionId"])

    (finding,) = audit(mill)
    assert (finding.kind, finding.subject, finding.is_lost) == ("never_read", key, True)


def test_a_replaced_version_whose_successor_was_read_is_not_named(mill):
    drop(mill, "c/x/a.png", picture(prose("a")))
    version = drop(mill, "c/x/a.png", picture(prose("b")))
    run_pipeline(mill)
    delete(mill, "landing/c/x/a.png", version)

    assert audit(mill) == []


def test_without_versions_the_same_bytes_uploaded_again_are_read(new_mill):
    mill = new_mill(is_versioned=False, require_versioning=False)
    drop(mill, "c/x/a.png", picture(prose("a")))
    (batch_id,) = planning.plan_batches(mill)
    delete(mill, "landing/c/x/a.png")
    finish_batch(mill, batch_id)
    assert image_counts(mill) == {"landed": 1, "superseded": 1}

    drop(mill, "c/x/a.png", picture(prose("a")))
    run_pipeline(mill)

    assert image_counts(mill) == {"landed": 2, "superseded": 1, "decoded": 1}
    assert_books_are_closed(mill)


# --- metadata ------------------------------------------------------------------------------------


class ForbiddenStore(Store):
    """Refuses one key, as after a change of rights."""

    def read_version(self, key, version):
        if key.endswith("metadata.csv"):
            raise ObjectDeniedError(key)
        return super().read_version(key, version)


def test_metadata_out_of_reach_stops_the_build_instead_of_dropping_labels(mill):
    drop(mill, "c/x/a.png", picture(prose("a")))
    drop(mill, "c/metadata.csv", b"file_name,label\nx/a.png,y\n")
    (batch_id,) = planning.plan_batches(mill)
    read_batch(mill, batch_id)
    judging.judge_batch(mill, batch_id)

    forbidden = dataclasses.replace(mill, store=ForbiddenStore(mill.store.bucket))
    with pytest.raises(RetryableError, match="out of reach"):
        building.build_snapshot(forbidden, batch_id)
    building.build_snapshot(mill, batch_id)

    assert [row["label_name"] for row in rows_published(mill, "c")] == ["y"]


# --- two at once ---------------------------------------------------------------------------------


def test_a_batch_discarded_while_it_is_built_is_not_published(mill, monkeypatch):
    drop(mill, "c/x/a.png", picture(prose("a")))
    (batch_id,) = planning.plan_batches(mill)
    read_batch(mill, batch_id)
    hold_then_pass(mill, batch_id, monkeypatch)

    with pytest.raises(UsageError, match="discarded"):
        building.build_snapshot(mill, batch_id)

    assert objects(mill, "datasets/c/_snapshots/LATEST") == {}
    assert page_counts(mill) == {"found": 1, "withdrawn": 1}
    assert_books_are_closed(mill)


def hold_then_pass(mill, batch_id, monkeypatch):
    """Hold a batch by its dataset gate; when it is judged again, a person discards it first."""
    judging.judge_batch(mill, batch_id)
    closed = stubbed_judge(is_held=lambda _run_name, _gate: True)
    monkeypatch.setattr(judging, "judge", closed)
    with pytest.raises(FatalError):
        building.build_snapshot(mill, batch_id)
    assert state(mill, batch_id) == BatchState.HELD

    def discarded_meanwhile(_mill, _batch_id, _rows, _labels):
        decide(mill, batch_id, verb="discard", because="bad", decided_by="me")

    monkeypatch.setattr(judging, "judge_dataset", discarded_meanwhile)


def test_two_planners_never_plan_the_same_image(mill, monkeypatch):
    drop(mill, "c/x/a.png", picture(prose("a")))
    unknown = planning.unknown
    raced = []

    def overtaken(connection, landed):
        found = unknown(connection, landed)
        if found and not raced:
            raced.append(True)
            planning.plan_batches(mill)
        return found

    monkeypatch.setattr(planning, "unknown", overtaken)
    planning.plan_batches(mill)

    planned = [
        image_id
        for key, _ in mill.store.list_keys("batches/")
        for image_id in mill.store.read_table(key)["image_id"].to_pylist()
    ]
    assert len(planned) == len(set(planned)) == 1


def test_what_is_planned_and_decided_during_an_audit_is_no_finding(mill, monkeypatch):
    publish(mill, 1)
    old = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)).isoformat()
    list_keys = Store.list_keys

    def planned_meanwhile(store, prefix):
        if prefix == "batches/" and len(rows_of(mill, t.BATCHES)) == 1:
            drop(mill, "c/x/late.png", picture(prose("late")))
            monkeypatch.setattr(planning, "dt", OldClock(old))
            planning.plan_batches(mill)
        return list_keys(store, prefix)

    monkeypatch.setattr(Store, "list_keys", planned_meanwhile)

    assert audit(mill) == []
    assert len(rows_of(mill, t.BATCHES)) == 2


class OldClock:
    """The module datetime, with a clock that stands at one moment."""

    UTC, timedelta = dt.UTC, dt.timedelta

    def __init__(self, moment):
        self.datetime = self
        self._moment = dt.datetime.fromisoformat(moment)

    def now(self, _zone):
        return self._moment


# --- newer versions ------------------------------------------------------------------------------


class HalfBlind(ScriptedEngine):
    """Reads no page that begins with a certain word."""

    def _read(self, pgm):
        reading = super()._read(pgm)
        if reading.words and reading.words[0].text == "unreadable":
            return SetAside(reason=Reason.ENGINE_TIMEOUT, detail="as asked", stage="recognize")
        return reading


@pytest.mark.parametrize("has_mate", [False, True])
def test_an_old_row_stays_when_no_page_of_the_newer_version_can_be_read(mill, has_mate):
    drop(mill, "c/x/a.png", picture(prose("a")))
    run_pipeline(mill)
    drop(mill, "c/x/a.png", picture("unreadable " + prose("b")))
    if has_mate:
        drop(mill, "c/x/mate.png", picture(prose("mate")))

    run_pipeline(mill, HalfBlind())

    assert [page["fate"] for page in pages_at(mill, "c/x/a.png")] == ["published", "quarantined"]
    assert_books_are_closed(mill)


def test_a_broken_version_in_between_is_nobodys_successor(mill):
    for content in (picture(prose("a")), b"no image", picture(prose("c"))):
        drop(mill, "c/x/a.png", content)
        run_pipeline(mill)

    first, _, last = images_at(mill, "c/x/a.png")
    assert (first["fate"], first["successor_id"]) == ("superseded", last["image_id"])


# --- costs ---------------------------------------------------------------------------------------


def test_a_build_looks_up_likeness_by_band_and_not_through_all_that_is_published(mill):
    with mill.ledger.reading() as connection:
        plans = []
        sa.event.listen(
            mill.ledger._engine,
            "before_cursor_execute",
            lambda _c, cursor, statement, parameters, _x, _m: plans.append((statement, parameters)),
        )
        candidates.published_with(connection, "c", [f"x:{n}" for n in range(10)])
        statement, parameters = plans[-1]
        steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()

    assert "signatures" in steps[0][-1]
    assert not [step for step in steps if step[-1].startswith("SCAN")]


def test_a_batch_that_waits_to_be_built_is_not_rung_for_at_every_audit(mill):
    drop(mill, "c/x/a.png", picture(prose("a")))
    (batch_id,) = planning.plan_batches(mill)
    read_batch(mill, batch_id)
    judging.judge_batch(mill, batch_id)
    now = dt.datetime.now(dt.UTC)
    minutes = [dt.timedelta(minutes=count) for count in range(30)]
    with mill.ledger.writing() as connection:
        values = {"touched_at": now - minutes[20], "built_for_at": now - minutes[5]}
        connection.execute(sa.update(t.DOORBELLS).values(**values))
        connection.execute(
            sa.insert(t.DOORBELLS), [{"batch_id": "busy", "touched_at": now - minutes[0]}]
        )
        found = receipts.unbuilt_batches(
            connection, idle_since=now - minutes[2], stalled_since=now - minutes[10]
        )
        later = receipts.unbuilt_batches(
            connection, idle_since=now + minutes[4], stalled_since=now + minutes[4] - minutes[8]
        )

    assert found == []
    assert later == [batch_id]
