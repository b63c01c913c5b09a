import pytest
from PIL import Image

from engines.pdf_paper import filled_in, printed, printed_over
from scanmill.models import Raster, Reason, SetAside
from unit.image_files import decode, flipped, frames, opened, page, saved


def test_the_text_of_a_pdf_is_kept_beside_the_picture_of_each_page(tmp_path):
    (result,) = decode(tmp_path, printed("Total 42", "Page two"))

    assert [each.embedded_text for each in result.pages] == ["Total 42", "Page two"]
    assert [(each.width_px, each.height_px) for each in result.pages] == [(2480, 3509)] * 2
    assert opened(result.pages[0]).getextrema() == (0, 255)


def test_a_scan_in_a_pdf_keeps_its_own_resolution(tmp_path):
    (result,) = decode(tmp_path, saved(page(size=(1200, 900)), "PDF", resolution=120))

    raster = result.pages[0]
    assert abs(raster.width_px - 1200) <= 2
    assert abs(raster.height_px - 900) <= 2
    assert raster.embedded_text is None


def test_a_pdf_page_larger_than_the_limit_is_drawn_coarser_or_set_aside(tmp_path):
    poster = (40 * 72, 40 * 72)

    coarser, refused = (
        decode(tmp_path, printed("POSTER", size=poster), max_pixels=pixels)[0]
        for pixels in (20_000_000, 10_000_000)
    )

    assert 19_000_000 < coarser.pages[0].width_px * coarser.pages[0].height_px <= 20_000_000
    assert refused.refusal.reason == Reason.IMAGE_TOO_LARGE


def test_a_broken_scan_in_a_pdf_costs_its_page_alone(tmp_path):
    data = frames("PDF")
    second = data.index(b"\xff\xd8", data.index(b"\xff\xd8") + 2)
    broken = data[: second + 2] + bytes(200) + data[second + 202 :]

    (result,) = decode(tmp_path, broken)

    assert [type(each) for each in result.pages] == [Raster, SetAside, Raster]
    assert result.pages[1].reason == Reason.CORRUPT_IMAGE


def test_what_was_filled_into_a_form_is_drawn(tmp_path):
    (result,) = decode(tmp_path, filled_in("Jane Doe"))

    assert opened(result.pages[0]).getextrema()[0] < 50


def test_text_printed_over_a_coarse_picture_is_drawn_as_fine_as_text(tmp_path):
    background = Image.new("L", (595, 842), 250)
    (result,) = decode(tmp_path, printed_over((saved(background, "JPEG"), background.size), "Hi"))

    assert result.pages[0].width_px == 2480


def test_a_standard_fax_in_a_pdf_keeps_all_its_columns(tmp_path):
    (result,) = decode(tmp_path, saved(page(size=(1728, 1143)), "PDF", dpi=(204, 98)))

    assert abs(result.pages[0].width_px - 1728) <= 2


@pytest.mark.parametrize("damage", ["flipped", "zeros"])
def test_a_pdf_whose_drawing_is_damaged_has_no_blank_page_and_says_so(tmp_path, damage):
    sound = printed("one", "two", "three", is_deflated=True)
    start = sound.index(b"stream\n", sound.index(b"endstream") + 9) + 7
    end = sound.index(b"\nendstream", start)
    middle = bytes(end - start) if damage == "zeros" else flipped(sound[start:end], 2)

    whole, (*pages, last) = (
        decode(tmp_path, data)[0].pages for data in (sound, sound[:start] + middle + sound[end:])
    )

    assert [type(each) for each in whole] == [Raster] * 3
    assert [type(each) for each in pages] == [Raster, SetAside, Raster]
    assert last.reason == Reason.FRAMES_UNREADABLE


def test_a_pdf_without_pages_is_refused(tmp_path):
    (result,) = decode(tmp_path, printed())

    assert result.refusal.reason == Reason.CORRUPT_IMAGE


@pytest.mark.parametrize("percent", [50, 75, 90, 97])
def test_a_pdf_that_was_cut_never_looks_complete(tmp_path, percent):
    for data in (frames("PDF", 4), printed("one", "two", "three", "four")):
        (result,) = decode(tmp_path, data[: len(data) * percent // 100])

        assert result.refusal or isinstance(result.pages[-1], SetAside)


def test_a_pdf_with_a_password_says_so(tmp_path):
    keys = (b"11" * 32, b"22" * 32)
    handler = b"<< /Filter /Standard /V 2 /R 3 /Length 128 /P -1 /O <%s> /U <%s> >>" % keys
    locked = b"/Encrypt " + handler + b" /ID [<00> <00>] "

    (result,) = decode(tmp_path, printed("secret", encryption=locked))

    assert result.refusal.reason == Reason.PASSWORD_NEEDED


def test_a_pdf_of_too_many_pages_is_refused(tmp_path):
    (result,) = decode(tmp_path, printed(*"abcdef"), max_frames=5)

    assert result.refusal.reason == Reason.TOO_MANY_FRAMES
