"""The seam where another OCR engine fits in, and what engines say of a page that failed."""

from collections.abc import Sequence
from typing import Protocol

from scanmill import sandbox
from scanmill.models import EngineInfo, Raster, Reason, Recognition, SetAside

Reading = Recognition | SetAside
"""What was read on a page, or why nothing was."""


class OcrEngine(Protocol):
    """Reads pages, from any number of threads at once.

    An engine never raises for a page; it raises `FatalError` when it is made without what it needs.
    """

    @property
    def info(self) -> EngineInfo:
        """What reads: name, version and model."""

    @property
    def languages(self) -> list[str]:
        """The languages that it could read, for people."""

    def recognize(
        self, rasters: Sequence[Raster], *, psm: int | None = None, languages: str | None = None
    ) -> list[Reading]:
        """Return what was read on each page, in the same order.

        `psm` and `languages` are as in the settings unless given; an engine that knows no such
        thing ignores them. No page is blank: those are nobody's to read.
        """


def set_aside(reason: Reason, detail: str) -> SetAside:
    """Return a page that could not be read."""
    return SetAside(reason=reason, detail=detail, stage="recognize")


def died_of(status: int, errors: str, *, is_timeout: bool) -> SetAside:
    """Return a page that the program of an engine ended at, by its exit status or signal."""
    if is_timeout:
        reason = Reason.ENGINE_TIMEOUT
    else:
        reason = Reason.ENGINE_CRASH if status < 0 else Reason.ENGINE_ERROR
    return set_aside(reason, f"{sandbox.ending(status)}. {errors[-200:]}".strip())
