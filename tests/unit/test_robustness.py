"""What comes from outside may be anything: images, messages, names, settings."""

import json
import os
import sys
import unicodedata
from pathlib import Path

import pytest
import sqlalchemy as sa
from PIL import Image, ImageDraw

from drivers import delete_for_good, drop, run_pipeline
from engines.scripted import picture, prose
from scanmill import cli, images
from scanmill.ledger import tables as t
from scanmill.models import Raster, Reason
from scanmill.orchestration.trigger import folders_of
from scanmill.settings import Settings

pytestmark = pytest.mark.usefixtures("plain_reports")

# --- images that unpack to more than there is room for -------------------------------------------

SIDE = 100


def volume(path, pages):
    """Write a TIFF of so many pages with something on each."""
    frames = [Image.new("L", (SIDE, SIDE), 255) for _ in range(pages)]
    for frame in frames:
        ImageDraw.Draw(frame).line((10, 10, 90, 90), fill=0)
    first, *others = frames
    first.save(path, "TIFF", save_all=True, append_images=others)
    return path


def decode(tmp_path, *pages, **settings):
    out_dir = tmp_path / "pages"
    out_dir.mkdir()
    files = [volume(tmp_path / f"{number}.tif", count) for number, count in enumerate(pages)]
    decoder = images.Decoder(Settings(**settings))
    return [decoder.decode(file, out_dir=out_dir) for file in files], out_dir


def test_an_image_whose_pages_are_too_large_together_is_refused_and_leaves_none(tmp_path):
    (decoded,), out_dir = decode(tmp_path, 3, max_image_pixels=2 * SIDE * SIDE)

    assert decoded.pages == ()
    assert decoded.refusal.reason == Reason.IMAGE_TOO_LARGE
    assert list(out_dir.iterdir()) == []


def test_the_limit_is_on_one_image_and_not_on_its_mates(tmp_path):
    decoded, out_dir = decode(tmp_path, 2, 3, 2, max_image_pixels=2 * SIDE * SIDE)

    assert [len(image.pages) for image in decoded] == [2, 0, 2]
    assert all(isinstance(page, Raster) for image in decoded for page in image.pages)
    assert len(list(out_dir.iterdir())) == 4


# --- messages that are none of the store's -------------------------------------------------------

NO_EVENTS = [
    "hello",
    "",
    "[]",
    "null",
    "7",
    '"text"',
    '{"Records": null}',
    '{"Records": 7}',
    '{"Records": [null]}',
    '{"Records": [{}]}',
    '{"Records": [{"s3": []}]}',
    '{"Records": [{"s3": {"object": {"key": 7}}}]}',
    "[" * 100_000,
]


@pytest.mark.parametrize("body", NO_EVENTS, ids=lambda body: body[:40] or "nothing")
def test_a_message_that_is_no_event_rings_for_the_whole_of_landing(body):
    assert folders_of([body]) == ["landing/"]


def test_a_message_that_is_no_event_takes_nothing_from_the_others():
    event = json.dumps({"Records": [{"s3": {"object": {"key": "landing/c/a.png"}}}]})

    assert set(folders_of([*NO_EVENTS, event])) == {"landing/", "landing/c/"}


# --- the command line ----------------------------------------------------------------------------


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


def is_one_line(text):
    return text.count("\n") == 1 and text.endswith("\n") and "Traceback" not in text


def is_inert(text):
    active = {"Cc", "Cf", "Zl", "Zp", "Cs"}
    return not any(unicodedata.category(each) in active for each in text.rstrip("\n"))


HOSTILE = "\x1b]0;pwned\x07\x1b[2J\u202egnp.png"


def test_an_error_about_a_missing_file_cannot_speak_to_the_terminal(run):
    code, _, err = run("drop", HOSTILE)

    assert code == 2
    assert "pwned" in err
    assert is_one_line(err)
    assert is_inert(err)


def test_an_error_about_an_unknown_command_cannot_speak_to_the_terminal(run):
    code, _, err = run(HOSTILE)

    assert code == 2
    assert is_one_line(err)
    assert is_inert(err)


def test_an_error_about_two_files_of_one_key_cannot_speak_to_the_terminal(run, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / HOSTILE).touch()

    code, _, err = run("drop", tmp_path / "a", tmp_path / "b", "--collection", "c")

    assert code == 2
    assert "pwned" in err
    assert is_one_line(err)
    assert is_inert(err)


def test_an_error_about_a_landed_key_cannot_speak_to_the_terminal(run, installed):
    drop(installed, f"c/x/{HOSTILE}", b"no image")
    run_pipeline(installed)
    for key, _ in list(installed.store.list_keys("quarantine/")):
        delete_for_good(installed, key)

    code, _, err = run("heal")

    assert code == 1
    assert "pwned" in err
    assert is_inert(err.replace("\n", ""))


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "",
        "sqlite:///{folder}/no_database",
        "sqlite:///{folder}/no/such/folder/ledger.db",
        "sqlite:///{folder}",
        "nosuch://user:secret@127.0.0.1:1/x",
        "postgresql://user:secret@127.0.0.1:1/x",
        "postgresql+nosuch://user:secret@127.0.0.1:1/x",
    ],
)
def test_a_ledger_that_cannot_be_opened_is_one_line(run, installed, monkeypatch, tmp_path, address):
    (tmp_path / "no_database").write_text("These are words and no database. " * 100)
    monkeypatch.setenv("SCANMILL_LEDGER_URL", address.format(folder=tmp_path))

    code, out, err = run("status")

    assert (code, out) == (1, "")
    assert is_one_line(err)
    assert "secret" not in err


def test_a_bug_of_ours_is_not_blamed_on_the_ledger(mill):
    row = {"page_id": "p", "minhash": b"sketch"}

    with pytest.raises(sa.exc.IntegrityError), mill.ledger.writing() as connection:
        connection.execute(sa.insert(t.SKETCHES), [row, row])


@pytest.mark.parametrize("address", ["nonsense", "http://", "http://[", "127.0.0.1:9000"])
def test_a_store_address_that_is_none_is_one_line(run, installed, monkeypatch, address):
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)

    code, out, err = run("status")

    assert (code, out) == (1, "")
    assert is_one_line(err)


@pytest.mark.parametrize("address", ["nonsense", "http://", "http://["])
def test_a_store_address_that_is_none_stops_a_drop_in_one_line(
    run, installed, monkeypatch, tmp_path, address
):
    (tmp_path / "a.png").write_bytes(picture(prose(1)))
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)

    code, _, err = run("drop", tmp_path / "a.png", "--again")

    assert code == 1
    assert "Traceback" not in err


# --- names that no key can have ------------------------------------------------------------------


def test_a_file_whose_name_is_not_utf_8_is_named_and_the_others_are_uploaded(
    run, installed, tmp_path
):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a.png", "z.png"):
        (folder / name).write_bytes(picture(prose(name)))
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes(picture(prose("bad")))

    code, _, err = run("drop", folder)

    landed = [key for key, _ in installed.store.list_keys("landing/")]
    assert code == 2
    assert landed == ["landing/scans/a.png", "landing/scans/z.png"]
    assert "caf" in err
    assert "UTF-8" in err
    assert "Traceback" not in err
