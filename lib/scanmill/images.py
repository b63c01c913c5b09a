"""Turn the bytes of untrusted images into grey pages on disk, with one known outcome per page."""

import dataclasses
import json
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scanmill import sandbox
from scanmill.errors import FatalError, RetryableError
from scanmill.models import Raster, Reason, SetAside
from scanmill.settings import Settings

DECODER = (sys.executable, "-I", "-m", "scanmill.children.decoder")
"""The program that decodes, in a process of its own."""

FILES_PER_CALL = 16
"""Files that one child decodes: its start costs 0.15 s, a usual page 0.02 s."""

_DISK_FAILED = 74  # children.decoder.DISK_FAILED; importing it here would load Pillow
_CALL_CPU_FACTOR = 10
_PGM_HEADER_BYTES = 64


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What became of one image: its pages, the first at index 0, or why there are none."""

    pages: tuple[Raster | SetAside, ...] = ()
    refusal: SetAside | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Job:
    """One file and the path, without its end, that its pages are written to."""

    source: Path
    stem: Path


def decode(
    files: Sequence[Path],
    *,
    out_dir: Path,
    settings: Settings,
    decoder: Sequence[str] = DECODER,
) -> list[Decoded]:
    """Decode images into 8-bit grey PGM files in a folder, one `Decoded` per file, in order.

    A broken image never raises and never harms another one: a file that kills the decoder is tried
    once more alone, then refused. The pages are the caller's to remove.
    """
    jobs = [_Job(path.absolute(), out_dir.absolute() / uuid.uuid4().hex) for path in files]
    results: list[Decoded] = []
    while len(results) < len(jobs):
        group = jobs[len(results) : len(results) + FILES_PER_CALL]
        finished, _ = _call(group, settings=settings, decoder=decoder)
        results += finished
        if len(finished) < len(group):
            results.append(_alone(group[len(finished)], settings=settings, decoder=decoder))
    return results


def _alone(job: _Job, *, settings: Settings, decoder: Sequence[str]) -> Decoded:
    """Decode the file at which a decoder died, in a fresh one."""
    finished, outcome = _call([job], settings=settings, decoder=decoder)
    if finished:
        return finished[0]
    _remove_pages(job)
    reason = Reason.DECODER_TIMEOUT if outcome.is_timeout else Reason.DECODER_CRASH
    detail = f"The decoder ended twice: {sandbox.ending(outcome.status)}. {outcome.errors[-200:]}"
    return Decoded(refusal=SetAside(reason=reason, detail=detail.strip(), stage="decode"))


def _call(
    jobs: Sequence[_Job], *, settings: Settings, decoder: Sequence[str]
) -> tuple[list[Decoded], sandbox.Outcome]:
    """Return the finished ones of the files, in order, and how the decoder ended."""
    outcome = sandbox.run(
        [*decoder, _order(jobs, settings)],
        limits=_limits(settings),
        reads=sorted({job.source.parent for job in jobs}),
        writes=sorted({job.stem.parent for job in jobs}),
    )
    if outcome.status == _DISK_FAILED:
        raise RetryableError(outcome.errors)
    messages = list(_messages(outcome.output))
    if not messages:
        raise FatalError(
            f"The decoder does not start: {sandbox.ending(outcome.status)}. {outcome.errors} "
            "Try more memory: SCANMILL_CHILD_MEMORY_BYTES"
        )
    finished = [_decoded(message) for message in messages[1:]]
    for job, result in zip(jobs, finished, strict=False):
        if result.refusal:
            _remove_pages(job)
    return finished, outcome


def _order(jobs: Iterable[_Job], settings: Settings) -> str:
    bounds = {
        "max_object_bytes": settings.max_object_bytes,
        "max_pixels": settings.max_pixels,
        "max_side_px": settings.max_side_px,
        "min_side_px": settings.min_side_px,
        "max_frames": settings.max_frames,
        "max_image_pixels": settings.max_image_pixels,
        "page_cpu_seconds": settings.page_cpu_seconds,
        "pdf_dpi": settings.pdf_dpi,
    }
    return json.dumps({"bounds": bounds, "files": [(str(j.source), str(j.stem)) for j in jobs]})


def _limits(settings: Settings) -> sandbox.Limits:
    """Return the limits of one call; the child itself keeps the time of each page."""
    return sandbox.Limits(
        memory_bytes=settings.child_memory_bytes,
        cpu_seconds=_CALL_CPU_FACTOR * settings.page_cpu_seconds,
        file_bytes=settings.max_pixels + _PGM_HEADER_BYTES,
    )


def _messages(output: bytes) -> Iterator[Any]:
    """Yield what the decoder said; a line without an end is one it died in."""
    for line in output.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        yield json.loads(line)


def _decoded(message: dict[str, Any]) -> Decoded:
    return Decoded(
        pages=tuple(
            Raster(**page) if "path" in page else _set_aside(page) for page in message["pages"]
        ),
        refusal=_set_aside(message["refusal"]) if message["refusal"] else None,
    )


def _set_aside(fields: dict[str, str]) -> SetAside:
    return SetAside(reason=Reason(fields["reason"]), detail=fields["detail"], stage=fields["stage"])


def _remove_pages(job: _Job) -> None:
    for page in job.stem.parent.glob(f"{job.stem.name}-*.pgm"):
        page.unlink()
