"""The estimate of right words: monotone, and near the truth on scans that it was not fitted to."""

import os
import sys
from pathlib import Path

import pytest

from scanmill import textstats
from scanmill.models import Word

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import calibrate

_POINTS = 0.05


def words(*texts, confidence=90.0):
    return [
        Word(text=text, confidence=confidence, line=(1, 1, 1), box=(0, 0, 9, 9)) for text in texts
    ]


def test_a_word_is_right_as_often_as_the_page_holds_it():
    read = words("The", "cat", "cat", "|", "dog.")

    assert [is_right for _, is_right in calibrate.judged(read, "the cat\nDog")] == [
        True,
        True,
        False,
        True,
    ]


def test_a_fit_never_falls_and_counts_what_it_saw():
    pairs = [(10, False)] * 50 + [(50, True)] * 30 + [(65, False)] * 20 + [(99, True)] * 100

    shares, numbers = calibrate.fitted(pairs, (40, 60, 90))

    assert numbers == [50, 30, 20, 100]
    assert shares == sorted(shares)
    assert shares[1] == shares[2] == pytest.approx(0.59, abs=0.01)


def test_the_table_never_falls():
    assert list(textstats._RIGHT) == sorted(textstats._RIGHT)
    assert len(textstats._RIGHT) == len(textstats._FROM) + 1


def test_half_of_the_titles_of_each_set_are_held_out_and_no_book_is_on_both_sides():
    books = [Path(f"books_{title}{number:03}.tif") for title in "abcd" for number in range(5)]
    forms = [Path(f"forms_{number}.png") for number in range(6)]

    fit, held_out = calibrate.halves([*books, *forms])

    assert (len(fit), len(held_out)) == (13, 13)
    titles = {calibrate.title_of(page) for page in fit}
    assert titles.isdisjoint(calibrate.title_of(page) for page in held_out)
    assert sum(page in forms for page in held_out) == 3


@pytest.mark.skipif(
    "SCANMILL_REAL_SCANS" not in os.environ, reason="not run: no folder of real scans"
)
def test_the_estimate_is_within_five_points_on_titles_that_were_held_out(tmp_path):
    scans = calibrate.pages_in(Path(os.environ["SCANMILL_REAL_SCANS"]))
    _, pages = calibrate.halves(scans)
    readings = calibrate.read(pages, tmp_path, rescue_confidence=0)

    found = calibrate.deviations(list(zip(pages, readings, strict=True)))

    assert found["all"]["pages"] == len(pages) > 10
    assert found["all"]["estimated"] == pytest.approx(found["all"]["true"], abs=_POINTS)
