import subprocess
import sys
from pathlib import Path

import pytest

from engines.pdf_paper import with_endless_page
from scanmill import images
from scanmill.errors import FatalError, RetryableError
from scanmill.models import Raster, Reason, SetAside
from scanmill.settings import Settings
from unit.image_files import GOOD, decode, frames, opened, page, png, saved, written

STUB = (sys.executable, str(Path(__file__).parents[1] / "engines" / "decoder_stub.py"))


def test_too_many_bytes_are_never_opened(tmp_path):
    (result,) = decode(tmp_path, GOOD, max_object_bytes=100)

    assert result.refusal.reason == Reason.IMAGE_TOO_LARGE


def test_memory_that_is_not_there_makes_an_image_too_large(tmp_path):
    results = decode(tmp_path, png(9900, 9900), GOOD, child_memory_bytes=150 << 20)

    assert results[0].refusal.reason == Reason.IMAGE_TOO_LARGE
    assert isinstance(results[1].pages[0], Raster)


def test_order_is_kept_over_several_calls_of_the_decoder(tmp_path):
    sizes = [(100 + number, 100) for number in range(40)]

    results = decode(tmp_path, *(saved(page(size=size), "PNG") for size in sizes))

    assert [(r.pages[0].width_px, r.pages[0].height_px) for r in results] == sizes


def test_two_files_of_one_name_and_two_calls_share_a_folder(tmp_path):
    first = decode(tmp_path, GOOD)[0].pages[0]
    second = decode(tmp_path, saved(page("OTHER"), "PNG"))[0].pages[0]

    assert opened(first).tobytes() == page().tobytes() != opened(second).tobytes()


@pytest.mark.parametrize(
    ("marker", "reason"),
    [
        (b"MARKER-crash", Reason.DECODER_CRASH),
        (b"MARKER-spin", Reason.DECODER_TIMEOUT),
        (b"MARKER-half", Reason.DECODER_CRASH),
        (b"MARKER-slow", Reason.DECODER_TIMEOUT),
    ],
)
def test_a_file_that_kills_the_decoder_is_refused_and_its_mates_are_unharmed(
    tmp_path, marker, reason
):
    results = decode(tmp_path, GOOD, GOOD, GOOD + marker, GOOD, program=STUB, page_cpu_seconds=1)

    assert [result.refusal and result.refusal.reason for result in results] == [
        None,
        None,
        reason,
        None,
    ]
    assert len(list((tmp_path / "pages").iterdir())) == 3


def test_a_file_that_kills_the_decoder_only_once_is_decoded(tmp_path):
    results = decode(
        tmp_path, GOOD, GOOD + b"MARKER-once " + bytes(tmp_path / "seen"), program=STUB
    )

    assert [result.refusal for result in results] == [None, None]
    assert (tmp_path / "seen").exists()


@pytest.mark.parametrize("number", [1, 3])
def test_a_page_that_kills_the_decoder_costs_itself_alone(tmp_path, number):
    (result,) = decode(tmp_path, with_endless_page(number, 4), page_cpu_seconds=1)

    kinds = [SetAside if page == number else Raster for page in range(1, 5)]
    assert [type(each) for each in result.pages] == kinds
    assert result.pages[number - 1].reason == Reason.DECODER_TIMEOUT
    assert len(list((tmp_path / "pages").iterdir())) == 3


def test_the_time_of_a_file_grows_with_its_pages(tmp_path):
    """Asked of the decoder's own timer: to use it up would take minutes."""
    program = (
        "import signal, sys; from scanmill.children.decoder import Bounds, decode_image;"
        "bounds = Bounds(page_cpu_seconds=60, pdf_dpi=300, max_object_bytes=10**7,"
        " max_pixels=10**7, max_side_px=10**4, min_side_px=1, max_frames=99,"
        " max_image_pixels=10**8);"
        "decode_image(sys.stdin.buffer.read(), bounds=bounds, skipped=());"
        "print(signal.getitimer(signal.ITIMER_PROF)[0])"
    )
    left = [
        float(
            subprocess.run(
                [sys.executable, "-c", program],
                input=frames("TIFF", count),
                cwd=tmp_path,
                capture_output=True,
                check=True,
            ).stdout
        )
        for count in (1, 31)
    ]

    assert left[1] - left[0] == pytest.approx(30 * 60 / 10, abs=5)


def test_a_decoder_does_not_live_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "FILES_PER_LIFE", 2)
    paths = written(tmp_path, *[GOOD] * 5)
    decoder = images.Decoder(Settings())
    children = []

    for path in paths:
        (page,) = decoder.decode(path, out_dir=tmp_path).pages
        assert opened(page).size == (300, 200)
        children.append(decoder._crew.home())

    assert [children.index(child) for child in children] == [0, 0, 2, 2, 4]
    assert not children[0].exists()


def test_a_full_or_missing_disk_is_never_blamed_on_an_image(tmp_path):
    (path,) = written(tmp_path, GOOD)
    decoder = images.Decoder(Settings())

    with pytest.raises(RetryableError, match="Cannot write"):
        decoder.decode(path, out_dir=tmp_path / "missing")
    with pytest.raises(RetryableError, match="Cannot read"):
        decoder.decode(tmp_path / "gone", out_dir=tmp_path)


def test_a_decoder_that_cannot_start_is_never_blamed_on_an_image(tmp_path):
    with pytest.raises(FatalError, match="SCANMILL_CHILD_MEMORY_BYTES"):
        decode(tmp_path, GOOD, child_memory_bytes=1 << 20)


def test_no_files_need_no_decoder(tmp_path):
    assert decode(tmp_path) == []
