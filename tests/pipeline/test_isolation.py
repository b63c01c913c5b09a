"""A page that brings its decoder or its OCR program down costs itself, and not its mates a byte."""

import dataclasses
import io
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from drivers import drop, images_at, pages_at, read_anew
from engines import tesseract_stub
from scanmill import images, layout
from scanmill.ocr.tesseract import TesseractEngine
from scanmill.steps import planning
from scanmill.steps.examining import examine

STUBS = Path(__file__).parents[1] / "engines"
MATES = 6
DIFFER = {"seconds", "attempts", "image_id", "page_id", "source_version", "batch_id", "source_key"}
"""Time, and what has the collection's name or the version in it."""

ENGINE_FAULTS = {
    "segfault": tesseract_stub.CRASH,
    "loop": tesseract_stub.SPIN,
    "flood": tesseract_stub.FLOOD,
    "bomb": tesseract_stub.ALLOCATE,
    "lost page": tesseract_stub.OMIT,
}
DECODER_FAULTS = ("crash", "spin", "half")


@pytest.fixture
def engine(mill, tmp_path):
    """Tesseract's stand-in, which misbehaves for a page that is marked."""
    program, models = tmp_path / "tesseract", tmp_path / "models"
    script = shutil.copy(STUBS / "tesseract_stub.py", program.with_suffix(".py"))
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I {script} "$@"\n')
    program.chmod(0o755)
    models.mkdir()
    (models / "eng.traineddata").write_bytes(b"model")
    settings = mill.settings.model_copy(update={"page_cpu_seconds": 1})
    return TesseractEngine(settings, program=str(program), tessdata_folder=models)


@pytest.mark.parametrize("marker", ENGINE_FAULTS.values(), ids=ENGINE_FAULTS)
def test_mates_of_a_page_that_breaks_the_engine_are_as_without_it(mill, engine, marker):
    alone = read(mill, engine, "alone", [])
    together = read(mill, engine, "together", [page(marker)])
    (guilty,) = pages_at(mill, "together/x/guilty-0.png")

    assert together == alone
    assert guilty["fate"] == "quarantined"


@pytest.mark.parametrize("fault", DECODER_FAULTS)
def test_mates_of_a_file_that_breaks_the_decoder_are_as_without_it(
    mill, engine, fault, monkeypatch
):
    alone = read(mill, engine, "alone", [])
    decoder = (sys.executable, str(STUBS / "decoder_stub.py"))
    monkeypatch.setattr(images, "DECODER", decoder)
    short = mill.settings.model_copy(update={"page_cpu_seconds": 1})
    guilty = page(1) + b"MARKER-" + fault.encode()
    together = read(dataclasses.replace(mill, settings=short), engine, "together", [guilty])
    (guilty,) = images_at(mill, "together/x/guilty-0.png")

    assert together == alone
    assert guilty["fate"] == "quarantined"


def test_doctor_says_how_strong_the_walls_are(mill):
    found = {result.name: result for result in examine(mill)}

    assert found["isolation"].is_well
    assert "apt-get install bubblewrap" in found["isolation"].detail


def test_doctor_names_bubblewrap_where_it_is(mill, bubblewrapped):
    found = {result.name: result for result in examine(mill)}

    assert found["isolation"].detail.startswith("bubblewrap")


def read(mill, engine, collection, guilty):
    """Read a batch, and return the rows of its good pages without what must differ."""
    bodies = [page(100 + number) for number in range(MATES)]
    for number, body in enumerate(bodies):
        drop(mill, f"{collection}/x/{number}.png", body)
    for number, body in enumerate(guilty):
        drop(mill, f"{collection}/x/guilty-{number}.png", body)
    (batch_id,) = planning.plan_batches(mill)
    read_anew(mill, engine, batch_id)
    rows = mill.store.read_table(layout.part(batch_id, 0)).to_pylist()
    good = [row for row in rows if "guilty" not in row["source_key"]]
    assert len(good) == MATES
    return [{k: v for k, v in row.items() if k not in DIFFER} for row in by_place(good)]


def by_place(rows):
    return sorted(rows, key=lambda row: row["source_key"].rpartition("/")[2])


def page(marker):
    """Return a page whose first pixel says how the stand-in is to behave."""
    image = Image.new("L", (60, 40), 255)
    image.putpixel((0, 0), marker)
    image.putpixel((1, 0), 7)
    sink = io.BytesIO()
    image.save(sink, "PNG")
    return sink.getvalue()
