"""The ledger as a database: opened, migrated, written and read by many; and the outbox in it."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from entries import BATCH, NOW, enter, image, part_of, plan_of, planned, read

from scanmill import ledger as ledger_module
from scanmill.errors import FatalError, RetryableError
from scanmill.ledger import HEAD, Ledger, books, outbox, receipts
from scanmill.ledger import tables as t
from scanmill.models import BatchKind

VERSIONS = Path(ledger_module.__file__).parent / "migrations" / "versions"


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
