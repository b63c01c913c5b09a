"""The command line: what scripts rely on, exit codes, and one-line errors with their remedy."""

import dataclasses
import datetime as dt
import json
import os
import sys

import pytest
import sqlalchemy as sa

from drivers import drop, forget, read_batch, rows_of, run_pipeline
from engines.scripted import gibberish, picture, prose
from scanmill import alerts, cli, listing
from scanmill.findings import FindingKind, hints
from scanmill.ledger import outbox
from scanmill.ledger import tables as t
from scanmill.models import EngineName
from scanmill.steps import planning, recognizing
from scanmill.steps.auditing import audit

pytestmark = pytest.mark.usefixtures("plain_reports")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line as a person would; return (exit code, stdout, stderr)."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["scanmill", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    return command


@pytest.fixture
def installed(mill, monkeypatch):
    """A mill that the environment names, as on a server."""
    monkeypatch.setenv("SCANMILL_BUCKET", mill.settings.bucket)
    monkeypatch.setenv("SCANMILL_LEDGER_URL", mill.settings.ledger_url)
    monkeypatch.setenv("SCANMILL_EXPECTATIONS_DIR", str(mill.settings.expectations_dir))
    return mill


@pytest.fixture
def published(installed):
    """A mill that has published two scans and set one aside."""
    drop(installed, "books/a/1.png", picture(prose(1)))
    drop(installed, "books/b/2.png", picture(prose(2)))
    drop(installed, "books/b/3.png", b"not an image")
    run_pipeline(installed)
    return installed


def is_one_line(text):
    return text.count("\n") == 1 and "Traceback" not in text


# --- usage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["statu"],
        ["status", "--nonsense"],
        ["review"],
        ["review", "books-000001"],
        ["review", "books-000001", "--release", "--discard", "--because", "both"],
        ["reprocess", "--psm", "99"],
        ["wait", "--timeout", "soon"],
        ["drop", "no/such/file.png"],
        ["drop", 300 * "x" + ".png"],
        ["trace", "caf\udce9.png"],
        ["review", "caf\udce9", "--discard", "--because", "bad"],
        ["trace"],
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run, arguments):
    code, out, err = run(*arguments)

    assert code == 2
    assert out == ""
    assert is_one_line(err)


def test_without_a_stack_the_remedy_is_to_start_it(run, monkeypatch, tmp_path):
    monkeypatch.setenv("SCANMILL_HOME", str(tmp_path))

    code, out, err = run("status", "--json")

    assert (code, out) == (1, "")
    assert "./scanmill up" in err
    assert is_one_line(err)


def test_a_store_that_is_gone_is_one_line(run, installed, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    code, _, err = run("status")

    assert code == 1
    assert is_one_line(err)


# --- status --------------------------------------------------------------------------------------


def test_status_has_the_shape_that_scripts_rely_on(run, published):
    code, out, err = run("status", "--json")
    sums = json.loads(out)

    assert (code, err) == (0, "")
    assert sums["images"] == {
        "landed": 3,
        "decoded": 2,
        "quarantined": 1,
        "superseded": 0,
        "withdrawn": 0,
        "ignored": 0,
        "pending": 0,
    }
    assert sums["pages"] == {
        "found": 2,
        "published": 2,
        "duplicate": 0,
        "rejected": 0,
        "held": 0,
        "quarantined": 0,
        "superseded": 0,
        "withdrawn": 0,
        "pending": 0,
    }
    assert (sums["lost"], sums["audited_seconds_ago"]) == (0, 0)
    assert sums["quarantine"] == {"images": {"not_an_image": 1}, "pages": {}}
    dataset = sums["datasets"]["books"]
    assert dataset["version"] == 1
    assert dataset["uri"] == f"s3://{published.settings.bucket}/datasets/books"
    assert sum(dataset["rows"].values()) == 2


def test_what_is_listed_and_not_planned_is_pending(run, installed):
    drop(installed, "books/a/1.png", picture(prose(1)))

    sums = json.loads(run("status", "--json")[1])

    assert sums["images"]["landed"] == sums["images"]["pending"] == 1


def test_status_shows_what_alerts_are_open_and_undelivered(run, installed):
    message = alerts.component_away(component="scheduler", trouble="dead")
    with installed.ledger.writing() as connection:
        outbox.begin(connection, **dataclasses.asdict(message))

    shown = json.loads(run("status", "--json")[1])["alerts"]
    _, _, err = run("status")

    assert [alert["subject"] for alert in shown["open"]] == ["[scanmill] the scheduler is away"]
    assert shown["undelivered"] == 1
    assert "alert: the scheduler is away (since 20" in err
    assert "have not arrived: 1" in err


def test_status_names_what_is_lost_and_ends_with_1(run, published):
    forget(published, t.PAGES)

    code, _, err = run("status")

    assert code == 1
    assert "lost: 2" in err
    assert "no_page_row" in err
    assert "landing/books/a/1.png" in err


def test_status_is_red_when_nobody_audits_any_more(run, published):
    audit(published)
    old = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    with published.ledger.writing() as connection:
        connection.execute(sa.update(t.AUDITS).values(finished_at=old, seconds=60))

    code, _, err = run("status")

    assert code == 1
    assert "not audited any more" in err
    assert "balance" not in err


# --- trace ---------------------------------------------------------------------------------------


def test_an_image_is_traced_to_its_row_and_back(run, published):
    story = json.loads(run("trace", "books/a/1.png", "--json")[1])
    page = story["versions"][0]["pages"][0]
    back = json.loads(run("trace", page["page_id"], "--json")[1])

    assert page["fate"] == "published"
    assert page["shard"].startswith(f"s3://{published.settings.bucket}/datasets/books/data/")
    assert back == story


@pytest.mark.parametrize("name", ["landing/books/a/1.png", "s3://{bucket}/landing/books/a/1.png"])
def test_a_key_may_be_given_as_it_stands_anywhere(run, published, name):
    code, out, _ = run("trace", name.format(bucket=published.settings.bucket), "--json")

    assert code == 0
    assert json.loads(out)["key"] == "landing/books/a/1.png"


def test_a_broken_image_is_traced_to_its_quarantine(run, published):
    story = json.loads(run("trace", "books/b/3.png", "--json")[1])

    assert story["versions"][0]["reason"] == "not_an_image"
    assert "/quarantine/books/not_an_image/" in story["versions"][0]["quarantine"]


def test_what_never_landed_cannot_be_traced(run, published):
    code, _, err = run("trace", "books/a/nowhere.png")

    assert code == 2
    assert is_one_line(err)


def test_a_hostile_key_cannot_speak_to_the_terminal(run, installed):
    key = "books/a/\u202e[bold red]gnp.red{{ 7*7 }}\x1b[31m.png"
    drop(installed, key, b"nothing")
    run_pipeline(installed)

    _, _, err = run("trace", key)

    assert "[bold red]gnp.red" in err
    assert not {"\u202e", "\x1b"} & set(err)


# --- reprocess -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "--reason, --key, --batch or --stale"),
        (["--batch", "books-000009"], 2, "[books-000009]"),
        (["--reason", "ugly"], 2, "docs/reasons.md"),
        (["--key", "*", "--lang", "xyz"], 1, "[xyz]"),
    ],
)
def test_reprocess_says_what_it_cannot_do(run, published, arguments, code, said):
    found, out, err = run("reprocess", *arguments)

    assert (found, out) == (code, "")
    assert is_one_line(err)
    assert said in err


def test_reprocess_plans_what_was_asked_for_and_says_when_it_begins(run, published):
    code, _, err = run("reprocess", "--reason", "not_an_image", "--psm", "6", "--because", "why")

    assert code == 0
    assert "books-000002" in err
    assert "60 s" in err  # there is no Airflow to ring at


def test_reprocess_takes_another_engine(run, published):
    code, _, _ = run("reprocess", "--key", "books/*", "--engine", "tesserocr")
    asked = recognizing.for_batch(published, "books-000002").settings

    assert code == 0
    assert asked.ocr_engine == EngineName.TESSEROCR


def test_reprocess_reads_again_what_is_stale(run, published):
    code, out, _ = run("status", "--json")
    stale = json.loads(out)["stale"]["pages"]
    _, _, err = run("status")
    run("reprocess", "--stale")
    pages = [row for row in rows_of(published, t.BATCHES) if row["kind"] == "reprocess"]

    assert code == 0
    assert stale > 0
    assert f"stale: {stale} pages" in err
    assert len(pages) == 1


def test_reprocess_of_nothing_is_no_error(run, published):
    code, _, err = run("reprocess", "--key", "books/z*")

    assert code == 0
    assert "nothing to read again" in err


# --- audit, review, wait -------------------------------------------------------------------------


def test_the_audit_names_what_is_off_and_ends_with_1(run, published):
    forget(published, t.PAGES)

    code, out, _ = run("audit", "--json")
    report = json.loads(out)

    assert code == 1
    lost = [finding["subject"] for finding in report["findings"] if finding["is_lost"]]
    assert lost == ["landing/books/a/1.png", "landing/books/b/2.png"]
    assert report["lost"] == 2
    assert {finding["remedy"] for finding in report["findings"] if finding["is_lost"]} == {
        hints[FindingKind.NO_PAGE_ROW].remedy
    }


def test_the_audit_says_what_to_type(run, published):
    forget(published, t.PAGES)

    _, _, err = run("audit")

    assert "no_page_row: A page was read" in err
    assert "LOST landing/books/a/1.png: page 1 was read" in err
    assert "-> Type `./scanmill heal`" in err


def test_heal_mends_what_the_audit_found(run, published):
    forget(published, t.PAGES)

    assert run("heal")[0] == 0
    assert run("audit")[0] == 0


def test_a_held_batch_is_released_by_what_the_mail_says(run, installed):
    for number in range(30):
        text = gibberish(number) if number < 12 else prose(number)
        drop(installed, f"books/a/{number}.png", picture(text))
    run_pipeline(installed)

    held = json.loads(run("status", "--json")[1])
    code, _, err = run("review", "books-000001", "--release", "--because", "they are samples")

    assert held["pages"]["held"] == 30
    assert held["held"] == ["books-000001"]
    assert code == 0
    assert "released" in err


@pytest.mark.parametrize("batch", ["books-000001", "books-000099", "nonsense"])
def test_only_a_held_batch_can_be_decided_on(run, published, batch):
    code, _, err = run("review", batch, "--discard", "--because", "no")

    assert code == 2
    assert is_one_line(err)


def test_a_decision_needs_a_reason(run, published):
    code, _, err = run("review", "books-000001", "--discard")

    assert code == 2
    assert "--because" in err


def test_wait_ends_at_once_when_nothing_is_pending(run, published):
    assert run("wait", "--timeout", "0")[0] == 0


def test_wait_names_what_is_left_when_time_is_up(run, installed):
    drop(installed, "books/a/1.png", picture(prose(1)))
    drop(installed, "books/a/2.png", picture(prose(2)))
    (batch,) = planning.plan_batches(installed)
    read_batch(installed, batch)
    drop(installed, "books/a/3.png", picture(prose(3)))

    code, _, err = run("wait", "--timeout", "0")

    assert code == 1
    assert "1 unplanned images" in err
    assert "2 pages" in err


# --- drop ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for label in ("a", "b"):
        (tmp_path / "scans" / label).mkdir(parents=True)
        (tmp_path / "scans" / label / "1.png").write_bytes(picture(prose(label)))
    return tmp_path / "scans"


def keys(mill):
    return sorted(key for key, _ in mill.store.list_keys("landing/"))


def test_a_folder_becomes_a_collection_and_its_folders_labels(run, installed, folder):
    assert run("drop", folder)[0] == 0
    assert keys(installed) == ["landing/scans/a/1.png", "landing/scans/b/1.png"]


def test_a_collection_can_be_named(run, installed, folder):
    assert run("drop", folder / "a" / "1.png", "--collection", "other")[0] == 0
    assert keys(installed) == ["landing/other/1.png"]


def test_metadata_is_there_before_the_first_scan(run, installed, tmp_path):
    folder = tmp_path / "books"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.png").write_bytes(b"scan")
    (folder / "metadata.csv").write_text("file_name,label\n00.png,a\n")

    code, _, _ = run("drop", folder)

    landed = {one.key: one.modified_at for one in installed.store.list_versions("landing/")}
    metadata = landed.pop("landing/books/metadata.csv")
    assert code == 0
    assert len(landed) == 40
    assert all(metadata <= moment for moment in landed.values())


def test_what_is_there_already_is_not_uploaded_again(run, installed, folder):
    run("drop", folder)

    code, _, err = run("drop", folder)

    assert code == 0
    assert "2 of 2 are there already" in err
    assert len(list(installed.store.list_versions("landing/"))) == 2


def test_again_makes_new_versions(run, installed, folder):
    run("drop", folder)
    run("drop", folder, "--again")

    assert len(list(installed.store.list_versions("landing/"))) == 4


def test_two_files_never_become_one_key(run, installed, folder):
    code, _, err = run("drop", folder / "a", folder / "b", "--collection", "scans")

    assert code == 2
    assert "scans/1.png" in err
    assert keys(installed) == []


def test_a_name_that_no_key_can_have_is_named_and_harms_no_other(run, installed, folder):
    bad = os.fsencode(folder) + b"/a/caf\xe9.png"
    os.close(os.open(bad, os.O_CREAT))

    code, _, err = run("drop", folder)

    assert code == 2
    assert "1 of 3 entries" in err
    assert "UTF-8" in err
    assert keys(installed) == ["landing/scans/a/1.png", "landing/scans/b/1.png"]


def test_linked_folders_are_uploaded_and_dead_links_are_named(run, installed, folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "2.png").write_bytes(b"scan")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "back").symlink_to(folder)
    (folder / "nowhere.png").symlink_to(tmp_path / "nothing")

    code, _, err = run("drop", folder)

    assert code == 2
    assert "2 of 5 entries" in err
    assert "landing/scans/linked/2.png" in keys(installed)
    assert len(keys(installed)) == 3


def test_a_folder_without_a_file_is_wrong_usage(run, installed, tmp_path):
    (tmp_path / "empty").mkdir()

    code, _, err = run("drop", tmp_path / "empty")

    assert code == 2
    assert "no file" in err


# --- doctor --------------------------------------------------------------------------------------


def test_doctor_says_what_is_missing_and_what_to_do(run, published):
    code, out, _ = run("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)["checks"]}

    assert code == 1
    assert checks["If-None-Match"]["is_well"]
    assert checks["If-Match"]["is_well"]
    assert checks["bucket versioning"]["is_well"]
    assert checks["listing"]["is_well"]
    assert "http://127.0.0.1:" in checks["store"]["detail"]
    assert checks["queue"]["detail"].startswith("none, by choice")
    assert checks["watchdog"]["detail"].startswith("never seen")
    assert "scanmill watchdog" in checks["watchdog"]["remedy"]
    assert not checks["mail"]["is_well"]
    assert "AIRFLOW_CONN_SMTP_DEFAULT" in checks["mail"]["remedy"]


def test_doctor_says_which_languages_are_read_and_which_there_are(run, installed, monkeypatch):
    monkeypatch.setenv("SCANMILL_COLLECTION_LANGUAGES", "letters=deu")
    _, out, _ = run("doctor", "--json")
    well = {check["name"]: check for check in json.loads(out)["checks"]}
    monkeypatch.setenv("SCANMILL_COLLECTION_LANGUAGES", "letters=xyz")
    _, out, _ = run("doctor", "--json")
    ill = {check["name"]: check for check in json.loads(out)["checks"]}

    assert well["languages"]["detail"] == "collections: eng, letters: deu; there are deu, eng"
    assert not ill["OCR engine"]["is_well"]
    assert "[xyz]" in ill["OCR engine"]["detail"]


@pytest.mark.parametrize("aws", ["seaweedfs"], indirect=True)
def test_doctor_knows_a_store_whose_listing_leaves_uploads_out(run, installed, monkeypatch):
    _, out, _ = run("doctor", "--json")
    mended = {check["name"]: check for check in json.loads(out)["checks"]}
    monkeypatch.setattr(listing, "_may_leave_out", lambda *_: False)
    _, out, _ = run("doctor", "--json")
    plain = {check["name"]: check for check in json.loads(out)["checks"]}

    assert mended["listing"]["is_well"], mended["listing"]
    assert mended["store"]["detail"].startswith("SeaweedFS")
    assert not plain["listing"]["is_well"]
    assert "doctor/listing/a-b/1" in plain["listing"]["detail"]
