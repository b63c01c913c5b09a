import dataclasses
import gc
import hashlib
import os
import runpy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageStat

from scanmill.errors import FatalError
from scanmill.images import Decoder
from scanmill.models import EngineInfo, EngineName, Raster, Reason, Recognition, SetAside, Word
from scanmill.ocr import ENGINES, choose_engine, tessdata, with_second_chances
from scanmill.ocr.inversion import TESSERACTS_OWN, invert_threshold
from scanmill.ocr.ladder import Ladder, score
from scanmill.ocr.levers import darkened, skew
from scanmill.ocr.tesseract import TesseractEngine
from scanmill.sandbox import scratch
from scanmill.settings import Settings

STUB = Path(__file__).parents[1] / "engines" / "tesseract_stub.py"
stub = SimpleNamespace(**runpy.run_path(str(STUB)))

NOBODY = EngineInfo(name="nobody", version="0", model_sha256="0" * 64)

TEXT = """The quick brown fox jumps
over the lazy dog and then
sleeps until the morning sun
wakes him for his breakfast"""


@pytest.fixture(autouse=True)
def temp(tmp_path, monkeypatch):
    """Give every test its own folder for temporary files and see that nothing stays in it."""
    folder = tmp_path / "temp"
    folder.mkdir()
    with scratch() as work:
        process_folder = work.parent
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    gc.collect()  # an engine ends its workers when it goes
    assert [*folder.iterdir(), *process_folder.iterdir()] == []


@pytest.fixture
def fake(tmp_path):
    """Return a maker of engines whose program is the stand-in."""
    program = tmp_path / "tesseract"
    script = tmp_path / "stub.py"
    script.write_text(STUB.read_text())
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


def raster(folder, marker=0, size=(60, 40), name="page"):
    picture = Image.new("L", size, 255)
    picture.paste(marker, (0, 0, 6, 6))  # large enough to be there when the page was smoothed
    path = folder / f"{name}-{marker}-{size[0]}.pgm"
    picture.save(path, "PPM")
    return Raster(path=str(path), width_px=size[0], height_px=size[1])


def printed(folder, change=lambda picture: picture, name="printed", pixels=32):
    picture = Image.new("L", (900, 460), 255)
    font = ImageFont.load_default(pixels)
    ImageDraw.Draw(picture).multiline_text((100, 90), TEXT, fill=0, font=font, spacing=20)
    picture = change(picture)
    path = folder / f"{name}.pgm"
    picture.save(path, "PPM")
    return Raster(path=str(path), width_px=picture.width, height_px=picture.height)


def dotted(picture):
    """Return the page as a worn needle printer prints it: every second row and column is gone."""
    dots = picture.copy()
    draw = ImageDraw.Draw(dots)
    for x in range(1, dots.width, 2):
        draw.line((x, 0, x, dots.height), fill=255)
    for y in range(1, dots.height, 2):
        draw.line((0, y, dots.width, y), fill=255)
    return dots


def text_of(recognition):
    return " ".join(word.text for word in recognition.words)


def words(count, confidence):
    word = Word(text="word", confidence=confidence, line=(1, 1, 1), box=(0, 0, 60, 20))
    return Recognition(words=(word,) * count, seconds=0.0, engine=NOBODY)


def test_a_printed_page_is_read(tmp_path):
    (reading,) = choose_engine(Settings()).recognize([printed(tmp_path)])

    assert text_of(reading) == TEXT.replace("\n", " ")
    assert all(word.confidence > 80 and word.height_px > 10 for word in reading.words)
    assert reading.attempts == ("plain",)
    assert reading.seconds > 0


def test_a_batch_reads_the_same_as_single_pages(tmp_path):
    engine = choose_engine(Settings(rescue_confidence=0))
    pages = [printed(tmp_path), raster(tmp_path), printed(tmp_path, lambda p: p.rotate(1), "b")]

    together = [reading.words for reading in engine.recognize(pages)]

    assert together == [engine.recognize([page])[0].words for page in pages]


@pytest.mark.parametrize("rescue_confidence", [0, 80])
def test_a_page_larger_than_pillow_likes_is_read(fake, tmp_path, monkeypatch, rescue_confidence):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    engine = fake(rescue_confidence=rescue_confidence)

    (reading,) = engine.recognize([raster(tmp_path, stub.POOR, size=(400, 300))])

    assert isinstance(reading, Recognition)
    assert (len(reading.attempts) > 1) == bool(rescue_confidence)


def test_decoded_images_go_straight_into_the_engine(tmp_path):
    with Image.open(printed(tmp_path).path) as picture:
        picture.save(tmp_path / "scan", "TIFF")
    decoded = Decoder(Settings()).decode(tmp_path / "scan", out_dir=tmp_path)

    (reading,) = choose_engine(Settings()).recognize(decoded.pages)

    assert "brown fox" in text_of(reading)


@pytest.mark.parametrize(
    ("way", "change"),
    [
        ("rotated", lambda picture: picture.transpose(Image.Transpose.ROTATE_180)),
        ("rescaled", lambda picture: picture.resize((230, 118), Image.Resampling.BOX)),
        (
            "deskewed",
            lambda picture: picture.rotate(7.5, Image.Resampling.BICUBIC, fillcolor=255),
        ),
        ("thickened", dotted),
    ],
)
def test_a_second_chance_reads_what_the_first_could_not(tmp_path, way, change):
    page = printed(tmp_path, change)
    (first,) = choose_engine(Settings(rescue_confidence=0)).recognize([page])
    settings = Settings(rescue_confidence=95, rescue_engine=None)
    (second,) = choose_engine(settings).recognize([page])

    assert score(second) > score(first)
    assert second.attempts[-1] == way
    assert "plain" in second.attempts
    assert len(set(second.attempts)) == len(second.attempts)
    assert second.seconds > first.seconds
    assert 0 < second.rescue_seconds < second.seconds
    assert first.rescue_seconds == 0


def test_second_chances_of_a_page_are_numbered(tmp_path):
    page = printed(tmp_path, lambda picture: picture.transpose(Image.Transpose.ROTATE_180))
    settings = Settings(rescue_confidence=95, rescue_engine=None, rescue_tries=1)

    (reading,) = choose_engine(settings).recognize([page])

    assert reading.attempts == ("plain", "rotated")


def test_of_three_ways_to_turn_a_page_the_best_wins_and_is_named_last(fake, tmp_path):
    page = raster(tmp_path, stub.POOR)
    with Image.open(page.path) as picture:
        picture.putpixel((59, 0), stub.MANY)  # the first pixel once it is turned to the left
        picture.save(page.path, "PPM")

    (reading,) = fake(rescue_confidence=65).recognize([page])

    assert len(reading.words) == 200
    assert reading.attempts == ("plain", "rotated")


def test_a_page_of_doubtful_layout_is_read_as_one_block(fake, tmp_path):
    (reading,) = fake(rescue_confidence=75, rescue_ways="segmented").recognize(
        [raster(tmp_path, stub.JUMBLED)]
    )

    assert reading.attempts[-1] == "segmented"
    assert reading.mean_confidence == stub.READS_AS_BLOCK[1]


def test_a_few_lucky_words_never_replace_a_page_of_bad_ones(fake, tmp_path):
    (reading,) = fake(rescue_confidence=75).recognize([raster(tmp_path, stub.BAD)])

    assert (len(reading.words), reading.attempts[-1]) == (40, "plain")
    assert "rescaled" in reading.attempts


@pytest.mark.parametrize("turn", [turn.name for turn in Image.Transpose if "ROTATE" in turn.name])
def test_words_of_a_turned_page_stand_where_they_are_on_the_original(tmp_path, turn):
    straight = printed(tmp_path)
    page = printed(tmp_path, lambda p: p.transpose(Image.Transpose[turn]), turn)
    engine = choose_engine(Settings(rescue_confidence=80, rescue_engine=None))

    (reading,) = engine.recognize([page])

    assert inks_of(reading, page) == pytest.approx(inks_of(*engine.recognize([straight]), straight))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.resize((230, 118), Image.Resampling.BOX),
        lambda p: p.rotate(7.5, Image.Resampling.BICUBIC, fillcolor=255),
    ],
)
def test_words_of_a_changed_page_stand_on_ink(tmp_path, change):
    page = printed(tmp_path, change, "changed")
    settings = Settings(rescue_confidence=95, rescue_engine=None)

    (reading,) = choose_engine(settings).recognize([page])

    assert reading.attempts[-1] in {"rescaled", "deskewed"}
    assert min(inks_of(reading, page).values()) > 0.1
    assert max(word.box[2] for word in reading.words) <= page.width_px
    assert max(word.box[3] for word in reading.words) <= page.height_px


def inks_of(reading, page):
    """Return the share of dark pixels in the box of each long word."""
    with Image.open(page.path) as picture:
        return {
            word.text: 1 - ImageStat.Stat(picture.crop(word.box)).mean[0] / 255
            for word in reading.words
            if len(word.text) > 4
        }


class Turning:
    """An engine that tells the turns of a page apart by the corner in which its dark spot lies."""

    info = NOBODY
    languages = ()

    def recognize(self, rasters, *, psm=None, languages=None):
        by_corner = {"top left": words(3, 40), "bottom right": words(30, 75)}
        return [by_corner.get(self.corner(raster), words(90, 90)) for raster in rasters]

    def corner(self, raster):
        with Image.open(raster.path) as picture:
            places = {
                "top left": (0, 0),
                "bottom right": (picture.width - 1, picture.height - 1),
                "bottom left": (0, picture.height - 1),
                "top right": (picture.width - 1, 0),
            }
            return min(places, key=lambda name: picture.getpixel(places[name]))


def test_words_of_the_second_of_two_turns_that_are_better_stand_where_they_are(tmp_path):
    """Both turns start from the page as it lies: the second one's way back is its own."""
    page = raster(tmp_path, marker=0, size=(400, 300))

    (reading,) = Ladder(Turning(), None, Settings(rescue_ways="rotated")).recognize([page])

    assert len(reading.words) == 90
    assert reading.words[0].box == (380, 0, 400, 60)


def test_skew_is_measured_to_a_quarter_of_a_degree(tmp_path):
    with Image.open(printed(tmp_path).path) as picture:
        for angle in (-5, -1, 0, 3):
            turned = picture.rotate(-angle, Image.Resampling.BICUBIC, fillcolor=255)
            assert abs(skew(turned) - angle) <= 0.5


def test_strokes_are_thickened_as_pillow_does_it():
    grey = np.random.default_rng(1).integers(0, 256, (37, 53), dtype=np.uint8)
    picture = Image.fromarray(grey)

    assert darkened(picture) == picture.filter(ImageFilter.MinFilter(3))


def test_many_fair_words_beat_one_sure_word_and_rubbish_beats_nothing():
    assert score(words(200, 70)) > score(words(1, 96))
    assert score(words(180, 75)) > score(words(200, 70))
    assert score(words(200, 45)) < 0
    assert score(words(3, 80)) < 0


def test_one_sure_word_never_replaces_a_page_of_fair_ones(fake, tmp_path):
    (reading,) = fake(rescue_confidence=80).recognize([raster(tmp_path, stub.MANY)])

    assert len(reading.words) == 200
    assert reading.attempts[-1] == "plain"


def test_idle_cores_share_a_call(fake, tmp_path):
    fake(ocr_workers=2).recognize([raster(tmp_path)] * 4)
    fake(ocr_workers=2, chunk_pages=1).recognize([raster(tmp_path)])

    assert fake.calls.read_text().split() == ["2", "2", "1"]


def test_a_folder_of_models_is_searched_before_the_engines_own(tmp_path):
    own = tmp_path / "models"
    own.mkdir()
    english = Path(tessdata.wheel_folder()) / "eng.traineddata"
    (own / "mine.traineddata").write_bytes(english.read_bytes())

    for name in (EngineName.TESSERACT, EngineName.TESSEROCR):
        settings = Settings(ocr_engine=name, ocr_languages="mine+deu", tessdata_dir=own)
        engine = choose_engine(settings)
        (reading,) = engine.recognize([printed(tmp_path)])

        assert "brown fox" in text_of(reading)
        assert {"mine", "eng", "deu"} <= set(engine.languages)


class Fixed:
    """An engine that reads so many words on any page, of one confidence."""

    languages = ()

    def __init__(self, name, confidence):
        self.info = EngineInfo(name=name, version="1", model_sha256="0" * 64)
        self.pages_read = 0
        self._reading = dataclasses.replace(words(100, confidence), engine=self.info)

    def recognize(self, rasters, *, psm=None, languages=None):
        self.pages_read += len(rasters)
        return [self._reading] * len(rasters)


@pytest.mark.parametrize(("confidence", "is_asked"), [(83, True), (85, False)])
def test_another_engine_is_asked_below_its_own_floor(tmp_path, confidence, is_asked):
    first, other = Fixed("first", confidence), Fixed("other", 93)

    (reading,) = Ladder(first, other, Settings()).recognize([raster(tmp_path)])

    assert other.pages_read == int(is_asked)
    assert reading.engine == (other if is_asked else first).info
    assert reading.attempts == (("plain", "other") if is_asked else ("plain",))


def test_only_the_second_chances_that_are_wanted_are_tried(tmp_path):
    engine = Fixed("poor", 50)

    (reading,) = Ladder(engine, None, Settings(rescue_ways="segmented")).recognize(
        [raster(tmp_path)]
    )

    assert engine.pages_read == 2
    assert set(reading.attempts) == {"plain", "segmented"}


@pytest.mark.parametrize(("confidence", "is_turned"), [(44, True), (46, False)])
def test_a_page_of_many_words_is_turned_only_where_it_reads_as_if_upside_down(
    tmp_path, confidence, is_turned
):
    engine = Fixed("poor", confidence)

    (reading,) = Ladder(engine, None, Settings(rescue_ways="rotated")).recognize([raster(tmp_path)])

    assert engine.pages_read == (2 if is_turned else 1)
    assert ("rotated" in reading.attempts) == is_turned


class InBlocks(Fixed):
    """An engine that reads a page poorly, and a little better as one block."""

    def recognize(self, rasters, *, psm=None, languages=None):
        readings = super().recognize(rasters)
        return [words(100, 62) if psm == 6 else reading for reading in readings]


def test_no_picture_is_read_the_same_way_twice(tmp_path):
    engine = InBlocks("blocks", 55)
    settings = Settings(rescue_ways="thickened,segmented")

    (reading,) = Ladder(engine, None, settings).recognize([raster(tmp_path)])

    assert reading.attempts == ("plain", "thickened")
    assert engine.pages_read == 2


def test_second_chances_of_a_chunk_share_their_calls(fake, tmp_path):
    pages = [raster(tmp_path, stub.POOR, (60 + n, 40)) for n in range(4)]

    fake(rescue_confidence=80).recognize(pages)

    # four plain pages; each on its head and on its sides; enlarged; straight; thick; as one block
    assert fake.calls.read_text().split() == ["4", "12", "4", "4", "4", "4"]


def test_words_of_white_space_are_dropped(fake, tmp_path):
    (reading,) = fake().recognize([raster(tmp_path)])

    assert [word.text for word in reading.words] == ["word0", "word1", "word2"]
    assert {word.confidence for word in reading.words} == {91.5}


def test_order_is_kept_over_chunks(fake, tmp_path):
    pages = [raster(tmp_path), raster(tmp_path, stub.POOR), raster(tmp_path, stub.LONE)]

    readings = fake(chunk_pages=2).recognize(pages)

    assert [len(reading.words) for reading in readings] == [3, 8, 1]
    assert fake.calls.read_text().split() == ["2", "1"]


def label(size, *, ground=0, word="Fax", pad=6):
    """Return a printed page on which a light word stands on a dark label."""
    picture = Image.new("L", (900, 460), 255)
    draw = ImageDraw.Draw(picture)
    draw.multiline_text((100, 90), TEXT, fill=0, font=ImageFont.load_default(24))
    font = ImageFont.load_default(size)
    left, top, right, bottom = draw.textbbox((600, 300), word, font=font)
    draw.rectangle((left - pad, top - pad, right + pad, bottom + pad), fill=ground)
    draw.text((600, 300), word, fill=255, font=font)
    return picture


@pytest.mark.parametrize("picture", [label(16), label(20), label(40), label(24, ground=90)])
def test_a_light_word_on_dark_ground_has_doubtful_lines_read_twice(tmp_path, picture):
    assert invert_threshold(printed(tmp_path, lambda _: picture)) == TESSERACTS_OWN


@pytest.mark.parametrize("pixels", [12, 32, 60])
def test_a_page_without_dark_ground_has_no_line_read_twice(tmp_path, pixels):
    assert invert_threshold(printed(tmp_path, pixels=pixels)) == 0


def test_what_is_too_small_to_be_dark_ground_is_no_reason_to_read_a_line_twice(tmp_path):
    """Inverted, Tesseract would read the label: so this shows that lines are read once."""
    engine = ENGINES[EngineName.TESSEROCR](Settings(ocr_workers=1))
    sheet = printed(tmp_path, lambda _: label(11, ground=110, word="VAT 20%", pad=1))

    (reading,) = engine.recognize([sheet])

    assert invert_threshold(sheet) == 0
    assert "fox" in text_of(reading)
    assert "VAT" not in text_of(reading)


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3)])
def test_a_page_without_room_for_a_word_has_no_line_read_twice(tmp_path, size):
    black = Image.new("L", size)

    assert invert_threshold(printed(tmp_path, lambda _: black)) == 0


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
    fake, tmp_path, marker, reason
):
    good = raster(tmp_path)

    readings = fake().recognize([good, good, raster(tmp_path, marker), good])

    assert [isinstance(reading, Recognition) for reading in readings] == [True, True, False, True]
    assert isinstance(readings[2], SetAside)
    assert (readings[2].reason, readings[2].stage) == (reason, "recognize")


def test_an_engine_that_sleeps_is_ended_by_the_wall_clock(fake, tmp_path, monkeypatch):
    monkeypatch.setattr("scanmill.sandbox.WALL_FACTOR", 0.7)

    (reading,) = fake().recognize([raster(tmp_path, stub.SLEEP)])

    assert reading.reason == Reason.ENGINE_TIMEOUT


def test_the_engine_sees_no_secret_and_one_thread(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "top secret")
    engine = fake()
    assert engine.info.version == "9.9"
    program = tmp_path / "tesseract"
    program.write_text(program.read_text().replace("exec", f"env >{tmp_path}/seen\nexec"))

    engine.recognize([raster(tmp_path)])

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


def test_engines_of_different_settings_work_side_by_side(fake, tmp_path):
    broken, sound = fake(page_cpu_seconds=1), choose_engine(Settings())
    start = threading.Barrier(4)

    def read(engine, page):
        start.wait()
        return engine.recognize([page])[0]

    pairs = [(broken, raster(tmp_path, stub.CRASH)), (sound, printed(tmp_path))] * 2
    with ThreadPoolExecutor(4) as pool:
        readings = list(pool.map(lambda pair: read(*pair), pairs))

    assert [isinstance(reading, Recognition) for reading in readings] == [False, True] * 2
    assert "lazy dog" in text_of(readings[3])


def test_the_engine_names_its_version_and_the_hash_of_its_model(fake):
    info = fake().info

    assert (info.name, info.version) == ("tesseract", "9.9")
    assert info.model_sha256 == hashlib.sha256(b"model").hexdigest()


def test_two_languages_have_a_model_hash_of_their_own():
    english, both = (
        choose_engine(Settings(ocr_languages=languages)).info.model_sha256
        for languages in ("eng", "eng+deu")
    )

    assert english != both


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
