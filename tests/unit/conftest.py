"""What the tests of single modules share: a Tesseract that misbehaves, empty homes and ledgers."""

import gc
import sys
from pathlib import Path

import pytest

from engines import tesseract_stub
from scanmill.ledger import Ledger
from scanmill.local import stack
from scanmill.local.home import Home
from scanmill.ocr import with_second_chances
from scanmill.ocr.tesseract import TesseractEngine
from scanmill.sandbox import scratch
from scanmill.settings import Settings


@pytest.fixture
def nothing_left(tmp_path, monkeypatch):
    """Give a test its own folder for temporary files and see that nothing stays in it."""
    folder = tmp_path / "temp"
    folder.mkdir()
    with scratch() as work:
        process_folder = work.parent
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield
    gc.collect()  # an engine ends its workers when it goes
    assert [*folder.iterdir(), *process_folder.iterdir()] == []


@pytest.fixture
def stub_engine(tmp_path):
    """Return a maker of engines whose program is the stub; `calls` tells the pages of each call."""
    program = tmp_path / "tesseract"
    script = tmp_path / "stub.py"
    script.write_text(Path(tesseract_stub.__file__).read_text())
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I {script} "$@"\n')
    program.chmod(0o755)
    (tmp_path / "eng.traineddata").write_bytes(b"model")

    def make(**options):
        defaults = {
            "page_cpu_seconds": 1,
            "rescue_confidence": 0,
            "rescue_engine": None,
            "ocr_workers": 1,
        }
        settings = Settings(**{**defaults, **options})
        engine = TesseractEngine(settings, program=str(program), tessdata_folder=tmp_path)
        return with_second_chances(engine, settings)

    make.calls = Path(f"{script}.calls")
    return make


@pytest.fixture
def some_home(tmp_path, monkeypatch):
    monkeypatch.setattr(stack, "_handed_out", {})  # of another test's stack, in this process
    folder = Home(tmp_path / "a home")
    folder.make()
    return folder


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def ledger(url):
    return Ledger(url)
