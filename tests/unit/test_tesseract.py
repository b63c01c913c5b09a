"""The default engine: Tesseract's program, one call for many pages."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sheets import TEXT, marked, printed, text_of, written

from engines import tesseract_stub as stub
from scanmill.errors import FatalError
from scanmill.images import Decoder
from scanmill.models import EngineName, Reason, Recognition, SetAside
from scanmill.ocr import choose_engine, tessdata
from scanmill.ocr.tesseract import TesseractEngine
from scanmill.settings import Settings

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_a_printed_page_is_read(tmp_path):
    (reading,) = choose_engine(Settings()).recognize([written(printed(), tmp_path)])

    assert text_of(reading) == TEXT.replace("\n", " ")
    assert all(word.confidence > 80 and word.height_px > 10 for word in reading.words)
    assert reading.attempts == ("plain",)
    assert reading.seconds > 0


def test_a_batch_reads_the_same_as_single_pages(tmp_path):
    engine = choose_engine(Settings(rescue_confidence=0))
    pages = [
        written(printed(), tmp_path),
        written(marked(), tmp_path),
        written(printed().rotate(1), tmp_path),
    ]

    together = [reading.words for reading in engine.recognize(pages)]

    assert together == [engine.recognize([page])[0].words for page in pages]


def test_decoded_images_go_straight_into_the_engine(tmp_path):
    printed().save(tmp_path / "scan", "TIFF")
    decoded = Decoder(Settings()).decode(tmp_path / "scan", out_dir=tmp_path)

    (reading,) = choose_engine(Settings()).recognize(decoded.pages)

    assert "brown fox" in text_of(reading)


def test_words_of_white_space_are_dropped(stub_engine, tmp_path):
    (reading,) = stub_engine().recognize([written(marked(), tmp_path)])

    assert [word.text for word in reading.words] == ["word0", "word1", "word2"]
    assert {word.confidence for word in reading.words} == {91.5}


def test_idle_cores_share_a_call(stub_engine, tmp_path):
    stub_engine(ocr_workers=2).recognize([written(marked(), tmp_path)] * 4)
    stub_engine(ocr_workers=2, chunk_pages=1).recognize([written(marked(), tmp_path)])

    assert stub_engine.calls.read_text().split() == ["2", "2", "1"]


def test_order_is_kept_over_chunks(stub_engine, tmp_path):
    pages = [
        written(marked(), tmp_path),
        written(marked(stub.POOR), tmp_path),
        written(marked(stub.LONE), tmp_path),
    ]

    readings = stub_engine(chunk_pages=2).recognize(pages)

    assert [len(reading.words) for reading in readings] == [3, 8, 1]
    assert stub_engine.calls.read_text().split() == ["2", "1"]


@pytest.mark.parametrize(
    ("marker", "reason"),
    [
        (stub.CRASH, Reason.ENGINE_CRASH),
        (stub.SPIN, Reason.ENGINE_TIMEOUT),
        (stub.FLOOD, Reason.ENGINE_CRASH),
        (stub.FAIL, Reason.ENGINE_ERROR),
        (stub.ALLOCATE, Reason.ENGINE_ERROR),
        (stub.OMIT, Reason.INCOMPLETE_OUTPUT),
        (stub.RESIZE, Reason.INCOMPLETE_OUTPUT),
        (stub.GARBLE, Reason.INCOMPLETE_OUTPUT),
    ],
)
def test_a_page_that_breaks_the_engine_is_set_aside_and_its_mates_are_read(
    stub_engine, tmp_path, marker, reason
):
    good = written(marked(), tmp_path)

    readings = stub_engine().recognize([good, good, written(marked(marker), tmp_path), good])

    assert [isinstance(reading, Recognition) for reading in readings] == [True, True, False, True]
    assert isinstance(readings[2], SetAside)
    assert (readings[2].reason, readings[2].stage) == (reason, "recognize")


def test_an_engine_that_sleeps_is_ended_by_the_wall_clock(stub_engine, tmp_path, monkeypatch):
    monkeypatch.setattr("scanmill.sandbox.WALL_FACTOR", 0.7)

    (reading,) = stub_engine().recognize([written(marked(stub.SLEEP), tmp_path)])

    assert reading.reason == Reason.ENGINE_TIMEOUT


def test_the_engine_sees_no_secret_and_one_thread(stub_engine, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "top secret")
    engine = stub_engine()
    assert engine.info.version == "9.9"
    program = tmp_path / "tesseract"
    program.write_text(program.read_text().replace("exec", f"env >{tmp_path}/seen\nexec"))

    engine.recognize([written(marked(), tmp_path)])

    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines())
    assert seen["OMP_THREAD_LIMIT"] == "1"
    assert set(seen) - {"PWD", "SHLVL", "_", "OLDPWD"} == {
        "PATH",
        "LC_ALL",
        "OMP_THREAD_LIMIT",
        "TESSDATA_PREFIX",
        "TMPDIR",
        "SCANMILL_SCRATCH",
    }


def test_engines_of_different_settings_work_side_by_side(stub_engine, tmp_path):
    broken, sound = stub_engine(page_cpu_seconds=1), choose_engine(Settings())
    start = threading.Barrier(4)

    def read(engine, page):
        start.wait()
        return engine.recognize([page])[0]

    pairs = [
        (broken, written(marked(stub.CRASH), tmp_path)),
        (sound, written(printed(), tmp_path)),
    ] * 2
    with ThreadPoolExecutor(4) as pool:
        readings = list(pool.map(lambda pair: read(*pair), pairs))

    assert [isinstance(reading, Recognition) for reading in readings] == [False, True] * 2
    assert "lazy dog" in text_of(readings[3])


def test_the_engine_names_its_version_and_the_hash_of_its_model(stub_engine):
    info = stub_engine().info

    assert (info.name, info.version) == ("tesseract", "9.9")
    assert info.model_sha256 == hashlib.sha256(b"model").hexdigest()


def test_two_languages_have_a_model_hash_of_their_own():
    english, both = (
        choose_engine(Settings(ocr_languages=languages)).info.model_sha256
        for languages in ("eng", "eng+deu")
    )

    assert english != both


def test_a_folder_of_models_is_searched_before_the_engines_own(tmp_path):
    own = tmp_path / "models"
    own.mkdir()
    english = Path(tessdata.wheel_folder()) / "eng.traineddata"
    (own / "mine.traineddata").write_bytes(english.read_bytes())

    for name in (EngineName.TESSERACT, EngineName.TESSEROCR):
        settings = Settings(ocr_engine=name, ocr_languages="mine+deu", tessdata_dir=own)
        engine = choose_engine(settings)
        (reading,) = engine.recognize([written(printed(), tmp_path)])

        assert "brown fox" in text_of(reading)
        assert {"mine", "eng", "deu"} <= set(engine.languages)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"ocr_languages": "eng+xyz"}, r"No Tesseract language \[xyz\].*xyz.traineddata"),
        ({"ocr_psm": 1}, r"No Tesseract language \[osd\]"),
        ({"ocr_psm": 0}, "SCANMILL_OCR_PSM=3"),
    ],
)
def test_wrong_settings_stop_everything_and_name_the_remedy(options, remedy):
    with pytest.raises(FatalError, match=remedy):
        choose_engine(Settings(**options))


def test_a_program_that_does_not_run_stops_everything(tmp_path):
    with pytest.raises(FatalError, match="does not run"):
        TesseractEngine(Settings(), program=str(tmp_path / "missing"))


@pytest.mark.skipif("SCANMILL_REAL_SCANS" not in os.environ, reason="no folder of real scans")
def test_real_scans_are_all_read(tmp_path):
    files = sorted(
        path
        for path in Path(os.environ["SCANMILL_REAL_SCANS"]).iterdir()
        if path.suffix in {".tif", ".png", ".jpg"}
    )
    decoder = Decoder(Settings())
    pages = [decoder.decode(file, out_dir=tmp_path).pages[0] for file in files]

    readings = choose_engine(Settings()).recognize(pages)

    assert all(isinstance(reading, Recognition) and reading.words for reading in readings)
