import pytest
from PIL import Image

from scanmill.models import Raster, Reason, SetAside
from unit.image_files import GOOD, decode, flipped, frames, opened, oriented, page, png, saved, wide

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


def test_the_previews_of_an_mpo_are_no_pages(tmp_path):
    data = saved(page(), "MPO", save_all=True, append_images=[page("PREVIEW")])

    (result,) = decode(tmp_path, data)

    assert len(result.pages) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_page_lying_on_its_side_by_exif_is_set_upright(tmp_path, kind):
    (result,) = decode(tmp_path, oriented(kind, 6))

    assert (result.pages[0].width_px, result.pages[0].height_px) == (300, 200)


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
