"""Turn the bytes of untrusted images into grey pages on disk, with one known outcome per page."""

import dataclasses
import shutil
import sys
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from scanmill import sandbox
from scanmill.errors import RetryableError
from scanmill.models import Raster, Reason, SetAside
from scanmill.sandbox.crew import LIFE_CPU_SECONDS, Crew
from scanmill.sandbox.worker import Death
from scanmill.settings import Settings

DECODER = (sys.executable, "-I", "-m", "scanmill.children.decoder")
"""The program that decodes, in a process of its own that stays: its start costs 0.12 s."""

FILES_PER_LIFE = 64
"""Files that one child decodes: whatever a broken one left behind in it reaches no further."""

MOST_DEADLY_PAGES = 3
"""Pages of one file that a decoder may die of before the file is refused."""

_FILE_CPU_FACTOR = 10  # of the time of a page: for all pages of a file together
_PGM_HEADER_BYTES = 64


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What became of one image: its pages, the first at index 0, or why there are none."""

    pages: tuple[Raster | SetAside, ...] = ()
    refusal: SetAside | None = None


class Decoder:
    """Decodes images, from any number of threads at once, each with a child of its own."""

    def __init__(self, settings: Settings, *, program: Sequence[str] | None = None) -> None:
        """Start nothing yet."""
        self._cpu_seconds = _FILE_CPU_FACTOR * settings.page_cpu_seconds
        command = [*(program or DECODER), _bounds(settings)]
        self._crew = Crew(
            lambda _: command,
            limits=sandbox.Limits(
                memory_bytes=settings.child_memory_bytes,
                cpu_seconds=LIFE_CPU_SECONDS,
                file_bytes=settings.max_pixels + _PGM_HEADER_BYTES,
            ),
            questions_per_life=FILES_PER_LIFE,
        )

    def decode(self, file: Path, *, out_dir: Path) -> Decoded:
        """Decode an image into 8-bit grey PGM files in a folder; they are the caller's to remove.

        A broken image never raises and never harms another one: a page that kills the decoder is
        set aside, and a fresh one reads the others; after a few of them the file is refused.

        Raises:
            RetryableError: the disk failed.
            FatalError: the decoder does not start.
        """
        deadly: dict[int, SetAside] = {}
        while isinstance(answer := self._ask(file, deadly), Death):
            number = int(answer.note) if answer.note.isdecimal() else 0
            if not number or number in deadly or len(deadly) == MOST_DEADLY_PAGES:
                return Decoded(refusal=_refused(answer))
            deadly[number] = _refused(answer)
        home = self._crew.home()
        pages = tuple(
            _moved(page, home, out_dir) if "path" in page else deadly.get(n) or _set_aside(page)
            for n, page in enumerate(answer["pages"], start=1)
        )
        if not answer["refusal"]:
            return Decoded(pages=pages)
        return Decoded(refusal=deadly.get(1) or _set_aside(answer["refusal"]))

    def _ask(self, file: Path, deadly: Collection[int]) -> dict[str, Any] | Death:
        question = {"skipped": sorted(deadly)}
        return self._crew.ask(question, file=file, cpu_seconds=self._cpu_seconds)


def _bounds(settings: Settings) -> str:
    names = {
        *("max_object_bytes", "max_pixels", "max_side_px", "min_side_px", "max_frames"),
        *("max_image_pixels", "page_cpu_seconds", "pdf_dpi"),
    }
    return settings.model_dump_json(include=names)


def _refused(death: Death) -> SetAside:
    reason = Reason.DECODER_TIMEOUT if death.is_timeout else Reason.DECODER_CRASH
    often = "" if death.is_timeout else " twice"
    detail = f"The decoder ended{often}: {sandbox.ending(death.status)}. {death.errors[-200:]}"
    return SetAside(reason=reason, detail=detail.strip(), stage="decode")


def _moved(page: Mapping[str, Any], home: Path, out_dir: Path) -> Raster:
    """Take a page out of the child's folder; a blank one has no file."""
    if not page["path"]:
        return Raster(**page)
    path = out_dir.absolute() / f"{uuid.uuid4().hex}.pgm"
    try:
        shutil.move(home / Path(page["path"]).name, path)
    except OSError as error:
        raise RetryableError(f"Cannot write [{path}]: {error.strerror}.") from error
    return Raster(**{**page, "path": str(path)})


def _set_aside(fields: Mapping[str, str]) -> SetAside:
    return SetAside(reason=Reason(fields["reason"]), detail=fields["detail"], stage=fields["stage"])
