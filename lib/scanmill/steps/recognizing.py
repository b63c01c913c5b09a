"""Recognizes slices: every image is read, and one part says what became of each."""

import concurrent.futures
import dataclasses
import itertools
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scanmill import __version__, alerts, layout, schema, textstats
from scanmill.errors import (
    FatalError,
    ObjectDeniedError,
    ObjectGoneError,
    ScanmillError,
    UsageError,
)
from scanmill.images import Decoder
from scanmill.ledger import books, outbox, receipts
from scanmill.models import BatchKind, Reason
from scanmill.ocr import OcrEngine, recipe
from scanmill.steps import Mill
from scanmill.steps.adopting import adopt_plan, collection_of, enter_part
from scanmill.steps.page_rows import PageWriter, Planned
from scanmill.steps.reading import Reader
from scanmill.steps.reusing import Archive
from scanmill.store import parquet_bytes

log = logging.getLogger(__name__)

Row = dict[str, Any]

_PROBES = 5  # other objects that are asked for before our rights are called wrong
_LARGE_BYTES = 5_000_000
_FEWEST_IMAGES, _MOST_IMAGES = 4, 24  # that one thread fetches, decodes and reads at a time


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


def for_batch(mill: Mill, batch_id: str) -> Mill:
    """Return the mill with the settings of a batch: its collection's, and what somebody asked."""
    settings = mill.settings.of_collection(collection_of(batch_id))
    with mill.ledger.reading() as connection:
        is_asked = receipts.kind_of(connection, batch_id) == BatchKind.REPROCESS
    if is_asked:
        metadata = mill.store.read_table(layout.plan(batch_id)).schema.metadata
        settings = settings.model_copy(update=json.loads(metadata[schema.REPROCESS])["settings"])
    return dataclasses.replace(mill, settings=settings)


def recognize_slice(
    mill: Mill,
    engine: OcrEngine,
    *,
    batch_id: str,
    slice_number: int,
    one_by_one: bool = False,
    log_url: str = "",
) -> dict[str, int]:
    """Read every image of a slice and return how many of its rows ended in which fate.

    Bad images are data: they are set aside with a reason. The part is created once; if another
    attempt was first, its rows are the ones that count. `one_by_one` is for a slice that failed
    before: an image on which we ourselves fail is then set aside as `internal_error`.

    Raises:
        RetryableError: the store, the disk or the ledger failed.
        FatalError: no image can be read at all: wrong credentials or a broken engine.
    """
    address = layout.part(batch_id, slice_number)
    try:
        part = mill.store.read_table(address)
    except ObjectGoneError:
        planned = _planned(mill, batch_id, slice_number)
        reader = _reader(mill, engine, batch_id, planned)
        rows = _read_one_by_one(reader, planned) if one_by_one else _read(reader, planned)
        _refuse_if_all_denied(mill, rows)
        rows = [row | {"batch_id": batch_id, "slice": slice_number} for row in rows]
        ours = parquet_bytes(_part_table(rows, log_url))
        part = pq.read_table(pa.BufferReader(mill.store.create_first(address, ours)))
    enter_part(mill, batch_id, slice_number, part)
    _log_set_aside(part)
    _tell_of_bugs(mill, batch_id, slice_number, part)
    return dict(Counter(part["fate"].to_pylist()))


def _planned(mill: Mill, batch_id: str, slice_number: int) -> list[Planned]:
    plan = mill.store.read_table(layout.plan(batch_id))
    planned: list[Planned] = plan.filter(pc.equal(plan["slice"], slice_number)).to_pylist()
    return planned


def _reader(mill: Mill, engine: OcrEngine, batch_id: str, planned: Sequence[Planned]) -> Reader:
    known = textstats.word_lists(mill.settings.word_languages)
    by = recipe(engine, mill.settings)
    with mill.ledger.reading() as connection:
        is_intake = receipts.kind_of(connection, batch_id) == BatchKind.INTAKE
        image_ids = [image["image_id"] for image in planned]
        earlier = receipts.earlier_attempts(connection, image_ids, batch_id)
    return Reader(
        mill=mill,
        engine=engine,
        decoder=Decoder(mill.settings),
        writer=PageWriter(
            engine=engine.info,
            recipe=by,
            known=known,
            languages=mill.settings.ocr_languages,
            keep_word_boxes=mill.settings.keep_word_boxes,
        ),
        collection=collection_of(batch_id),
        # Who asks for images to be read again wants them read.
        archive=Archive(mill, by) if is_intake else None,
        earlier=earlier,
    )


def _read(reader: Reader, planned: Sequence[Planned]) -> list[Row]:
    workers = reader.mill.settings.ocr_workers
    # One more than cores: while its group is fetched or written, the cores read another's.
    with concurrent.futures.ThreadPoolExecutor(workers + 1) as pool:
        groups = pool.map(reader.read_group, _groups(planned, workers))
        rows = list(itertools.chain.from_iterable(groups))
    places = {image["image_id"]: place for place, image in enumerate(planned)}
    return sorted(rows, key=lambda row: places[row["image_id"]])


def _groups(planned: Sequence[Planned], workers: int) -> Iterator[Sequence[Planned]]:
    """Yield groups of images that share their children.

    Large files, which may hold many pages, come first and alone; then each group is a core's share
    of what is left (guided self-scheduling, Polychronopoulos and Kuck 1987): few calls, and all
    cores are busy to the end. Images of the same bytes stay together, to be read once.
    """
    twins = [list(some) for _, some in itertools.groupby(sorted(planned, key=_bytes), key=_bytes)]
    large = [some for some in twins if some[0]["size_bytes"] > _LARGE_BYTES]
    small = twins[len(large) :]
    yield from large
    while small:
        size = max(_FEWEST_IMAGES, min(_MOST_IMAGES, len(small) // workers))
        yield list(itertools.chain.from_iterable(small[:size]))
        small = small[size:]


def _bytes(image: Planned) -> tuple[int, str]:
    """Return what sorts images by size, the largest first, and puts equal bytes side by side."""
    return -image["size_bytes"], image["etag"]


def _read_one_by_one(reader: Reader, planned: Sequence[Planned]) -> list[Row]:
    """Read every image by itself, so that a bug of ours costs the image that brings it out.

    Faults of the world are nobody's fault, and a bug that every image brings out is no image's.
    """
    with concurrent.futures.ThreadPoolExecutor(reader.mill.settings.ocr_workers) as pool:
        reads = [pool.submit(reader.read_group, [image]) for image in planned]
    errors = [read.exception() for read in reads]
    for error in errors:
        if isinstance(error, ScanmillError | OSError):
            raise error
    bugs = [error for error in errors if error]
    if bugs and len(bugs) == len(planned) > 1:
        raise bugs[0]
    rows: list[Row] = []
    for image, read, error in zip(planned, reads, errors, strict=True):
        rows += reader.blame(image, error) if error else read.result()
    return rows


def _tell_of_bugs(mill: Mill, batch_id: str, slice_number: int, part: pa.Table) -> None:
    bugs = part.filter(pc.equal(part["reason"], Reason.INTERNAL_ERROR))
    if not len(bugs):
        return
    message = alerts.internal_error(
        batch=batch_id,
        files=bugs["source_key"].to_pylist(),
        errors=bugs["detail"].to_pylist(),
        log_address=part.schema.metadata[b"log_url"].decode(),
    )
    fields = dataclasses.asdict(message) | {"key": f"{message.key}:{slice_number}"}
    with mill.ledger.writing() as connection:
        outbox.post(connection, **fields)


def _part_table(rows: Sequence[Mapping[str, Any]], log_url: str) -> pa.Table:
    table = pa.Table.from_pylist(list(rows), schema=schema.PAGES)
    return table.replace_schema_metadata(
        {
            "log_url": log_url,
            "scanmill_version": __version__,
            "schema_version": str(schema.SCHEMA_VERSION),
        }
    )


def _refuse_if_all_denied(mill: Mill, rows: Sequence[Row]) -> None:
    """One object that is denied is its own fault; all of landing is the fault of our rights."""
    denied = [row for row in rows if row["reason"] == Reason.OBJECT_UNREADABLE]
    if denied and len(denied) == len(rows) and not _may_read_another(mill, denied):
        raise FatalError(
            f"The store denies all [{len(rows)}] images of the slice, first "
            f"[{denied[0]['detail']}]. Give this role s3:GetObjectVersion on landing/*."
        )


def _may_read_another(mill: Mill, denied: Sequence[Row]) -> bool:
    """Tell whether some other object of landing is handed out to us as images are: by version.

    The right to read what is current is another one, and would prove nothing.
    """
    keys = {row["source_key"] for row in denied}
    others = (
        one
        for one in mill.store.list_versions(layout.LANDING)
        if one.is_latest and not one.is_delete_marker and one.key not in keys
    )
    for one in itertools.islice(others, _PROBES):
        try:
            if one.version == "null":  # read without its name, as images of such buckets are
                mill.store.read(one.key)
            else:
                mill.store.read_version(one.key, one.version)
        except (ObjectDeniedError, ObjectGoneError):
            continue
        return True
    return False


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
