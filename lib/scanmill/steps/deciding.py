"""Decides the fates of a build's pages; pure, so that the same pages always end the same."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from scanmill import schema
from scanmill.models import PageFate, Reason, Signature, worth

Row = dict[str, Any]


class Texts(Protocol):
    """Knows which pages hold the same text, as far as they are in the dataset or kept."""

    def alike(self, page_id: str) -> Mapping[str, Reason]:
        """Return the pages with this page's text, and how: `same_text` or `near_text`."""

    def keep(self, page_id: str) -> None:
        """Note that a page of this build will be published."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What a build is about, as far as the books know it."""

    rows: Sequence[Row]
    """Pages that want to be published: the batch's, and the duplicates of what leaves."""
    replaced: Sequence[Row]
    """Settled pages of images that have a newer version in this batch."""
    outdated_images: Collection[str]
    """Images of the batch that a newer version has replaced already."""
    texts: Texts
    read_again: Mapping[str, Signature] = dataclasses.field(default_factory=dict)
    """Signatures of the pages among the rows that had another reading before, by page id."""


def decide(build: Build, *, rule_broken_by: Callable[[Row], Reason | None]) -> list[Row]:
    """Return a row of fates for every page that the build is about, in order of key and page."""
    fates = [_fate(page, PageFate.SUPERSEDED, Reason.OVERWRITTEN) for page in build.replaced]
    candidates = []
    for row in sorted(build.rows, key=lambda row: (row["source_key"], row["page_number"])):
        if row["image_id"] in build.outdated_images:
            fates.append(_fate(row, PageFate.SUPERSEDED, Reason.OVERWRITTEN))
        elif reason := rule_broken_by(row):
            fates.append(_fate(row, PageFate.REJECTED, reason))
        else:
            candidates.append(row)
    return fates + _without_duplicates(build, candidates)


def is_better(
    new: Row, old: Row, *, fate: PageFate, rule_broken_by: Callable[[Row], Reason | None]
) -> bool:
    """Tell whether a page that was read again takes the place of its earlier reading.

    A reading that breaks a rule is history. One of a page with text in the dataset, its own or its
    original's, must be worth more than the reading there.
    """
    if rule_broken_by(new):
        return False
    has_text = fate in {PageFate.PUBLISHED, PageFate.DUPLICATE}
    return not has_text or _worth(new) > _worth(old)


def _worth(row: Row) -> float:
    confidence, words = row["mean_confidence"] or 0.0, row["word_count"] or 0
    return worth(mean_confidence=confidence, word_count=words)


def _without_duplicates(build: Build, candidates: Sequence[Row]) -> list[Row]:
    """Keep one page of every text: the one in the dataset, else the first of the build."""
    ours = {row["page_id"] for row in build.rows}
    gone = {page["page_id"] for page in build.replaced}
    kept: set[str] = set()
    fates = []
    for row in candidates:
        alike = build.texts.alike(row["page_id"])
        originals = [page for page in alike if page in kept or page not in ours | gone]
        if originals:
            # The exact one, where there is one, says most about why this page is left out.
            original = min(originals, key=lambda page: (alike[page] != Reason.SAME_TEXT, page))
            fates.append(_fate(row, PageFate.DUPLICATE, alike[original], original=original))
        else:
            kept.add(row["page_id"])
            build.texts.keep(row["page_id"])
            fates.append(_fate(row, PageFate.PUBLISHED, None))
    return fates


def _fate(page: Row, fate: PageFate, reason: Reason | None, *, original: str | None = None) -> Row:
    decided = {
        "page_id": page["page_id"],
        "image_id": page["image_id"],
        "fate": fate,
        "reason": reason,
        "other_page_id": original,
    }
    return dict.fromkeys(schema.FATES.names) | decided
