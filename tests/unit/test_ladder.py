"""Second chances for pages that were read poorly."""

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageStat
from sheets import marked, printed, written

from engines import tesseract_stub as stub
from scanmill.models import EngineInfo, Recognition, Word
from scanmill.ocr import choose_engine
from scanmill.ocr.ladder import Ladder, score
from scanmill.ocr.levers import darkened, skew
from scanmill.settings import Settings

pytestmark = pytest.mark.usefixtures("nothing_left")

NOBODY = EngineInfo(name="nobody", version="0", model_sha256="0" * 64)


def dotted(picture):
    """Return the page as a worn needle printer prints it: every second row and column is gone."""
    dots = picture.copy()
    draw = ImageDraw.Draw(dots)
    for x in range(1, dots.width, 2):
        draw.line((x, 0, x, dots.height), fill=255)
    for y in range(1, dots.height, 2):
        draw.line((0, y, dots.width, y), fill=255)
    return dots


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
    page = written(change(printed()), tmp_path)
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
    page = written(printed().transpose(Image.Transpose.ROTATE_180), tmp_path)
    settings = Settings(rescue_confidence=95, rescue_engine=None, rescue_tries=1)

    (reading,) = choose_engine(settings).recognize([page])

    assert reading.attempts == ("plain", "rotated")


def test_second_chances_of_a_chunk_share_their_calls(stub_engine, tmp_path):
    pages = [written(marked(stub.POOR, (60 + n, 40)), tmp_path) for n in range(4)]

    stub_engine(rescue_confidence=80).recognize(pages)

    # four plain pages; each on its head and on its sides; enlarged; straight; thick; as one block
    assert stub_engine.calls.read_text().split() == ["4", "12", "4", "4", "4", "4"]


@pytest.mark.parametrize("rescue_confidence", [0, 80])
def test_a_page_larger_than_pillow_likes_is_read(
    stub_engine, tmp_path, monkeypatch, rescue_confidence
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    engine = stub_engine(rescue_confidence=rescue_confidence)

    (reading,) = engine.recognize([written(marked(stub.POOR, size=(400, 300)), tmp_path)])

    assert isinstance(reading, Recognition)
    assert (len(reading.attempts) > 1) == bool(rescue_confidence)


def test_of_three_ways_to_turn_a_page_the_best_wins_and_is_named_last(stub_engine, tmp_path):
    page = written(marked(stub.POOR), tmp_path)
    with Image.open(page.path) as picture:
        picture.putpixel((59, 0), stub.MANY)  # the first pixel once it is turned to the left
        picture.save(page.path, "PPM")

    (reading,) = stub_engine(rescue_confidence=65).recognize([page])

    assert len(reading.words) == 200
    assert reading.attempts == ("plain", "rotated")


def test_a_page_of_doubtful_layout_is_read_as_one_block(stub_engine, tmp_path):
    (reading,) = stub_engine(rescue_confidence=75, rescue_ways="segmented").recognize(
        [written(marked(stub.JUMBLED), tmp_path)]
    )

    assert reading.attempts[-1] == "segmented"
    assert reading.mean_confidence == stub.READS_AS_BLOCK[1]


def test_a_few_lucky_words_never_replace_a_page_of_bad_ones(stub_engine, tmp_path):
    (reading,) = stub_engine(rescue_confidence=75).recognize([written(marked(stub.BAD), tmp_path)])

    assert (len(reading.words), reading.attempts[-1]) == (40, "plain")
    assert "rescaled" in reading.attempts


def test_one_sure_word_never_replaces_a_page_of_fair_ones(stub_engine, tmp_path):
    (reading,) = stub_engine(rescue_confidence=80).recognize([written(marked(stub.MANY), tmp_path)])

    assert len(reading.words) == 200
    assert reading.attempts[-1] == "plain"


def test_many_fair_words_beat_one_sure_word_and_rubbish_beats_nothing():
    assert score(words(200, 70)) > score(words(1, 96))
    assert score(words(180, 75)) > score(words(200, 70))
    assert score(words(200, 45)) < 0
    assert score(words(3, 80)) < 0


def words(count, confidence):
    word = Word(text="word", confidence=confidence, line=(1, 1, 1), box=(0, 0, 60, 20))
    return Recognition(words=(word,) * count, seconds=0.0, engine=NOBODY)


@pytest.mark.parametrize("turn", [turn.name for turn in Image.Transpose if "ROTATE" in turn.name])
def test_words_of_a_turned_page_stand_where_they_are_on_the_original(tmp_path, turn):
    straight = written(printed(), tmp_path)
    page = written(printed().transpose(Image.Transpose[turn]), tmp_path)
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
    page = written(change(printed()), tmp_path)
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
    page = written(marked(size=(400, 300)), tmp_path)

    (reading,) = Ladder(Turning(), None, Settings(rescue_ways="rotated")).recognize([page])

    assert len(reading.words) == 90
    assert reading.words[0].box == (380, 0, 400, 60)


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

    (reading,) = Ladder(first, other, Settings()).recognize([written(marked(), tmp_path)])

    assert other.pages_read == int(is_asked)
    assert reading.engine == (other if is_asked else first).info
    assert reading.attempts == (("plain", "other") if is_asked else ("plain",))


def test_only_the_second_chances_that_are_wanted_are_tried(tmp_path):
    engine = Fixed("poor", 50)

    (reading,) = Ladder(engine, None, Settings(rescue_ways="segmented")).recognize(
        [written(marked(), tmp_path)]
    )

    assert engine.pages_read == 2
    assert set(reading.attempts) == {"plain", "segmented"}


@pytest.mark.parametrize(("confidence", "is_turned"), [(44, True), (46, False)])
def test_a_page_of_many_words_is_turned_only_where_it_reads_as_if_upside_down(
    tmp_path, confidence, is_turned
):
    engine = Fixed("poor", confidence)

    (reading,) = Ladder(engine, None, Settings(rescue_ways="rotated")).recognize(
        [written(marked(), tmp_path)]
    )

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

    (reading,) = Ladder(engine, None, settings).recognize([written(marked(), tmp_path)])

    assert reading.attempts == ("plain", "thickened")
    assert engine.pages_read == 2


def test_skew_is_measured_to_half_a_degree():
    for angle in (-5, -1, 0, 3):
        turned = printed().rotate(-angle, Image.Resampling.BICUBIC, fillcolor=255)
        assert abs(skew(turned) - angle) <= 0.5


def test_strokes_are_thickened_as_pillow_does_it():
    grey = np.random.default_rng(1).integers(0, 256, (37, 53), dtype=np.uint8)
    picture = Image.fromarray(grey)

    assert darkened(picture) == picture.filter(ImageFilter.MinFilter(3))
