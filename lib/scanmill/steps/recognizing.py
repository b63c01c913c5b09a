"""Reads the images of one slice: fetch, decode, OCR, and one part that says what became of each."""

import concurrent.futures
import dataclasses
import hashlib
import itertools
import logging
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scanmill import __version__, images, layout, schema, textstats
from scanmill.dataset import labels
from scanmill.errors import FatalError, PageError, UsageError
from scanmill.images import Decoded
from scanmill.ledger import books, receipts
from scanmill.models import ImageFate, Raster, Reason, Recognition, SetAside
from scanmill.ocr import OcrEngine
from scanmill.steps import Mill
from scanmill.steps.adopting import adopt_plan, collection_of, enter_part
from scanmill.steps.page_rows import PageWriter, Planned, reasons_to_keep, unread
from scanmill.store import (
    LostRaceError,
    ObjectDeniedError,
    ObjectGoneError,
    json_bytes,
    parquet_bytes,
)

log = logging.getLogger(__name__)

_GROUP_IMAGES = 16  # images that one worker fetches, decodes and reads at a time


def list_slices(mill: Mill, batch_id: str) -> list[int]:
    """Return the slices of a batch that are not read yet.

    Raises:
        UsageError: nobody planned such a batch.
    """
    with mill.ledger.reading() as connection:
        is_known = receipts.batch(connection, batch_id) is not None
    if not is_known and not adopt_plan(mill, batch_id):
        raise UsageError(f"There is no batch [{batch_id}]. See: ./scanmill status")
    with mill.ledger.writing() as connection:
        books.touch(connection, batch_id)  # it has begun: nobody has to ring for it again
        return receipts.unread_slices(connection, batch_id)


def recognize_slice(
    mill: Mill, engine: OcrEngine, *, batch_id: str, slice_number: int, log_url: str = ""
) -> dict[str, int]:
    """Read every image of a slice and return how many of its rows ended in which fate.

    Bad images are data: they are set aside with a reason. The part is created once; if another
    attempt was first, its rows are the ones that count.

    Raises:
        RetryableError: the store, the disk or the ledger failed.
        FatalError: no image can be read at all: wrong credentials or a broken engine.
    """
    address = layout.part(batch_id, slice_number)
    try:
        part = mill.store.read_table(address)
    except ObjectGoneError:
        rows = _read_slice(mill, engine, batch_id=batch_id, slice_number=slice_number)
        ours = parquet_bytes(_part_table(rows, log_url))
        part = pq.read_table(pa.BufferReader(mill.store.create_first(address, ours)))
    enter_part(mill, batch_id, slice_number, part)
    _log_set_aside(part)
    return dict(Counter(part["fate"].to_pylist()))


def _read_slice(
    mill: Mill, engine: OcrEngine, *, batch_id: str, slice_number: int
) -> list[dict[str, Any]]:
    plan = mill.store.read_table(layout.plan(batch_id))
    planned = plan.filter(pc.equal(plan["slice"], slice_number)).to_pylist()
    writer = PageWriter(
        engine=engine.info, known=textstats.word_lists(mill.settings.word_languages)
    )
    reader = _Reader(mill=mill, engine=engine, writer=writer, collection=collection_of(batch_id))
    workers = mill.settings.ocr_workers
    # Groups small enough that every worker has some to the end, large enough to share a child.
    size = max(1, min(_GROUP_IMAGES, -(-len(planned) // (4 * workers))))
    groups = [planned[start : start + size] for start in range(0, len(planned), size)]
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        rows = list(itertools.chain.from_iterable(pool.map(reader.read_group, groups)))
    _refuse_if_all_denied(rows)
    return [row | {"batch_id": batch_id, "slice": slice_number} for row in rows]


def _part_table(rows: Sequence[Mapping[str, Any]], log_url: str) -> pa.Table:
    table = pa.Table.from_pylist(list(rows), schema=schema.PAGES)
    return table.replace_schema_metadata(
        {
            "log_url": log_url,
            "scanmill_version": __version__,
            "schema_version": str(schema.SCHEMA_VERSION),
        }
    )


def _refuse_if_all_denied(rows: Sequence[Mapping[str, Any]]) -> None:
    """One object that is denied is its own fault; all of them are the fault of our rights."""
    denied = [row for row in rows if row["reason"] == Reason.OBJECT_UNREADABLE]
    if len(rows) > 1 and len(denied) == len(rows):
        raise FatalError(
            f"The store denies all [{len(rows)}] images of the slice, first "
            f"[{denied[0]['detail']}]. Give this role s3:GetObjectVersion on landing/*."
        )


def _log_set_aside(part: pa.Table) -> None:
    """Write one line for every page set aside: ids and reasons only, never text or keys."""
    columns = ["image_id", "page_number", "fate", "reason"]
    for row in part.select(columns).to_pylist():
        if row["reason"]:
            log.warning(
                "%s image=%s page=%d reason=%s",
                row["fate"],
                row["image_id"],
                row["page_number"],
                row["reason"],
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Fetched:
    """An image's bytes in a file, unless there are none, and its fate where that is settled."""

    path: Path | None = None
    image_fate: ImageFate | None = None
    aside: SetAside | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads groups of images, several groups at a time in threads; native code runs in children."""

    mill: Mill
    engine: OcrEngine
    writer: PageWriter
    collection: str

    def read_group(self, group: Sequence[Planned]) -> list[dict[str, Any]]:
        """Return the rows of some images, and put the originals of the bad ones in quarantine."""
        with tempfile.TemporaryDirectory(prefix="scanmill-") as folder:
            work = Path(folder)
            fetched = [self._fetch(planned, work) for planned in group]
            files = [one.path for one in fetched if one.path and not one.aside]
            decoded = images.decode(files, out_dir=work, settings=self.mill.settings)
            opened: dict[Path | None, Decoded] = dict(zip(files, decoded, strict=True))
            read = self._recognize(decoded)
            rows = []
            for planned, one in zip(group, fetched, strict=True):
                rows += self._settle(planned, one, opened.get(one.path), read)
            return rows

    def _fetch(self, planned: Planned, work: Path) -> _Fetched:
        if planned["size_bytes"] > self.mill.settings.max_object_bytes:
            detail = f"{planned['size_bytes']} bytes; the limit is SCANMILL_MAX_OBJECT_BYTES"
            return _quarantined(Reason.IMAGE_TOO_LARGE, detail)
        try:
            content = self.mill.store.read_version(planned["key"], planned["version"])
        except ObjectGoneError as error:
            return _superseded(Reason.DELETED, str(error))
        except LostRaceError as error:
            return _superseded(Reason.OVERWRITTEN, str(error))
        except ObjectDeniedError as error:
            return _quarantined(Reason.OBJECT_UNREADABLE, str(error))
        path = work / planned["image_id"]
        path.write_bytes(content)
        return dataclasses.replace(_judged_by_name(planned["key"], content), path=path)

    def _recognize(self, decoded: Sequence[Decoded]) -> dict[str, Recognition | SetAside]:
        """Return what the engine read, by path of the raster."""
        pages = itertools.chain.from_iterable(image.pages for image in decoded)
        rasters = [page for page in pages if isinstance(page, Raster)]
        read = self.engine.recognize(rasters)
        return {raster.path: one for raster, one in zip(rasters, read, strict=True)}

    def _settle(
        self,
        planned: Planned,
        fetched: _Fetched,
        opened: Decoded | None,
        read: Mapping[str, Recognition | SetAside],
    ) -> list[dict[str, Any]]:
        content = fetched.path.read_bytes() if fetched.path else None
        sha256 = hashlib.sha256(content).hexdigest() if content is not None else None
        aside = fetched.aside or (opened.refusal if opened else None)
        if aside:
            fate = fetched.image_fate or ImageFate.QUARANTINED
            rows = [unread(planned, image_fate=fate, aside=aside, sha256=sha256)]
        else:
            pages = opened.pages if opened else ()
            rows = self.writer.rows(planned, sha256=sha256 or "", pages=pages, read=read)
        for reason in sorted(reasons_to_keep(rows)):
            self._quarantine(planned, rows, reason, content)
        return rows

    def _quarantine(
        self,
        planned: Planned,
        rows: Sequence[Mapping[str, Any]],
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
        self.mill.store.create_first(folder + "attempts/1.json", json_bytes(attempt))


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
