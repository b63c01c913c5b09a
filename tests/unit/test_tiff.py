import io
import struct

import pytest
from PIL import Image

from scanmill.models import Raster, Reason, SetAside
from unit.image_files import decode, frames, opened, page, saved


def with_bad_frame(number):
    """A TIFF of three frames; the pixels of one of them are no valid LZW data."""
    data = frames("TIFF", compression="tiff_lzw")
    with Image.open(io.BytesIO(data)) as picture:
        picture.seek(number - 1)
        start, length = picture.tag_v2[273][0], picture.tag_v2[279][0]
    return data[:start] + b"\xff" * length + data[start + length :]


def fax(**options):
    return page(size=(400, 300)).convert("1"), {"compression": "group4", **options}


@pytest.mark.parametrize("order", [1, 2])
def test_a_fax_of_which_rows_are_lost_is_no_page(tmp_path, order):
    picture, options = fax(tiffinfo={266: order})
    whole = saved(picture, "TIFF", **options)
    with Image.open(io.BytesIO(whole)) as tiff:
        start, length = tiff.tag_v2[273][0], tiff.tag_v2[279][0]
    half = whole[: start + length // 2] + bytes(length - length // 2) + whole[start + length :]

    sound, broken = decode(tmp_path, whole, half)

    assert isinstance(sound.pages[0], Raster)
    assert broken.refusal.reason == Reason.CORRUPT_IMAGE


def test_a_standard_fax_is_as_high_as_it_was_on_paper(tmp_path):
    picture, options = fax(dpi=(204, 98))

    (result,) = decode(tmp_path, saved(picture, "TIFF", **options))

    assert (result.pages[0].width_px, result.pages[0].height_px) == (400, 624)


def bare_tiff(pixels, *, bits, **tags):
    """A TIFF of 40 x 40 pixels in one strip for each plane."""
    numbers = {"form": 339, "planar": 284, "photometric": 262}
    planes = len(bits) if tags.get("planar") == 2 else 1
    size = len(pixels) // planes
    values = {
        256: (40,),
        257: (40,),
        258: bits,
        259: (1,),
        262: (1,),
        277: (len(bits),),
        278: (40,),
        279: (size,) * planes,
        **{numbers[name]: (value,) for name, value in tags.items()},
    }
    values[273] = tuple(8 + number * size for number in range(planes))
    body, entries = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels, b""
    place = len(body) + 2 + 12 * len(values) + 4
    more = b""
    for tag, numbers_of in sorted(values.items()):
        packed = struct.pack(f"<{len(numbers_of)}I", *numbers_of)
        if len(packed) > 4:
            packed, more = struct.pack("<I", place + len(more)), more + packed
        entries += struct.pack("<HHI", tag, 4, len(numbers_of)) + packed
    return body + struct.pack("<H", len(values)) + entries + bytes(4) + more


@pytest.mark.parametrize(
    "data",
    [
        bare_tiff(b"\x80\x80" * 40 * 40 * 3, bits=(16, 16, 16), photometric=2, planar=2),
        bare_tiff(b"\xf0\xf0\xf0\xf0" * 40 * 40, bits=(32,), form=1),
        bare_tiff(b"\xf0\x10" * 20 * 40, bits=(8,), form=2),
    ],
)
def test_values_that_would_be_read_as_others_are_refused(tmp_path, data):
    (result,) = decode(tmp_path, data)

    assert result.refusal.reason == Reason.UNSUPPORTED_FORMAT


def test_a_page_of_a_kind_that_nobody_reads_costs_itself_alone(tmp_path):
    data = frames("TIFF", 4)
    with Image.open(io.BytesIO(data)) as tiff:
        tiff.seek(1)
        place = tiff._TiffImageFile__next or len(data)
    second = data.rindex(struct.pack("<HHIHH", 259, 3, 1, 1, 0), 0, place)
    odd = data[: second + 8] + struct.pack("<H", 50002) + data[second + 10 :]

    (result,) = decode(tmp_path, odd)

    assert [type(each) for each in result.pages] == [Raster, SetAside, Raster, Raster]


def test_wide_values_that_are_brighter_the_smaller_they_are_are_dark_on_white(tmp_path):
    values = struct.pack("<800H", *([60_000] * 20 + [0] * 780)) * 2

    (result,) = decode(tmp_path, bare_tiff(values, bits=(16,), photometric=0))

    assert opened(result.pages[0]).getpixel((0, 0)) == 0
    assert opened(result.pages[0]).getpixel((39, 39)) == 255


def test_one_value_that_is_no_number_makes_a_page_corrupt(tmp_path):
    values = struct.pack("<1600f", *[0.0] * 800, float("nan"), *[1.0] * 799)

    (result,) = decode(tmp_path, bare_tiff(values, bits=(32,), form=3))

    assert result.refusal.reason == Reason.CORRUPT_IMAGE


def test_every_frame_of_a_turned_tiff_is_set_upright_once(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    sideways = page().transpose(Image.Transpose.ROTATE_90)
    data = saved(sideways, "TIFF", save_all=True, append_images=[sideways], exif=exif)

    (result,) = decode(tmp_path, data)

    assert [opened(raster).tobytes() for raster in result.pages] == [page().tobytes()] * 2


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_broken_frame_is_set_aside_and_the_others_stand(tmp_path, number):
    (result,) = decode(tmp_path, with_bad_frame(number))

    assert result.refusal is None
    bad = [n for n, each in enumerate(result.pages, 1) if isinstance(each, SetAside)]
    assert bad == [number]
    assert result.pages[number - 1].reason == Reason.CORRUPT_IMAGE
