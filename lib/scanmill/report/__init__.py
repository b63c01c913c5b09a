"""The report of one batch: a single HTML file that opens anywhere, and its numbers as JSON."""

import base64
import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from scanmill.inert import inert, inert_lines
from scanmill.models import ImageFate, PageFate, Reason
from scanmill.report import pictures, words

Severity = Literal["pass", "warning", "critical"]
Outcome = Literal["passed", "warning", "critical", "not judged"]

MOST_WORST_PAGES = 12
"""A report is for looking at; more pictures make it slow to open and nobody looks."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """One check of the gate, in words."""

    what: str
    why: str
    limit: str
    observed: str
    outcome: Outcome
    failing_count: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedItem:
    """An image, or one page of it, that could not be read."""

    key: str
    page_number: int
    """0 stands for the whole image."""
    reason: Reason
    detail: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorstPage:
    """A page to look at: its picture, and the text that was read from it."""

    page_id: str
    key: str
    page_number: int
    mean_confidence: float | None
    reason: Reason | None
    text: str
    jpeg: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What reading a batch took, and what was peculiar about its pages."""

    seconds: float
    """Of OCR, on one core."""
    rescue_seconds: float
    """What second chances took of it."""
    rescued_pages: int
    """Pages that got second chances."""
    better_pages: int
    """Those of them that read better for it."""
    reused_pages: int
    """Pages of copies, whose reading was there already."""
    other_language_pages: int
    """Pages in another language than they were read in."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything a report shows; the sums come from the ledger, planned and found apart."""

    batch: str
    gate: str
    severity: Severity
    made_at: dt.datetime
    images_planned: int
    images: Mapping[ImageFate, int]
    pages_found: int
    pages: Mapping[PageFate, int]
    checks: tuple[CheckRow, ...]
    confidences: tuple[float, ...]
    """Mean confidence of every page read that has one."""
    confidence_floor: float | None
    """The row rules' limit, drawn into the histogram."""
    quarantined: tuple[QuarantinedItem, ...]
    worst: tuple[WorstPage, ...]
    suite: str
    suite_sha256: str
    effort: Effort | None = None
    docs_href: str = ""
    """Data Docs, relative to the report; empty: there are none."""

    @property
    def is_balanced(self) -> bool:
        """Tell whether the fates add up to what was planned and found."""
        return (
            sum(self.images.values()) == self.images_planned
            and sum(self.pages.values()) == self.pages_found
        )


def render(data: ReportData) -> str:
    """Return the report as one self-contained HTML file: no script, nothing to load."""
    environment = Environment(
        loader=PackageLoader("scanmill.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "inert": inert,
        "inert_lines": inert_lines,
        "count": words.count,
        "number": words.number,
        "base64": lambda content: base64.b64encode(content).decode("ascii"),
    }
    return environment.get_template("report.html.j2").render(
        data=data,
        headline=words.headline(data),
        checks=words.worst_first(data.checks),
        balances=pictures.balances(data),
        histogram=pictures.histogram(data.confidences, floor=data.confidence_floor),
        groups=words.quarantine_groups(data.quarantined),
        worst=data.worst[:MOST_WORST_PAGES],
        steps=words.next_steps(data),
        effort=words.effort(data.effort) if data.effort else (),
    )


def to_json(data: ReportData) -> str:
    """Return the numbers of the report as `report.json`: no text of a page and no picture."""
    summary = {
        "batch": data.batch,
        "gate": data.gate,
        "severity": data.severity,
        "made_at": data.made_at.isoformat(),
        "images": {"planned": data.images_planned} | dict(words.fates(data.images)),
        "pages": {"found": data.pages_found} | dict(words.fates(data.pages)),
        "is_balanced": data.is_balanced,
        "suite": data.suite,
        "suite_sha256": data.suite_sha256,
        "effort": dataclasses.asdict(data.effort) if data.effort else None,
        "checks": [dataclasses.asdict(check) for check in data.checks],
        "quarantined": [dataclasses.asdict(item) for item in data.quarantined],
        "worst": [
            {
                "page_id": page.page_id,
                "key": page.key,
                "page_number": page.page_number,
                "mean_confidence": page.mean_confidence,
                "reason": page.reason,
            }
            for page in data.worst
        ],
    }
    return json.dumps(summary, indent=2)
