"""Draws the sample scans of `scanmill demo`, and says which fate each of them must meet.

python data_samples/generate.py            write all files and README.md
python data_samples/generate.py --check    exit 1 if they differ from what would be written
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import _broken
from _pages import Page, draw_page
from _scanner import Wear, encode, encode_pages, encode_pdf, scan, spoil_frame
from PIL import Image

from scanmill.models import ImageFate, PageFate, Reason

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class PageExpectation:
    """The fate that one page must meet."""

    fate: PageFate
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One file: where it lies, what it tests, how it is made, and the fate it must meet."""

    path: str
    what: str
    content: Callable[[], bytes]
    image_fate: ImageFate
    reason: Reason | None = None
    pages: tuple[PageExpectation, ...] = ()
    """Empty where the image cannot be opened: its page count is 0."""
    twin: str = ""
    """A group of pages with one text: exactly one is published, the others are duplicates."""
    twin_reason: Reason | None = None
    """Why the others of the group are duplicates: `same_text` or `near_text`."""

    @property
    def label(self) -> str:
        """The class, which is the folder."""
        return self.path.partition("/")[0]

    @property
    def page_count(self) -> int:
        """How many pages the image has."""
        return len(self.pages)

    @property
    def is_hostile(self) -> bool:
        """Tell whether something about this file must not reach the dataset."""
        return any(page.fate is not PageFate.PUBLISHED for page in self.pages) or not self.pages


PUBLISHED = PageExpectation(fate=PageFate.PUBLISHED)


# --- how files are made --------------------------------------------------------------------------


def _scan(page: Page, wear: Wear, kind: str, orientation: int = 1) -> bytes:
    """Return a page as scanned and saved."""
    image = scan(draw_page(page), wear)
    if orientation == 6:  # EXIF: turn it right by 90 degrees to see it upright
        image = image.transpose(Image.Transpose.ROTATE_90)
    return encode(image, kind, quality=wear.quality, orientation=orientation)


def _bound(pages: tuple[Page, ...], wear: Wear, spoilt: int = 0) -> bytes:
    """Return pages bound in one TIFF, with one of them spoilt where a number is given."""
    tiff = encode_pages([scan(draw_page(page), wear) for page in pages])
    return spoil_frame(tiff, spoilt) if spoilt else tiff


def _bound_as_pdf(pages: tuple[Page, ...], wear: Wear) -> bytes:
    """Return pages bound in one PDF, as a scanner for documents does."""
    return encode_pdf([scan(draw_page(page), wear) for page in pages])


def _cut_scan(page: Page, wear: Wear, kind: str, percent: int) -> bytes:
    """Return the first part of a scan."""
    return _broken.cut(_scan(page, wear, kind), percent=percent)


def _cut_tiff(page: Page, percent: int) -> bytes:
    """Return the first part of an uncompressed fax of a page."""
    small = scan(draw_page(page), Wear(width=700)).convert("1")
    return _broken.cut(_broken.plain_tiff(small), percent=percent)


def _flipped_scan(page: Page, wear: Wear) -> bytes:
    """Return a scan with one wrong byte."""
    return _broken.flip_byte(_scan(page, wear, "png"))


# --- the wear of a scan, by how it looks ---------------------------------------------------------

CLEAN = Wear()
FAX = Wear(skew=0.6, noise=40, blur=0.4, specks=40)
OLD_FAX = Wear(skew=-0.9, noise=56, blur=0.7, specks=120, edge=True)
OFFICE = Wear(skew=0.4, noise=8, blur=0.4, specks=8, width=1060)
CROOKED = Wear(skew=-1.9, noise=7, blur=0.5, specks=20, width=1120)
PHOTOCOPY = Wear(skew=-1.1, noise=16, blur=0.7, specks=60, edge=True, width=1060, quality=34)
BINDER = Wear(skew=0.8, noise=12, blur=0.5, specks=24, holes=True, width=1060, shadow=26)
COLOUR = Wear(skew=-0.5, noise=6, blur=0.4, shadow=22, width=1060, quality=46, colour=True)
OLD_COLOUR = Wear(
    skew=1.3, noise=11, blur=0.6, specks=30, shadow=48, holes=True, width=1100, colour=True
)
LOW = Wear(skew=0.3, noise=8, blur=0.4, width=880, quality=50)
TILTED = Wear(skew=2.4, noise=9, blur=0.5, specks=14, width=1100)

LOOKS = {
    CLEAN: "flawless",
    FAX: "fax, black and white",
    OLD_FAX: "worn fax with a dark edge",
    OFFICE: "office scanner",
    CROOKED: "fed in crooked, about 2 degrees",
    PHOTOCOPY: "photocopy of a photocopy",
    BINDER: "punched and from a binder, uneven light",
    COLOUR: "colour scan",
    OLD_COLOUR: "yellowed colour scan, strong shadow",
    LOW: "low resolution, about 105 dots per inch",
    TILTED: "tilted by more than 2 degrees",
}

# --- how expectations are written ----------------------------------------------------------------

_BY_KIND = {"jpg": ".jpg", "png": ".png", "png1": ".png", "tif": ".tif"}


def _own(look: Wear, page: Page) -> Wear:
    """Return this look with noise and specks that no other page has."""
    return replace(look, seed=sum(map(ord, page.label + page.machine)))


def _good(label: str, machine: str, look: Wear, kind: str) -> Sample:
    """A page that must be published."""
    page = Page(label=label, machine=machine)
    return Sample(
        path=f"{label}/{machine}{_BY_KIND[kind]}",
        what=f"ordinary page: {LOOKS[look]}",
        content=partial(_scan, page, _own(look, page), kind),
        image_fate=ImageFate.DECODED,
        pages=(PUBLISHED,),
    )


def _twins(first: Sample, name: str, what: str, reason: Reason, **changes: object) -> list[Sample]:
    """An ordinary page and another file with the same text."""
    group = first.path.rpartition(".")[0].replace("/", "-")
    told = replace(first, twin=group, twin_reason=reason)
    return [told, replace(told, path=f"{first.label}/{name}", what=what, **changes)]


def _copied(first: Sample, name: str) -> list[Sample]:
    """A page that was uploaded twice under two names."""
    return _twins(first, name, "the same bytes under another name", Reason.SAME_TEXT)


def _scanned_again(first: Sample, name: str, look: Wear, machine: str) -> list[Sample]:
    """A page that was scanned twice."""
    page = Page(label=first.label, machine=machine)
    content = partial(_scan, page, replace(look, seed=977), name.rpartition(".")[2])
    what = f"the same sheet scanned again: {LOOKS[look]}"
    return _twins(first, name, what, Reason.NEAR_TEXT, content=content)


def _quarantined(path: str, what: str, reason: Reason, content: Callable[[], bytes]) -> Sample:
    """A file that cannot be read as an image."""
    return Sample(
        path=path, what=what, content=content, image_fate=ImageFate.QUARANTINED, reason=reason
    )


def _rejected(path: str, what: str, reason: Reason, content: Callable[[], bytes]) -> Sample:
    """An image that can be opened but holds no text worth training on."""
    page = PageExpectation(fate=PageFate.REJECTED, reason=reason)
    return Sample(
        path=path, what=what, content=content, image_fate=ImageFate.DECODED, pages=(page,)
    )


# --- the samples ---------------------------------------------------------------------------------


def _data_sheets() -> Iterator[Sample]:
    """Samples of the class data_sheet."""
    good = partial(_good, "data_sheet")
    yield from _scanned_again(good("pump", OFFICE, "png"), "pump_rescan.jpg", COLOUR, "pump")
    yield good("reducer", COLOUR, "jpg")
    yield good("compressor", FAX, "tif")
    yield good("fan", OLD_COLOUR, "jpg")
    yield good("exchanger", LOW, "png")
    yield good("blower", TILTED, "png")
    yield good("pompe", CLEAN, "tif")
    yield good("ventilateur", BINDER, "jpg")
    yield _quarantined(
        "data_sheet/broken_upload.png",
        "PNG cut off after 60 percent",
        Reason.CORRUPT_IMAGE,
        partial(_cut_scan, Page(label="data_sheet", machine="winch"), LOW, "png", 60),
    )
    yield _quarantined(
        "data_sheet/note.png",
        "plain text named .png",
        Reason.NOT_AN_IMAGE,
        lambda: _broken.NO_IMAGE,
    )
    yield _quarantined(
        "data_sheet/tracking_pixel.png",
        "one single pixel",
        Reason.IMAGE_TOO_SMALL,
        partial(_broken.flat, 1, 1, level=255),
    )


def _drawing_lists() -> Iterator[Sample]:
    """Samples of the class drawing_list."""
    good = partial(_good, "drawing_list")
    yield from _copied(good("mill", PHOTOCOPY, "jpg"), "mill (copy).jpg")
    yield good("crane", BINDER, "jpg")
    yield good("conveyor", OFFICE, "png")
    yield good("kiln", COLOUR, "jpg")
    yield good("screen", CROOKED, "png")
    yield good("convoyeur", CLEAN, "tif")
    volume = tuple(
        Page(label="drawing_list", machine=name) for name in ("elevator", "turbine", "press")
    )
    yield Sample(
        path="drawing_list/volume_of_three.tif",
        what="TIFF of three pages",
        content=partial(_bound, volume, replace(FAX, seed=5)),
        image_fate=ImageFate.DECODED,
        pages=(PUBLISHED,) * 3,
    )
    yield _quarantined(
        "drawing_list/bad_disk.png",
        "one wrong byte in the middle of a PNG",
        Reason.CORRUPT_IMAGE,
        partial(_flipped_scan, Page(label="drawing_list", machine="blower"), LOW),
    )
    yield _rejected(
        "drawing_list/torn_cable.png",
        "pure noise",
        Reason.NO_TEXT,
        partial(_broken.static, 480, 640, seed=3),
    )
    yield Sample(
        path="drawing_list/.keep",
        what="placeholder that keeps an empty folder",
        content=bytes,
        image_fate=ImageFate.IGNORED,
        reason=Reason.PLACEHOLDER,
    )


def _certificates() -> Iterator[Sample]:
    """Samples of the class certificate."""
    good = partial(_good, "certificate")
    yield from _scanned_again(good("press", OFFICE, "png"), "press_rescan.jpg", COLOUR, "press")
    yield good("valve", OLD_COLOUR, "jpg")
    yield good("safety_valve", FAX, "tif")
    yield good("exchanger", BINDER, "jpg")
    yield good("crane", COLOUR, "jpg")
    yield good("vanne", CROOKED, "png")
    yield good("soupape", FAX, "tif")
    turned = Page(label="certificate", machine="regulator")
    yield Sample(
        path="certificate/turned_phone.jpg",
        what="JPEG stored lying on its side, upright by EXIF orientation 6",
        content=partial(_scan, turned, replace(COLOUR, seed=41), "jpg", 6),
        image_fate=ImageFate.DECODED,
        pages=(PUBLISHED,),
    )
    yield _quarantined(
        "certificate/broken_upload.jpg",
        "JPEG cut off after 55 percent",
        Reason.CORRUPT_IMAGE,
        partial(_cut_scan, Page(label="certificate", machine="pump"), LOW, "jpg", 55),
    )
    yield _quarantined(
        "certificate/signed_out.jpg",
        "web page of a log-in form, saved as .jpg",
        Reason.NOT_AN_IMAGE,
        lambda: _broken.WEB_PAGE,
    )
    yield _quarantined(
        "certificate/archived.tif",
        "DjVu named .tif",
        Reason.UNSUPPORTED_FORMAT,
        lambda: _broken.DJVU,
    )


def _spare_part_lists() -> Iterator[Sample]:
    """Samples of the class spare_part_list."""
    good = partial(_good, "spare_part_list")
    yield from _copied(good("filter", FAX, "tif"), "filter_sent_twice.tif")
    yield good("conveyor", PHOTOCOPY, "jpg")
    yield good("pump", OFFICE, "png")
    yield good("compressor", FAX, "tif")
    yield good("winch", COLOUR, "jpg")
    yield good("broyeur", CLEAN, "png1")
    odd = Page(label="spare_part_list", machine="agitator")
    yield Sample(
        path='spare_part_list/pièce n° 7 "{{ 7*7 }}" it\'s <b>.png',
        what="a file name with spaces, quotes, braces, markup and accents",
        content=partial(_scan, odd, replace(OFFICE, seed=49), "png"),
        image_fate=ImageFate.DECODED,
        pages=(PUBLISHED,),
    )
    bound = tuple(
        Page(label="spare_part_list", machine=name) for name in ("safety_valve", "fan", "reducer")
    )
    corrupt = PageExpectation(fate=PageFate.QUARANTINED, reason=Reason.CORRUPT_IMAGE)
    yield Sample(
        path="spare_part_list/volume_with_torn_page.tif",
        what="TIFF of three pages, the pixels of page 2 overwritten",
        content=partial(_bound, bound, replace(FAX, seed=9), 2),
        image_fate=ImageFate.DECODED,
        pages=(PUBLISHED, corrupt, PUBLISHED),
    )
    yield _quarantined(
        "spare_part_list/broken_upload.tif",
        "TIFF cut off after 50 percent",
        Reason.CORRUPT_IMAGE,
        partial(_cut_tiff, Page(label="spare_part_list", machine="kiln"), 50),
    )
    catalogue = tuple(Page(label="spare_part_list", machine=name) for name in ("crane", "press"))
    yield Sample(
        path="spare_part_list/catalogue.pdf",
        what="PDF of two scanned pages",
        content=partial(_bound_as_pdf, catalogue, OFFICE),
        image_fate=ImageFate.DECODED,
        pages=(PUBLISHED, PUBLISHED),
    )
    yield _quarantined(
        "spare_part_list/file_list.png",
        "text that names other scans: an OCR engine would read those instead",
        Reason.NOT_AN_IMAGE,
        lambda: _broken.FILE_LIST,
    )


def _assembly_drawings() -> Iterator[Sample]:
    """Samples of the class assembly_drawing."""
    good = partial(_good, "assembly_drawing")
    press = Page(label="assembly_drawing", machine="press")
    yield from _twins(
        good("press", FAX, "tif"),
        "press_converted.png",
        "the same pixels in another file format",
        Reason.SAME_TEXT,
        content=partial(_scan, press, _own(FAX, press), "png1"),
    )
    yield good("turbine", COLOUR, "jpg")
    yield good("regulator", OFFICE, "png")
    yield good("winch", FAX, "tif")
    yield good("elevator", BINDER, "jpg")
    yield good("reducer", CROOKED, "png")
    yield good("valve", OLD_COLOUR, "jpg")
    yield good("treuil", FAX, "tif")
    yield _quarantined(
        "assembly_drawing/whole_plant.png",
        "decompression bomb: 76 kB that unpack to 400 million pixels",
        Reason.IMAGE_TOO_LARGE,
        partial(_broken.bomb, 20_000, 20_000),
    )
    yield _quarantined(
        "assembly_drawing/endless_roll.png",
        "40,000 pixels long, more than the OCR engine takes",
        Reason.IMAGE_TOO_LARGE,
        partial(_broken.bomb, 40_000, 60),
    )


def _maintenance_sheets() -> Iterator[Sample]:
    """Samples of the class maintenance_sheet."""
    good = partial(_good, "maintenance_sheet")
    yield from _scanned_again(good("crane", OFFICE, "png"), "crane_rescan.jpg", COLOUR, "crane")
    yield good("kiln", OLD_COLOUR, "jpg")
    yield good("screen", FAX, "tif")
    yield good("mill", TILTED, "png")
    yield good("fan", BINDER, "jpg")
    yield good("filter", OLD_FAX, "tif")
    yield good("presse", OFFICE, "png")
    yield good("broyeur", FAX, "tif")
    yield _quarantined(
        "maintenance_sheet/upload_that_never_began.jpg",
        "zero bytes",
        Reason.EMPTY_OBJECT,
        bytes,
    )
    yield _rejected(
        "maintenance_sheet/back_of_a_sheet.png",
        "blank white page",
        Reason.BLANK_PAGE,
        partial(_broken.flat, 1240, 1754, level=255),
    )
    yield _rejected(
        "maintenance_sheet/lid_left_open.jpg",
        "blank black page",
        Reason.BLANK_PAGE,
        partial(_broken.flat, 1240, 1754, level=0, kind="JPEG"),
    )


SAMPLES: tuple[Sample, ...] = (
    *_data_sheets(),
    *_drawing_lists(),
    *_certificates(),
    *_spare_part_lists(),
    *_assembly_drawings(),
    *_maintenance_sheets(),
)
"""Every file below this folder, in the order of the table in README.md."""


PICTURES = {
    "assembly_drawing/turbine.jpg": "Assembly drawing of a steam turbine",
    "certificate/valve.jpg": "Certificate of a gate valve on yellowed paper",
    "spare_part_list/winch.jpg": "Spare part list of a mooring winch",
}
"""What the README shows."""

# --- the table -----------------------------------------------------------------------------------


def outcome(sample: Sample) -> str:
    """Return the expected fate of a sample, in the words of its README row."""
    if sample.twin:
        return f"one of this pair published, the other duplicate `{sample.twin_reason}`"
    if not sample.pages:
        return f"{sample.image_fate} `{sample.reason}`"
    fates = [f"{page.fate}" + (f" `{page.reason}`" if page.reason else "") for page in sample.pages]
    if len(set(fates)) == 1:
        return fates[0] if len(fates) == 1 else f"all {len(fates)} pages {fates[0]}"
    return ", ".join(f"page {number} {fate}" for number, fate in enumerate(fates, start=1))


def totals(samples: tuple[Sample, ...] = SAMPLES) -> Counter[str]:
    """Count the fates of images and pages, as `image decoded` and `page published`."""
    books: Counter[str] = Counter()
    seen: set[str] = set()
    for sample in samples:
        books[f"image {sample.image_fate}"] += 1
        for page in sample.pages:
            is_copy = sample.twin in seen
            books[f"page {PageFate.DUPLICATE if is_copy else page.fate}"] += 1
        seen |= {sample.twin} - {""}
    return books


def readme() -> str:
    """Return the text of README.md."""
    books = totals()
    sums = [
        f"{count} {name.partition(' ')[2]}"
        for kind in ("image", "page")
        for name, count in sorted(books.items())
        if name.startswith(kind)
    ]
    images = sum(name.startswith("image") for name in books)
    classes = ", ".join(f"`{label}`" for label in dict.fromkeys(s.label for s in SAMPLES))
    rows = "\n".join(
        f"| `{s.path.partition('/')[2]}` | {s.label} | {s.what} | {outcome(s)} |" for s in SAMPLES
    )
    pictures = "\n".join(
        f'<img src="{path}" width="32%" alt="{alt}">' for path, alt in PICTURES.items()
    )
    return f"""# Sample scans

English and French pages of a spare-parts catalogue that never existed, as an old scanner would
have seen them, and among them everything that goes wrong in a real pile of scans.
`./scanmill demo` drops them into the collection `samples`; the folder is the label:
{classes}.

Every file is drawn by [`generate.py`](generate.py), down to the last byte, from words and
drawings of our own; no text, company, person or font file comes from elsewhere. The table stands
in that script as data, and the tests hold the pipeline to it.

{pictures}

- **{len(SAMPLES)} images**: {", ".join(sums[:images])}
- **{sum(s.page_count for s in SAMPLES)} pages**: {", ".join(sums[images:])}

```sh
python data_samples/generate.py            # write all files and this page
python data_samples/generate.py --check    # exit 1 if any of them differs
```

| file | class | what it tests | expected outcome |
|---|---|---|---|
{rows}
"""


# --- writing and checking ------------------------------------------------------------------------


def _content(index: int) -> bytes:
    """Return the bytes of one sample; by number, so that a worker process can be asked."""
    return SAMPLES[index].content()


def render() -> dict[str, bytes]:
    """Return every file of this folder that the script writes, by path."""
    with ProcessPoolExecutor() as workers:
        contents = list(workers.map(_content, range(len(SAMPLES))))
    files = {sample.path: data for sample, data in zip(SAMPLES, contents, strict=True)}
    return files | {"README.md": readme().encode()}


def on_disk() -> set[str]:
    """Return the files that lie in the class folders, whoever put them there."""
    return {
        path.relative_to(HERE).as_posix()
        for path in HERE.glob("*/**/*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def differences() -> list[str]:
    """Return what differs between the folder and what the script would write."""
    files = render()
    strange = [f"not in SAMPLES: {name}" for name in sorted(on_disk() - set(files))]
    for name, data in files.items():
        path = HERE / name
        if not path.is_file():
            strange.append(f"missing: {name}")
        elif path.read_bytes() != data:
            strange.append(f"differs: {name}")
    return strange


def write() -> None:
    """Write all files, and remove from the class folders what is no longer a sample."""
    files = render()
    for name in sorted(on_disk() - set(files)):
        (HERE / name).unlink()
    for name, data in files.items():
        (HERE / name).parent.mkdir(exist_ok=True)
        (HERE / name).write_bytes(data)
    print(f"{len(SAMPLES)} samples, {sum(map(len, files.values())):,} bytes")


def main(arguments: list[str]) -> int:
    """Write the samples, or with `--check` compare them; return the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    if not arguments:
        write()
        return 0
    found = differences()
    print("\n".join(found) or "data_samples is as generated")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
