"""The ledger: what may be entered, entered again, entered late, and what is never kept."""

import datetime as dt
import itertools
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from scanmill import ledger as ledger_module
from scanmill import schema
from scanmill.errors import FatalError, RetryableError
from scanmill.ledger import HEAD, Ledger, books, outbox, receipts
from scanmill.ledger import tables as t
from scanmill.models import (
    BatchKind,
    BatchState,
    ImageFate,
    PageFate,
    Reason,
    Signature,
    hash_id,
    page_id,
)

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
BATCH = "c-000001"
VERSIONS = Path(ledger_module.__file__).parent / "migrations" / "versions"


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def ledger(url):
    return Ledger(url)


# --- opening -------------------------------------------------------------------------------------


def test_a_ledger_is_made_from_nothing(ledger):
    with ledger.reading() as connection:
        names = set(sa.inspect(connection).get_table_names())

    assert names == {*t.METADATA.tables, "alembic_version"}


def test_the_newest_migration_is_the_head():
    newest = max(path.stem for path in VERSIONS.glob("v[0-9]*.py"))

    assert newest.startswith(f"v{HEAD}_")


def test_the_migrations_give_exactly_the_tables_of_the_program(ledger):
    with ledger.reading() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), t.METADATA)

    assert differences == []


def test_a_ledger_of_the_version_before_knows_where_its_pages_stand(url):
    """Brought to today's tables from revision 0001, with a batch of two slices in it."""
    ledger = Ledger(url)
    enter(ledger, lambda c: books.enter_plan(c, BATCH, plan_of(planned("a"), planned("b", 1))))
    enter(ledger, lambda c: books.enter_part(c, BATCH, 0, part_of(read("a"))))
    enter(ledger, lambda c: books.enter_part(c, BATCH, 1, part_of(read("b", slice=1))))
    go_back_to_0001(ledger)

    with Ledger(url).reading() as connection:
        slices = dict(connection.execute(sa.select(t.PAGES.c.image_id, t.PAGES.c.slice)).all())
        kinds = set(connection.scalars(sa.select(t.BATCHES.c.kind)))

    assert slices == {image("a"): 0, image("b"): 1}
    assert kinds == {BatchKind.INTAKE}


def go_back_to_0001(ledger):
    """Make the ledger what it was in an earlier version, with the rows that it had then."""
    with ledger.writing() as connection:
        for statement in (
            "DROP TABLE heartbeats",
            "DROP TABLE attempts",
            "DROP INDEX images_by_bytes",
            "ALTER TABLE pages DROP COLUMN slice",
            "ALTER TABLE batches DROP COLUMN kind",
            "UPDATE alembic_version SET version_num = '0001'",
        ):
            connection.execute(sa.text(statement))


def test_a_ledger_is_opened_again_as_it_was(ledger, url):
    with ledger.writing() as connection:
        outbox.post(connection, key="k", kind="k", subject="s", text="t")

    with Ledger(url).reading() as connection:
        assert len(outbox.undelivered(connection)) == 1


def test_processes_that_open_a_new_ledger_at_once_do_not_collide(url):
    program = f"from scanmill.ledger import Ledger; Ledger({url!r})"
    openers = [
        subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(4)
    ]
    errors = [opener.communicate()[1].decode()[-500:] for opener in openers]

    assert [opener.returncode for opener in openers] == [0] * 4, errors
    assert Ledger(url)._revision() == HEAD


def test_a_ledger_of_a_newer_program_is_refused(ledger, url):
    with ledger.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(FatalError):
        Ledger(url)


def test_a_ledger_that_cannot_be_reached_is_tried_again_later(tmp_path):
    with pytest.raises(RetryableError):
        Ledger(f"sqlite:///{tmp_path}/no/such/folder/ledger.db")


# --- transactions --------------------------------------------------------------------------------


def test_a_transaction_that_fails_keeps_nothing(ledger):
    def post_and_fail(connection):
        outbox.post(connection, key="k", kind="k", subject="s", text="t")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        enter(ledger, post_and_fail)

    with ledger.reading() as connection:
        assert outbox.undelivered(connection) == []


def test_a_reader_sees_one_state_while_others_write(ledger):
    with ledger.reading() as reader:
        before = len(outbox.undelivered(reader))
        with ledger.writing() as writer:
            outbox.post(writer, key="k", kind="k", subject="s", text="t")

        assert len(outbox.undelivered(reader)) == before == 0

    with ledger.reading() as reader:
        assert len(outbox.undelivered(reader)) == 1


def test_moments_come_back_in_utc(ledger):
    here = NOW.astimezone(dt.timezone(dt.timedelta(hours=5)))
    audit = {"finished_at": here, "seconds": 1.0, "lost": 0, "findings": []}
    with ledger.writing() as connection:
        connection.execute(sa.insert(t.AUDITS), [audit])

    with ledger.reading() as connection:
        assert receipts.latest_audit(connection)["finished_at"] == NOW


# --- what is entered -----------------------------------------------------------------------------


def planned(key, number=0, **changes):
    """Return a row of a plan."""
    row = {
        "image_id": image(key),
        "bucket": "b",
        "key": f"landing/c/{key}",
        "version": "v",
        "etag": "e",
        "size_bytes": 7,
        "modified_at": NOW,
        "slice": number,
    }
    return dict.fromkeys(schema.PLAN.names) | row | changes


def image(key):
    return hash_id("b", key)


def plan_of(*rows):
    table = pa.Table.from_pylist(list(rows), schema=schema.PLAN)
    return table.replace_schema_metadata({"planned_at": NOW.isoformat()})


def read(key, number=1, count=1, **changes):
    """Return a row of a part: a page that was read."""
    row = {
        "page_id": page_id(image(key), number),
        "batch_id": BATCH,
        "slice": 0,
        "image_id": image(key),
        "page_number": number,
        "page_count": count,
        "image_fate": ImageFate.DECODED,
        "fate": PageFate.PENDING,
        "sha256": "0" * 64,
        "text": "words",
    }
    return dict.fromkeys(schema.PAGES.names) | row | changes


def unread(key):
    """Return the row of an image that could not be opened."""
    quarantined = {"image_fate": ImageFate.QUARANTINED, "fate": PageFate.QUARANTINED}
    return read(key, 0, 0, **quarantined, reason=Reason.CORRUPT_IMAGE, text=None)


def part_of(*rows):
    table = pa.Table.from_pylist(list(rows), schema=schema.PAGES)
    return table.replace_schema_metadata({"log_url": "log"})


def fates_of(*rows):
    rows = [dict.fromkeys(schema.FATES.names) | row for row in rows]
    return pa.Table.from_pylist(rows, schema=schema.FATES)


def fate(key, name, reason=None, **changes):
    ids = {"page_id": page_id(image(key), 1), "image_id": image(key)}
    return ids | {"fate": name, "reason": reason} | changes


def manifest(version=1, batch_id=BATCH):
    rows = {"train": 1, "validation": 0, "test": 0}
    return {"version": version, "name": f"m{version}", "batch_id": batch_id, "rows": rows}


def verdict(*, passed, gate=Reason.PAGES_GATE):
    severity = "pass" if passed else "critical"
    return {
        "gate": gate,
        "passed": passed,
        "severity": severity,
        "suite_sha256": "f" * 64,
        "report": "s3://b/report",
    }


def decision(verb, gate=Reason.PAGES_GATE):
    return {
        "verb": verb,
        "gate": gate,
        "decided_by": "operator",
        "because": "seen",
        "decided_at": NOW.isoformat(),
    }


PLAN = plan_of(
    planned("a"),
    planned("b"),
    planned("keep", None, fate=ImageFate.IGNORED, reason=Reason.PLACEHOLDER),
)
PART = part_of(read("a"), unread("b"))
SIGNATURES = {page_id(image("a"), 1): Signature(bands=("x:1", "0:2"), sketch=b"\0" * 512)}

ENTRIES = {
    "plan": lambda c: books.enter_plan(c, BATCH, PLAN),
    "part": lambda c: books.enter_part(c, BATCH, 0, PART),
    "signatures": lambda c: books.enter_signatures(c, "c", BATCH, SIGNATURES),
    "recognized": lambda c: books.enter_recognized(c, BATCH, has_pages=True),
    "held": lambda c: books.enter_verdict(c, BATCH, 1, verdict(passed=False)),
    "released": lambda c: books.enter_decision(c, BATCH, 1, decision("release")),
    "snapshot": lambda c: books.enter_snapshot(
        c, "c", manifest(), fates_of(fate("a", PageFate.PUBLISHED, shard="s", split="train"))
    ),
}
"""The story of a batch that was held and released, in order."""

DISCARDED = lambda c: books.enter_decision(c, BATCH, 1, decision("discard"))  # noqa: E731


def everything(ledger):
    """Return all tables without the moments at which something was entered."""
    with ledger.reading() as connection:
        return {
            table.name: [
                {k: v for k, v in row.items() if k not in {"touched_at", "created_at"}}
                for row in connection.execute(sa.select(table)).mappings()
            ]
            for table in t.METADATA.sorted_tables
        }


def enter(ledger, *entries):
    for entry in entries:
        with ledger.writing() as connection:
            (entry if callable(entry) else ENTRIES[entry])(connection)


def fate_of_page(ledger, key):
    with ledger.reading() as connection:
        query = sa.select(t.PAGES.c.fate).where(t.PAGES.c.image_id == image(key))
        return connection.scalar(query)


def fate_of_image(ledger, key):
    with ledger.reading() as connection:
        query = sa.select(t.IMAGES.c.fate).where(t.IMAGES.c.image_id == image(key))
        return connection.scalar(query)


def state_of_batch(ledger):
    with ledger.reading() as connection:
        return receipts.batch(connection, BATCH)["state"]


@pytest.mark.parametrize("last", range(1, len(ENTRIES) + 1))
def test_whatever_is_entered_again_at_any_time_changes_nothing(ledger, last):
    story = list(ENTRIES)[:last]
    enter(ledger, *story)
    before = everything(ledger)

    enter(ledger, *story)

    assert everything(ledger) == before


@pytest.mark.parametrize("number", range(len(ENTRIES)))
def test_each_single_entry_may_come_again_after_the_end(ledger, number):
    enter(ledger, *ENTRIES)
    before = everything(ledger)

    enter(ledger, list(ENTRIES)[number])

    assert everything(ledger) == before


def passes(connection):
    books.enter_verdict(connection, BATCH, 1, verdict(passed=True))


def fails_at_the_dataset(connection):
    books.enter_verdict(connection, BATCH, 2, verdict(passed=False, gate=Reason.DATASET_GATE))


@pytest.mark.parametrize("late", [passes, "held", "released"])
def test_an_old_verdict_or_decision_that_comes_late_frees_nobody(ledger, late):
    story = [passes] if late is passes else ["held", "released"]
    enter(ledger, "plan", "part", "recognized", *story, fails_at_the_dataset)
    before = everything(ledger)

    enter(ledger, late)

    assert state_of_batch(ledger) == BatchState.HELD
    assert everything(ledger) == before


def test_a_discarded_batch_stays_discarded_whatever_comes_late(ledger):
    enter(ledger, "plan", "part", "recognized", "held", DISCARDED)
    before = everything(ledger)

    enter(ledger, "plan", "part", "signatures", "recognized", "held", DISCARDED)
    after = everything(ledger)

    after |= {"signatures": [], "sketches": []}
    assert after == before
    assert state_of_batch(ledger) == BatchState.DISCARDED
    assert fate_of_page(ledger, "a") == PageFate.WITHDRAWN
    assert fate_of_image(ledger, "a") == ImageFate.WITHDRAWN
    assert fate_of_image(ledger, "b") == ImageFate.QUARANTINED


def test_landed_and_found_balance_after_every_entry(ledger):
    for name in ENTRIES:
        enter(ledger, name)
        with ledger.reading() as connection:
            images, pages = receipts.image_counts(connection), receipts.page_counts(connection)

        assert receipts.imbalances(images, pages) == [], name


def test_found_is_what_decoding_counted_not_a_count_of_fates(ledger):
    enter(ledger, "plan", "part")
    with ledger.writing() as connection:
        connection.execute(sa.delete(t.PAGES))

    with ledger.reading() as connection:
        images, pages = receipts.image_counts(connection), receipts.page_counts(connection)

    assert pages["found"] == 1
    assert receipts.imbalances(images, pages) == ["found is 1, but the fates add up to 0"]


def test_a_failed_verdict_holds_the_pages_that_were_pending(ledger):
    pages = part_of(
        read("a", 1, 2),
        read("a", 2, 2, fate=PageFate.QUARANTINED, reason=Reason.CORRUPT_IMAGE),
        unread("b"),
    )
    enter(
        ledger,
        "plan",
        lambda c: books.enter_part(c, BATCH, 0, pages),
        "recognized",
        "held",
    )

    with ledger.reading() as connection:
        counts = receipts.page_counts(connection, BATCH)

    assert (counts["held"], counts["quarantined"], counts["pending"]) == (1, 1, 0)


def test_a_verdict_that_was_decided_on_holds_nothing_any_more(ledger):
    enter(ledger, "plan", "part", "recognized", "held", "released", "held")

    assert state_of_batch(ledger) == BatchState.RELEASED


def test_an_old_verdict_that_comes_late_holds_nothing(ledger):
    enter(
        ledger,
        "plan",
        "part",
        "recognized",
        "held",
        lambda c: books.enter_verdict(c, BATCH, 2, verdict(passed=True)),
        "held",
    )

    assert state_of_batch(ledger) == BatchState.PASSED


def test_of_two_decisions_on_one_verdict_the_first_counts(ledger):
    enter(ledger, "plan", "part", "recognized", "held", "released", DISCARDED)

    assert state_of_batch(ledger) == BatchState.RELEASED
    assert fate_of_page(ledger, "a") == PageFate.HELD


def test_an_older_snapshot_that_comes_late_changes_no_page(ledger):
    enter(
        ledger,
        "plan",
        "part",
        lambda c: books.enter_snapshot(c, "c", manifest(2), fates_of(fate("a", "duplicate"))),
        "snapshot",
    )

    assert fate_of_page(ledger, "a") == PageFate.DUPLICATE


@pytest.mark.parametrize(("by", "successor"), [("c-000003", "newer"), ("c-000004", "newest")])
def test_a_superseded_image_names_the_version_that_replaced_it(ledger, by, successor):
    gone = fates_of(fate("a", PageFate.SUPERSEDED, Reason.OVERWRITTEN))
    enter(ledger, "plan", "part")
    for number, name in enumerate(("broken", "newer", "newest"), start=2):
        batch_id = f"c-00000{number}"
        row = unread(name) if name == "broken" else read(name)
        plan = plan_of(planned(name) | {"key": "landing/c/a"})
        enter(ledger, lambda c, b=batch_id, p=plan: books.enter_plan(c, b, p))
        part = part_of(row | {"batch_id": batch_id})
        enter(ledger, lambda c, b=batch_id, p=part: books.enter_part(c, b, 0, p))
    enter(ledger, lambda c: books.enter_snapshot(c, "c", manifest(1, by), gone))

    (row,) = [r for r in everything(ledger)["images"] if r["image_id"] == image("a")]
    assert (row["fate"], row["reason"]) == (ImageFate.SUPERSEDED, Reason.OVERWRITTEN)
    assert row["successor_id"] == image(successor)


# --- only the transitions of the law exist -------------------------------------------------------

_FINAL_IMAGES = (ImageFate.SUPERSEDED, ImageFate.WITHDRAWN, ImageFate.IGNORED)
_IMAGE_ENTRIES = {
    "part": "part",
    "other part": lambda c: books.enter_part(c, BATCH, 0, part_of(unread("a"), unread("b"))),
    "held": "held",
    "discarded": DISCARDED,
    "superseded": lambda c: books.enter_snapshot(
        c, "c", manifest(9), fates_of(fate("a", PageFate.SUPERSEDED, Reason.OVERWRITTEN))
    ),
}


def give(ledger, table, **values):
    with ledger.writing() as connection:
        connection.execute(sa.update(table).where(table.c.image_id == image("a")).values(**values))


@pytest.mark.parametrize(
    ("before", "entry"), list(itertools.product(_FINAL_IMAGES, _IMAGE_ENTRIES))
)
def test_an_image_never_leaves_its_last_fate(ledger, before, entry):
    enter(ledger, "plan", "part", "recognized", "held")
    give(ledger, t.IMAGES, fate=before)

    enter(ledger, _IMAGE_ENTRIES[entry])

    assert fate_of_image(ledger, "a") == before


def test_a_decoded_image_is_not_quarantined_by_a_late_part(ledger):
    enter(ledger, "plan", "part", _IMAGE_ENTRIES["other part"])

    assert fate_of_image(ledger, "a") == ImageFate.DECODED


@pytest.mark.parametrize(
    ("before", "after"),
    list(
        itertools.product(
            (PageFate.SUPERSEDED, PageFate.WITHDRAWN),
            (PageFate.PUBLISHED, PageFate.DUPLICATE, PageFate.REJECTED, PageFate.SUPERSEDED),
        )
    ),
)
def test_a_page_never_leaves_its_last_fate(ledger, before, after):
    enter(ledger, "plan", "part")
    give(ledger, t.PAGES, fate=before, snapshot=1)

    enter(ledger, lambda c: books.enter_snapshot(c, "c", manifest(2), fates_of(fate("a", after))))

    assert fate_of_page(ledger, "a") == before


@pytest.mark.parametrize(
    "before", [each for each in PageFate if each not in {PageFate.PENDING, PageFate.HELD}]
)
def test_a_gate_holds_nothing_but_what_is_pending(ledger, before):
    enter(ledger, "plan", "part", "recognized")
    give(ledger, t.PAGES, fate=before)

    enter(ledger, "held")

    assert fate_of_page(ledger, "a") == before


WAITING = (PageFate.HELD, PageFate.PENDING)


@pytest.mark.parametrize("before", [each for each in PageFate if each not in WAITING])
def test_a_discard_withdraws_nothing_but_what_waits(ledger, before):
    enter(ledger, "plan", "part", "recognized", "held")
    give(ledger, t.PAGES, fate=before)

    enter(ledger, DISCARDED)

    assert fate_of_page(ledger, "a") == before


@pytest.mark.parametrize("end", [BatchState.BUILT, BatchState.SETTLED, BatchState.DISCARDED])
def test_a_finished_batch_never_moves_again(ledger, end):
    enter(ledger, *ENTRIES)
    with ledger.writing() as connection:
        connection.execute(sa.update(t.BATCHES).values(state=end))

    enter(
        ledger,
        *ENTRIES,
        DISCARDED,
        lambda c: books.enter_verdict(c, BATCH, 2, verdict(passed=False)),
        lambda c: books.enter_verdict(c, BATCH, 3, verdict(passed=True)),
        lambda c: books.enter_recognized(c, BATCH, has_pages=False),
    )

    assert state_of_batch(ledger) == end


# --- the outbox ----------------------------------------------------------------------------------


def test_one_key_is_one_message(ledger):
    for text in ("first", "second"):
        with ledger.writing() as connection:
            outbox.post(connection, key="k", kind="gate", subject="s", text=text)

    with ledger.reading() as connection:
        assert [message["text"] for message in outbox.undelivered(connection)] == ["first"]


def test_a_message_stays_until_it_has_arrived(ledger):
    with ledger.writing() as connection:
        outbox.post(connection, key="k", kind="gate", subject="s", text="t")
        outbox.note_failed(connection, "k", "refused")
        outbox.note_failed(connection, "k", "refused again")
    with ledger.reading() as connection:
        (waiting,) = outbox.undelivered(connection)

    with ledger.writing() as connection:
        outbox.note_delivered(connection, "k")
    with ledger.reading() as connection:
        left = outbox.undelivered(connection)

    assert (waiting["tries"], waiting["error"]) == (2, "refused again")
    assert left == []
