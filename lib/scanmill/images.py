"""Turn the bytes of untrusted images into grey pages on disk, with one known outcome per page."""

import dataclasses
import shutil
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scanmill import sandbox
from scanmill.children.answering import DISK_FAILED
from scanmill.errors import FatalError, RetryableError
from scanmill.models import Raster, Reason, SetAside
from scanmill.sandbox.worker import Death, Worker
from scanmill.settings import Settings

DECODER = (sys.executable, "-I", "-m", "scanmill.children.decoder")
"""The program that decodes, in a process of its own that stays: its start costs 0.12 s."""

FILES_PER_LIFE = 64
"""Files that one child decodes: whatever a broken one left behind in it reaches no further."""

_FILE_CPU_FACTOR = 10  # of the time of a page: for all pages of a file together
_LIFE_CPU_SECONDS = 86_400  # each file and each page has a clock of its own
_PGM_HEADER_BYTES = 64


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What became of one image: its pages, the first at index 0, or why there are none."""

    pages: tuple[Raster | SetAside, ...] = ()
    refusal: SetAside | None = None


@dataclasses.dataclass(slots=True)
class _Child:
    worker: Worker
    files: int = 0


class Decoder:
    """Decodes images, from any number of threads at once, each with a child of its own.

    A child ends with the thread that started it, or with this.
    """

    def __init__(self, settings: Settings, *, program: Sequence[str] | None = None) -> None:
        """Start nothing yet."""
        self._settings = settings
        self._program = program or DECODER
        self._own = threading.local()

    def decode(self, file: Path, *, out_dir: Path) -> Decoded:
        """Decode an image into 8-bit grey PGM files in a folder; they are the caller's to remove.

        A broken image never raises and never harms another one: a file that kills the decoder is
        given to a fresh one, then refused.

        Raises:
            RetryableError: the disk failed.
            FatalError: the decoder does not start.
        """
        answer = self._ask(file)
        if isinstance(answer, Death) and not answer.is_timeout:
            answer = self._ask(file)
        if isinstance(answer, Death):
            return Decoded(refusal=_refused(answer))
        home = self._child().worker.home
        return Decoded(
            pages=tuple(
                _moved(page, home, out_dir) if "path" in page else _set_aside(page)
                for page in answer["pages"]
            ),
            refusal=_set_aside(answer["refusal"]) if answer["refusal"] else None,
        )

    def _ask(self, file: Path) -> dict[str, Any] | Death:
        child = self._child()
        if child.files >= FILES_PER_LIFE:
            self._leave()
            child = self._child()
        child.files += 1
        try:
            answer = child.worker.ask(
                {}, file=file, cpu_seconds=_FILE_CPU_FACTOR * self._settings.page_cpu_seconds
            )
        except OSError as error:
            raise RetryableError(f"Cannot read [{file}]: {error.strerror}.") from error
        if isinstance(answer, Death):
            self._own.child = None
            if answer.status == DISK_FAILED:
                raise RetryableError(answer.errors)
        return answer

    def _leave(self) -> None:
        self._own.child.worker.end()
        self._own.child = None

    def _child(self) -> _Child:
        child: _Child | None = getattr(self._own, "child", None)
        if child is None:
            child = self._own.child = _Child(self._started())
        return child

    def _started(self) -> Worker:
        settings = self._settings
        worker = Worker(
            [*self._program, _bounds(settings)],
            limits=sandbox.Limits(
                memory_bytes=settings.child_memory_bytes,
                cpu_seconds=_LIFE_CPU_SECONDS,
                file_bytes=settings.max_pixels + _PGM_HEADER_BYTES,
            ),
            environment={},
            reads=(),
        )
        greeting = worker.greet()
        if isinstance(greeting, Death):
            raise FatalError(
                f"The decoder does not start: {sandbox.ending(greeting.status)}. "
                f"{greeting.errors} Try more memory: SCANMILL_CHILD_MEMORY_BYTES"
            )
        return worker


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
