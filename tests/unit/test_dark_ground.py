"""Light letters are looked for on dark ground only."""

import pytest
from PIL import Image
from sheets import labelled, printed, text_of, written

from scanmill.children.dark_ground import has_dark_ground
from scanmill.models import EngineName
from scanmill.ocr import ENGINES
from scanmill.settings import Settings


@pytest.mark.parametrize("pixels", [16, 20, 40])
def test_a_label_is_dark_ground(pixels):
    assert has_dark_ground(labelled(pixels))


def test_a_grey_label_is_dark_ground():
    assert has_dark_ground(labelled(24, ground=90))


@pytest.mark.parametrize("pixels", [12, 32, 60])
def test_print_is_no_dark_ground(pixels):
    assert not has_dark_ground(printed(pixels))


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3)])
def test_what_has_no_room_for_a_word_is_no_dark_ground(size):
    assert not has_dark_ground(Image.new("L", size, 0))


def test_without_dark_ground_no_line_is_read_twice(tmp_path):
    """Inverted, Tesseract would read the label, which is too small to count as dark ground."""
    engine = ENGINES[EngineName.TESSEROCR](Settings(ocr_workers=1))
    sheet = labelled(11, ground=110, word="VAT 20%", pad=1)

    (reading,) = engine.recognize([written(sheet, tmp_path)])

    assert not has_dark_ground(sheet)
    assert "fox" in text_of(reading)
    assert "VAT" not in text_of(reading)
