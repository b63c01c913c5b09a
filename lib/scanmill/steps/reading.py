"""Reads images: fetch, decode, OCR; every one ends as rows, and the bad ones in quarantine too."""

import dataclasses
import hashlib
import itertools
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scanmill import layout
from scanmill.dataset import labels
from scanmill.errors import LostRaceError, ObjectDeniedError, ObjectGoneError, PageError
from scanmill.images import Decoded, Decoder
from scanmill.models import ImageFate, PageFate, Raster, Reason, Recognition, SetAside
from scanmill.ocr import OcrEngine
from scanmill.sandbox import scratch
from scanmill.steps import Mill
from scanmill.steps.page_rows import PageWriter, Planned, reasons_to_keep, reused, unread
from scanmill.steps.reusing import Archive
from scanmill.store import json_bytes

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Fetched:
    """An image's bytes in a file, unless there are none, and its fate where that is settled.

    Equal bytes lie in one file.
    """

    path: Path | None = None
    sha256: str = ""
    image_fate: ImageFate | None = None
    aside: SetAside | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads groups of images, several groups at a time in threads; native code runs in children."""

    mill: Mill
    engine: OcrEngine
    decoder: Decoder
    writer: PageWriter
    collection: str
    archive: Archive | None = None
    """Where to look for what was read before; None: read everything anew."""
    earlier: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """In how many batches before this one an image was read, by image id; absent means none."""

    def read_group(self, group: Sequence[Planned]) -> list[Row]:
        """Return the rows of some images, and put the originals of the bad ones in quarantine."""
        with scratch() as work:
            fetched = [self._fetch(planned, work) for planned in group]
            files = {one.sha256: one.path for one in fetched if one.path and not one.aside}
            known = self.archive.rows_of(list(files)) if self.archive else {}
            opened = {
                sha256: self.decoder.decode(path, out_dir=work)
                for sha256, path in files.items()
                if sha256 not in known
            }
            read = self._recognize(list(opened.values()))
            rows: list[Row] = []
            for planned, one in zip(group, fetched, strict=True):
                rows += self._rows(planned, one, known=known, opened=opened, read=read)
            return rows

    def _fetch(self, planned: Planned, work: Path) -> _Fetched:
        if planned["size_bytes"] > self.mill.settings.max_object_bytes:
            detail = f"{planned['size_bytes']} bytes; the limit is SCANMILL_MAX_OBJECT_BYTES"
            return _quarantined(Reason.IMAGE_TOO_LARGE, detail)
        try:
            content = self._content(planned)
        except ObjectGoneError as error:
            return _superseded(Reason.DELETED, str(error))
        except LostRaceError as error:
            return _superseded(Reason.OVERWRITTEN, str(error))
        except ObjectDeniedError as error:
            return _quarantined(Reason.OBJECT_UNREADABLE, str(error))
        sha256 = hashlib.sha256(content).hexdigest()
        path = work / sha256
        path.write_bytes(content)
        judged = _judged_by_name(planned["key"], content)
        return dataclasses.replace(judged, path=path, sha256=sha256)

    def _content(self, planned: Planned) -> bytes:
        """Return the bytes of an image; of a quarantined one, what was kept when it is gone."""
        try:
            return self.mill.store.read_version(planned["key"], planned["version"])
        except ObjectGoneError:
            if not planned["reason"]:
                raise
            reason = Reason(planned["reason"])
            folder = layout.quarantine(self.collection, reason, planned["image_id"])
            return self.mill.store.read(folder + "original")

    def _recognize(self, decoded: Sequence[Decoded]) -> dict[str, Recognition | SetAside]:
        """Return what the engine read, by path of the raster."""
        pages = itertools.chain.from_iterable(image.pages for image in decoded)
        rasters = [page for page in pages if isinstance(page, Raster) and not page.is_blank]
        read = self.engine.recognize(rasters)
        return {raster.path: one for raster, one in zip(rasters, read, strict=True)}

    def _rows(
        self,
        planned: Planned,
        fetched: _Fetched,
        *,
        known: dict[str, list[Row]],
        opened: Mapping[str, Decoded],
        read: Mapping[str, Recognition | SetAside],
    ) -> list[Row]:
        """Return the rows of an image: set aside, read before and in `known`, or read now."""
        sha256 = fetched.sha256
        if fetched.aside:
            return self._set_aside(planned, fetched, fetched.aside)
        if sha256 in known:
            return reused(planned, known[sha256])
        decoded = opened[sha256]
        if decoded.refusal:
            return self._set_aside(planned, fetched, decoded.refusal)
        rows = self.writer.rows(planned, sha256=sha256, pages=decoded.pages, read=read)
        if self.archive and all(row["fate"] == PageFate.PENDING for row in rows):
            known[sha256] = rows  # what failed is no reading: it is tried each time
        self._keep(planned, rows, fetched)
        return rows

    def _set_aside(self, planned: Planned, fetched: _Fetched, aside: SetAside) -> list[Row]:
        fate = fetched.image_fate or ImageFate.QUARANTINED
        rows = [unread(planned, image_fate=fate, aside=aside, sha256=fetched.sha256 or None)]
        self._keep(planned, rows, fetched)
        return rows

    def _keep(self, planned: Planned, rows: Sequence[Row], fetched: _Fetched) -> None:
        """Put the original of an image in quarantine, for each reason that its pages give."""
        for reason in sorted(reasons_to_keep(rows)):
            content = fetched.path.read_bytes() if fetched.path else None
            self._quarantine(planned, rows, reason, content)

    def blame(self, planned: Planned, error: BaseException) -> list[Row]:
        """Return the row of an image that we ourselves failed on, and keep its original."""
        try:
            content = self._content(planned)
        except ObjectGoneError as gone:
            aside = SetAside(reason=Reason.DELETED, detail=str(gone), stage="read")
            return [unread(planned, image_fate=ImageFate.SUPERSEDED, aside=aside)]
        # Where and what, but not the error's own words: they may quote the document.
        *_, frame = traceback.extract_tb(error.__traceback__)
        where = f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"
        detail = f"{type(error).__name__} at {where}"
        aside = SetAside(reason=Reason.INTERNAL_ERROR, detail=detail, stage="recognize")
        sha256 = hashlib.sha256(content).hexdigest()
        fate = ImageFate.QUARANTINED
        rows = [unread(planned, image_fate=fate, aside=aside, sha256=sha256)]
        self._quarantine(planned, rows, Reason.INTERNAL_ERROR, content)
        return rows

    def _quarantine(
        self,
        planned: Planned,
        rows: Sequence[Row],
        reason: Reason,
        content: bytes | None,
    ) -> None:
        """Keep the original and what was tried; both were kept before if a killed try comes again.

        An object too large or forbidden to read leaves its original in landing alone.
        """
        folder = layout.quarantine(self.collection, reason, planned["image_id"])
        if content is not None:
            self.mill.store.create(folder + "original", content)
        columns = ("source_key", "source_version", "sha256", "page_number", "detail", "stage")
        attempt = {
            "engine": dataclasses.asdict(self.engine.info),
            "pages": [
                {name: row[name] for name in columns} for row in rows if row["reason"] == reason
            ],
            "reason": reason,
        }
        number = 1 + self.earlier.get(planned["image_id"], 0)
        self.mill.store.create_first(layout.attempt(folder, number), json_bytes(attempt))


def _judged_by_name(key: str, content: bytes) -> _Fetched:
    """Return the fate of what is no scan by its place: a metadata file, or one in no collection."""
    if layout.collection_of(key) == layout.ROOT_COLLECTION:
        detail = "it lies beside the collections; upload it to landing/<collection>/"
        return _quarantined(Reason.NO_COLLECTION, detail)
    if not layout.is_metadata(key):
        return _Fetched()
    try:
        labels.read_metadata(key, content)
    except PageError as error:
        return _quarantined(error.reason, error.detail)
    aside = SetAside(reason=Reason.METADATA_FILE, detail="labels and document ids", stage="read")
    return _Fetched(image_fate=ImageFate.IGNORED, aside=aside)


def _quarantined(reason: Reason, detail: str) -> _Fetched:
    aside = SetAside(reason=reason, detail=detail, stage="read")
    return _Fetched(image_fate=ImageFate.QUARANTINED, aside=aside)


def _superseded(reason: Reason, detail: str) -> _Fetched:
    aside = SetAside(reason=reason, detail=detail, stage="read")
    return _Fetched(image_fate=ImageFate.SUPERSEDED, aside=aside)
