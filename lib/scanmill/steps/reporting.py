"""Writes a batch's report: sums, checks, and the worst pages as pictures beside their text."""

import datetime as dt
import io
import mimetypes
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from scanmill import images, layout, report
from scanmill.errors import LostRaceError, ObjectDeniedError, ObjectGoneError
from scanmill.ledger import receipts
from scanmill.models import ImageFate, PageFate, Raster, Reason
from scanmill.quality import RowRules, Verdict, find
from scanmill.report import CheckRow, Effort, QuarantinedItem, ReportData, WorstPage
from scanmill.sandbox import scratch
from scanmill.settings import Settings
from scanmill.steps import Mill
from scanmill.steps.adopting import collection_of

Row = dict[str, Any]

_PICTURE_PX = 900
_TEXT_CHARS = 2000


def url(settings: Settings, batch_id: str, gate: str) -> str:
    """Return the address at which people read a report."""
    if not settings.report_url:
        return f"s3://{settings.bucket}/{layout.report(batch_id, gate)}index.html"
    return f"{settings.report_url.rstrip('/')}/{batch_id}/{gate}/index.html"


def write_report(
    mill: Mill, batch_id: str, verdict: Verdict, rows: Sequence[Row], docs: Path
) -> str:
    """Put a verdict's report, its numbers and its Data Docs into the bucket; return the address."""
    data = _data(
        mill,
        batch_id,
        rows,
        gate=verdict.gate,
        severity=verdict.severity,
        checks=tuple(_check_row(check) for check in verdict.checks),
        suite=verdict.suite,
        suite_sha256=verdict.suite_sha256,
        docs_href="docs/index.html" if (docs / "index.html").exists() else "",
    )
    folder = layout.report(batch_id, verdict.gate)
    for path in sorted(docs.rglob("*")):
        if path.is_file():
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            name = path.relative_to(docs).as_posix()
            mill.store.put_derived(f"{folder}docs/{name}", path.read_bytes(), content_type=kind)
    return _put(mill, data)


def write_bare_report(mill: Mill, batch_id: str, rows: Sequence[Row]) -> str:
    """Put the report of a batch that had nothing to judge into the bucket; return the address."""
    data = _data(
        mill,
        batch_id,
        rows,
        gate=Reason.PAGES_GATE,
        severity="warning",
        checks=(),
        suite="",
        suite_sha256="",
        docs_href="",
    )
    return _put(mill, data)


def _effort(rows: Sequence[Row]) -> Effort:
    ways = [(row["attempts"] or "").split() for row in rows]
    return Effort(
        seconds=sum(row["seconds"] or 0 for row in rows),
        rescue_seconds=sum(row["rescue_seconds"] or 0 for row in rows),
        rescued_pages=sum(len(tried) > 1 for tried in ways),
        better_pages=sum(len(tried) > 1 and tried[-1] != "plain" for tried in ways),
        reused_pages=sum(row["reused_from"] is not None for row in rows),
        other_language_pages=sum(bool(row["is_other_language"]) for row in rows),
    )


def _put(mill: Mill, data: ReportData) -> str:
    folder = layout.report(data.batch, data.gate)
    page = report.render(data).encode()
    mill.store.put_derived(folder + "index.html", page, content_type="text/html; charset=utf-8")
    numbers = report.to_json(data).encode()
    mill.store.put_derived(folder + "report.json", numbers, content_type="application/json")
    return url(mill.settings, data.batch, data.gate)


def _data(mill: Mill, batch_id: str, rows: Sequence[Row], **verdict: Any) -> ReportData:
    with mill.ledger.reading() as connection:
        image_counts = receipts.image_counts(connection, batch_id)
        page_counts = receipts.page_counts(connection, batch_id)
    if verdict["severity"] == "critical":  # the books say so as soon as the verdict is entered
        page_counts[PageFate.HELD] += page_counts[PageFate.PENDING]
        page_counts[PageFate.PENDING] = 0
    rules = RowRules.load(
        find(mill.settings, collection=collection_of(batch_id), name="row_rules.json")
    )
    read = [row for row in rows if row.get("outcome", "read") == "read"]
    # The pages gate has shown its worst pages already when the dataset gate sees the rest.
    to_show = read if verdict["gate"] == Reason.PAGES_GATE else []
    return ReportData(
        batch=batch_id,
        made_at=dt.datetime.now(dt.UTC),
        images_planned=image_counts["landed"],
        images={fate: image_counts[fate] for fate in ImageFate},
        pages_found=page_counts["found"],
        pages={fate: page_counts[fate] for fate in PageFate},
        confidences=tuple(
            row["mean_confidence"] for row in read if row["mean_confidence"] is not None
        ),
        confidence_floor=rules.minimum_of("mean_confidence"),
        effort=_effort(to_show) if to_show else None,
        quarantined=tuple(
            QuarantinedItem(
                key=row["source_key"],
                page_number=row["page_number"],
                reason=Reason(row["reason"]),
                detail=row["detail"] or "",
            )
            for row in rows
            if row.get("outcome") == "unreadable"
        ),
        worst=tuple(_worst_pages(mill, to_show)),
        **verdict,
    )


def _check_row(check: Any) -> CheckRow:
    return CheckRow(
        what=check.what,
        why=check.why,
        limit=check.limit,
        observed=check.observed,
        outcome=check.outcome,
        failing_count=check.failing_count,
    )


# --- the worst pages -----------------------------------------------------------------------------


def _worst_pages(mill: Mill, read: Sequence[Row]) -> Iterator[WorstPage]:
    """Yield the pages most worth looking at: those that broke a rule, then the least sure ones."""
    worst = sorted(
        (row for row in read if row["mean_confidence"] is not None),
        key=lambda row: (row["row_rule"] == "none", row["mean_confidence"]),
    )[: report.MOST_WORST_PAGES]
    texts = _texts(mill, worst)
    for row, picture in zip(worst, _pictures(mill, worst), strict=True):
        if picture:
            rule = row["row_rule"]
            yield WorstPage(
                page_id=row["page_id"],
                key=row["source_key"],
                page_number=row["page_number"],
                mean_confidence=row["mean_confidence"],
                reason=None if rule == "none" else Reason(rule),
                text=texts[row["page_id"]][:_TEXT_CHARS],
                jpeg=picture,
            )


def _texts(mill: Mill, rows: Sequence[Row]) -> dict[str, str]:
    wanted = defaultdict(set)
    for row in rows:
        wanted[row["batch_id"], row["slice"]].add(row["page_id"])
    texts: dict[str, str] = {}
    for (batch_id, slice_number), page_ids in wanted.items():
        part = mill.store.read_table(layout.part(batch_id, slice_number))
        for row in part.select(["page_id", "text"]).to_pylist():
            if row["page_id"] in page_ids:
                texts[row["page_id"]] = row["text"] or ""
    return texts


def _pictures(mill: Mill, rows: Sequence[Row]) -> list[bytes]:
    """Return pages as JPEG, decoded in a child as for reading; empty for one that is gone."""
    with scratch() as folder:
        sources = [folder / str(number) for number in range(len(rows))]
        for source, row in zip(sources, rows, strict=True):
            source.write_bytes(_scan(mill, row))
        decoder = images.Decoder(mill.settings)
        decoded = [decoder.decode(source, out_dir=folder) for source in sources]
        return [_jpeg(one, row) for one, row in zip(decoded, rows, strict=True)]


def _scan(mill: Mill, row: Row) -> bytes:
    try:
        return mill.store.read_version(row["source_key"], row["source_version"])
    except (ObjectGoneError, ObjectDeniedError, LostRaceError):
        return b""


def _jpeg(decoded: images.Decoded, row: Row) -> bytes:
    page = decoded.pages[row["page_number"] - 1] if decoded.pages else None
    if not isinstance(page, Raster):
        return b""
    with Image.open(page.path) as raster:
        raster.thumbnail((_PICTURE_PX, _PICTURE_PX))
        sink = io.BytesIO()
        raster.save(sink, "JPEG", quality=70)
        return sink.getvalue()
