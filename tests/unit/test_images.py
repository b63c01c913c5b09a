import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image, ImageDraw, ImageFont

from engines.pdf_paper import filled_in, printed, printed_over, with_endless_page
from scanmill import images
from scanmill.errors import FatalError, RetryableError
from scanmill.models import Raster, Reason, SetAside
from scanmill.settings import Settings

pillow_heif.register_heif_opener()

STUB = (sys.executable, str(Path(__file__).parents[1] / "engines" / "decoder_stub.py"))


def page(text="TOTAL 42", size=(300, 200)):
    picture = Image.new("L", size, 255)
    ImageDraw.Draw(picture).text((20, 20), text, fill=0, font=ImageFont.load_default(30))
    return picture


def saved(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def frames(kind, count=3, **options):
    first, *others = [page(f"PAGE {number}") for number in range(1, count + 1)]
    return saved(first, kind, save_all=True, append_images=others, **options)


def oriented(kind, orientation, **options):
    exif = Image.Exif()
    exif[0x112] = orientation
    return saved(page().transpose(Image.Transpose.ROTATE_90), kind, exif=exif, **options)


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def png(width, height):
    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    row = b"\0" + b"\xaa" * ((width + 7) // 8)
    body = zlib.compress(row * min(height, 1000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def wide(mode, low, high):
    picture = Image.new(mode, (300, 200), high)
    picture.paste(low, (50, 50, 150, 100))
    return picture


def with_bad_frame(number):
    """A TIFF of three frames; the pixels of one of them are no valid LZW data."""
    data = frames("TIFF", compression="tiff_lzw")
    with Image.open(io.BytesIO(data)) as picture:
        picture.seek(number - 1)
        start, length = picture.tag_v2[273][0], picture.tag_v2[279][0]
    return data[:start] + b"\xff" * length + data[start + length :]


def written(tmp_path, *contents):
    paths = [tmp_path / f"{number}.png" for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    return paths


def decode(tmp_path, *contents, program=images.DECODER, **options):
    out_dir = tmp_path / "pages"
    out_dir.mkdir(exist_ok=True)
    settings = Settings(**options)
    paths = written(tmp_path, *contents)
    decoder = images.Decoder(settings, program=program)
    return [decoder.decode(path, out_dir=out_dir) for path in paths]


def opened(raster):
    with Image.open(raster.path) as picture:
        picture.load()
        return picture


GOOD = saved(page(), "PNG")

REFUSED = {
    "nothing at all": (b"", Reason.EMPTY_OBJECT),
    "text": (b"not an image\n", Reason.NOT_AN_IMAGE),
    "a path that tesseract would follow": (b"/etc/passwd\n", Reason.NOT_AN_IMAGE),
    "html": (b"<html><body>404</body></html>", Reason.NOT_AN_IMAGE),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Reason.NOT_AN_IMAGE),
    "zeros": (bytes(1000), Reason.NOT_AN_IMAGE),
    "text that starts like a bitmap": (b"P5eudonym", Reason.NOT_AN_IMAGE),
    "pdf start alone": (b"%PDF-1.7\n", Reason.CORRUPT_IMAGE),
    "half a pdf": (saved(page(), "PDF")[:3000], Reason.CORRUPT_IMAGE),
    "postscript, which would start Ghostscript": (b"%!PS-Adobe", Reason.UNSUPPORTED_FORMAT),
    "heic start alone": (b"\0\0\0\x18ftypheic" + bytes(20), Reason.CORRUPT_IMAGE),
    "half an avif": (saved(page().convert("RGB"), "AVIF")[:400], Reason.CORRUPT_IMAGE),
    "a film": (b"\0\0\0\x18ftypisom" + bytes(20), Reason.UNSUPPORTED_FORMAT),
    "ico": (saved(page(), "ICO"), Reason.UNSUPPORTED_FORMAT),
    "png signature alone": (GOOD[:8], Reason.CORRUPT_IMAGE),
    "half a png": (GOOD[: len(GOOD) // 2], Reason.CORRUPT_IMAGE),
    "png with a wrong checksum": (flipped(GOOD, 60), Reason.CORRUPT_IMAGE),
    "png without its end": (GOOD[:-90], Reason.CORRUPT_IMAGE),
    "half a jpeg": (saved(page(), "JPEG")[:900], Reason.CORRUPT_IMAGE),
    "jpeg start alone": (b"\xff\xd8\xff", Reason.CORRUPT_IMAGE),
    "half a tiff": (saved(page(), "TIFF")[:20_000], Reason.CORRUPT_IMAGE),
    "tiff start alone": (b"II*\0\x08\0\0\0", Reason.CORRUPT_IMAGE),
    "half a gif": (saved(page(), "GIF")[:300], Reason.CORRUPT_IMAGE),
    "half a webp": (saved(page().convert("RGB"), "WEBP")[:300], Reason.CORRUPT_IMAGE),
    "half a jpeg 2000": (saved(page(), "JPEG2000")[:900], Reason.CORRUPT_IMAGE),
    "half a bmp": (saved(page(), "BMP")[:9000], Reason.CORRUPT_IMAGE),
    "half a pgm": (saved(page(), "PPM")[:9000], Reason.CORRUPT_IMAGE),
    "not a number in a float tiff": (
        saved(Image.new("F", (50, 50), float("nan")), "TIFF"),
        Reason.CORRUPT_IMAGE,
    ),
    "the first bytes of a jpeg": (saved(page(), "JPEG")[:20], Reason.CORRUPT_IMAGE),
    "the first bytes of a gif": (saved(page(), "GIF")[:20], Reason.CORRUPT_IMAGE),
    "a bomb of 900 million pixels": (png(30_000, 30_000), Reason.IMAGE_TOO_LARGE),
    "twice the pixels allowed, a warning only": (png(12_000, 12_000), Reason.IMAGE_TOO_LARGE),
    "a side of 40,000 pixels": (png(40_000, 100), Reason.IMAGE_TOO_LARGE),
    "one pixel": (saved(Image.new("L", (1, 1)), "PNG"), Reason.IMAGE_TOO_SMALL),
    "a thin line": (saved(Image.new("L", (900, 3)), "PNG"), Reason.IMAGE_TOO_SMALL),
    "more frames than allowed": (frames("TIFF", 6), Reason.TOO_MANY_FRAMES),
    "more frames than allowed before the chain breaks": (
        frames("TIFF", 8, compression="tiff_lzw")[:-400],
        Reason.TOO_MANY_FRAMES,
    ),
    "a gif of more frames than allowed": (frames("GIF", 6), Reason.TOO_MANY_FRAMES),
}

TRANSPARENT = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
TRANSPARENT.paste((0, 0, 0, 255), (50, 50, 150, 100))

READABLE = {
    "jpeg": saved(page(), "JPEG"),
    "cmyk jpeg": saved(page().convert("CMYK"), "JPEG"),
    "palette png": saved(page().convert("P"), "PNG"),
    "1-bit tiff, group 4": saved(page().convert("1"), "TIFF", compression="group4"),
    "jpeg in tiff": saved(page(), "TIFF", compression="jpeg"),
    "lzw tiff": saved(page(), "TIFF", compression="tiff_lzw"),
    "gif": saved(page(), "GIF"),
    "webp": saved(page().convert("RGB"), "WEBP"),
    "jpeg 2000": saved(page(), "JPEG2000"),
    "bmp": saved(page(), "BMP"),
    "avif": saved(page().convert("RGB"), "AVIF"),
    "heic": saved(page().convert("RGB"), "HEIF"),
    "cmyk tiff": saved(page().convert("CMYK"), "TIFF"),
    "scanned pdf": saved(page(), "PDF", resolution=150),
    "pgm": saved(page(), "PPM"),
    "16-bit png": saved(wide("I;16", 0, 65535), "PNG"),
    "16-bit tiff of 12 bits": saved(wide("I;16", 0, 4095), "TIFF"),
    "32-bit tiff": saved(wide("I", -70_000, 70_000), "TIFF"),
    "float tiff": saved(wide("F", 0.0, 1.0), "TIFF"),
    "transparent paper": saved(TRANSPARENT, "PNG"),
    "transparent palette": saved(page().convert("P"), "PNG", transparency=7),
    "broken EXIF": saved(page(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09broken"),
}


@pytest.mark.parametrize("settings", [{"max_frames": 5}])
def test_every_broken_file_is_refused_with_its_reason(tmp_path, settings):
    results = decode(tmp_path, *(data for data, _ in REFUSED.values()), **settings)

    found = {
        name: (result.refusal and result.refusal.reason, result.pages)
        for name, result in zip(REFUSED, results, strict=True)
    }
    assert found == {name: (reason, ()) for name, (_, reason) in REFUSED.items()}
    assert all(result.refusal.detail and result.refusal.stage == "decode" for result in results)
    assert not [result.refusal.detail for result in results if "KeyError" in result.refusal.detail]


def test_a_refused_image_leaves_no_page_behind(tmp_path):
    decode(tmp_path, *(data for data, _ in REFUSED.values()), max_frames=5)

    assert list((tmp_path / "pages").iterdir()) == []


def test_every_format_and_colour_mode_gives_dark_text_on_white_paper(tmp_path):
    results = decode(tmp_path, *READABLE.values())

    for name, result in zip(READABLE, results, strict=True):
        assert result.refusal is None, (name, result.refusal)
        (raster,) = result.pages
        picture = opened(raster)
        assert (picture.format, picture.mode, picture.size) == ("PPM", "L", (300, 200)), name
        assert (raster.width_px, raster.height_px) == (300, 200), name
        darkest, lightest = picture.getextrema()
        assert darkest < 40, name
        assert lightest > 215, name
        assert picture.getpixel((299, 199)) > 215, name


def test_a_blank_page_is_a_page_that_nobody_needs_to_read(tmp_path):
    white, black = Image.new("L", (300, 200), 255), Image.new("1", (300, 200), 0)

    results = decode(tmp_path, saved(white, "PNG"), saved(black, "TIFF"))

    assert [result.pages[0].is_blank for result in results] == [True, True]


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP", "AVIF", "HEIF", "PDF"])
def test_every_frame_is_a_page(tmp_path, kind):
    (result,) = decode(tmp_path, frames(kind))

    assert len(result.pages) == 3
    assert len({opened(raster).tobytes() for raster in result.pages}) == 3


# --- TIFF ----------------------------------------------------------------------------------------


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


# --- transparency --------------------------------------------------------------------------------


def see_through(ink, shade):
    """A page of this ink, and nothing else that shows but for the ink's own shape."""
    picture = Image.new("RGBA", (300, 200), (shade, shade, shade, 0))
    picture.paste((ink, ink, ink, 255), (50, 50, 150, 100))
    return picture


@pytest.mark.parametrize("ink", [0, 255])
def test_ink_on_a_page_one_can_see_through_is_seen_whatever_its_shade(tmp_path, ink):
    (result,) = decode(tmp_path, saved(see_through(ink, ink), "PNG"))

    assert opened(result.pages[0]).getextrema() == (0, 255)


def test_a_page_that_says_it_is_all_transparent_is_read_as_it_is(tmp_path):
    picture = page().convert("RGBA")
    picture.putalpha(0)

    (result,) = decode(tmp_path, saved(picture, "PNG"))

    assert opened(result.pages[0]).getextrema() == (0, 255)


# --- PDF -----------------------------------------------------------------------------------------


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


def test_the_previews_of_an_mpo_are_no_pages(tmp_path):
    data = saved(page(), "MPO", save_all=True, append_images=[page("PREVIEW")])

    (result,) = decode(tmp_path, data)

    assert len(result.pages) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_page_lying_on_its_side_by_exif_is_set_upright(tmp_path, kind):
    (result,) = decode(tmp_path, oriented(kind, 6))

    assert (result.pages[0].width_px, result.pages[0].height_px) == (300, 200)


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


@pytest.mark.parametrize(
    ("kind", "options"),
    [("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {}), ("GIF", {}), ("PNG", {})],
    ids=["lzw-tiff", "tiff", "gif", "png"],
)
def test_a_cut_chain_of_frames_never_looks_complete(tmp_path, kind, options):
    data = frames(kind, **options)
    cuts = [data[: len(data) * percent // 100] for percent in (75, 80, 90, 97)]

    for result in decode(tmp_path, *cuts):
        assert result.refusal is None
        assert isinstance(result.pages[0], Raster)
        if sum(isinstance(each, Raster) for each in result.pages) + 1 != len(result.pages):
            assert result.pages[-1].reason == Reason.FRAMES_UNREADABLE
        assert isinstance(result.pages[-1], SetAside)


def test_a_gif_cut_between_two_frames_tells_that_more_may_have_followed(tmp_path):
    data = saved(page(), "GIF").rstrip(b";")

    (result,) = decode(tmp_path, data)

    assert [type(each) for each in result.pages] == [Raster, SetAside]
    assert result.pages[1].reason == Reason.FRAMES_UNREADABLE


def test_an_image_none_of_whose_frames_is_readable_is_refused_as_a_whole(tmp_path):
    tiny = Image.new("L", (2, 2))

    (result,) = decode(tmp_path, saved(tiny, "TIFF", save_all=True, append_images=[tiny]))

    assert result.pages == ()
    assert result.refusal.reason == Reason.IMAGE_TOO_SMALL


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
