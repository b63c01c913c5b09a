"""Builds the rows of the pages table: one for every page, or one that says why there is none."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scanmill import languages, schema, textstats
from scanmill.models import (
    EngineInfo,
    ImageFate,
    PageFate,
    Raster,
    Reason,
    Recognition,
    SetAside,
    Word,
    page_id,
)

Planned = Mapping[str, Any]
"""A row of the plan."""

_EMPTY = dict.fromkeys(schema.PAGES.names)


def unread(
    planned: Planned,
    *,
    image_fate: ImageFate,
    aside: SetAside,
    sha256: str | None = None,
) -> dict[str, Any]:
    """Return the one row of an image without pages."""
    fate = PageFate.QUARANTINED if image_fate is ImageFate.QUARANTINED else image_fate
    return _row(planned, number=0, count=0, sha256=sha256) | {
        "image_fate": image_fate,
        "fate": fate,
        "reason": aside.reason,
        "detail": aside.detail,
        "stage": aside.stage,
    }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PageWriter:
    """Writes the rows of the pages of decoded images."""

    engine: EngineInfo
    recipe: str
    known: Callable[[str], bool]
    languages: str
    """Those that pages are read in, as `eng+fra`."""
    keep_word_boxes: bool = True

    def rows(
        self,
        planned: Planned,
        *,
        sha256: str,
        pages: Sequence[Raster | SetAside],
        read: Mapping[str, Recognition | SetAside],
    ) -> list[dict[str, Any]]:
        """Return a row for every page; `read` holds what the engine gave, by path of the raster."""
        rows = []
        for number, page in enumerate(pages, start=1):
            row = _row(planned, number=number, count=len(pages), sha256=sha256)
            row |= {"image_fate": ImageFate.DECODED, "fate": PageFate.PENDING}
            row["recipe"] = self.recipe
            rows.append(row | self._page(page, read))
        return rows

    def _page(
        self, page: Raster | SetAside, read: Mapping[str, Recognition | SetAside]
    ) -> dict[str, Any]:
        if isinstance(page, SetAside):
            return _set_aside(page)
        size = {
            "width_px": page.width_px,
            "height_px": page.height_px,
            "is_blank": page.is_blank,
            "embedded_text": page.embedded_text,
        }
        recognition = self._blank if page.is_blank else read[page.path]
        if isinstance(recognition, SetAside):
            return size | _set_aside(recognition)
        return (
            size
            | self._text(recognition.words)
            | {
                "seconds": recognition.seconds,
                "rescue_seconds": recognition.rescue_seconds,
                "attempts": " ".join(recognition.attempts),
                "engine": recognition.engine.name,
                "engine_version": recognition.engine.version,
                "model_sha256": recognition.engine.model_sha256,
            }
        )

    @property
    def _blank(self) -> Recognition:
        """What there is to read on a page of one colour."""
        return Recognition(words=(), seconds=0.0, engine=self.engine)

    def _text(self, words: Sequence[Word]) -> dict[str, Any]:
        measures = textstats.measure(words, known=self.known)
        detected = languages.detect(measures.text, expected=self.languages)
        boxes = [list(word.box) for word in words] if self.keep_word_boxes else None
        return {
            **dataclasses.asdict(measures),
            **dataclasses.asdict(detected),
            "word_boxes": boxes,
        }


def _set_aside(aside: SetAside) -> dict[str, Any]:
    return {
        "fate": PageFate.QUARANTINED,
        "reason": aside.reason,
        "detail": aside.detail,
        "stage": aside.stage,
    }


def reused(planned: Planned, earlier: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of an image whose bytes were read before: those rows, with its own ids."""
    return [
        {**row, **_identity(planned, row["page_number"])}
        | {"reused_from": row["reused_from"] or row["image_id"]}
        | {"seconds": 0.0, "rescue_seconds": 0.0}
        for row in earlier
    ]


def _row(planned: Planned, *, number: int, count: int, sha256: str | None) -> dict[str, Any]:
    return _EMPTY | _identity(planned, number) | {"sha256": sha256, "page_count": count}


def _identity(planned: Planned, number: int) -> dict[str, Any]:
    return {
        "page_id": page_id(planned["image_id"], number),
        "image_id": planned["image_id"],
        "source_bucket": planned["bucket"],
        "source_key": planned["key"],
        "source_version": planned["version"],
        "page_number": number,
    }


def reasons_to_keep(rows: Sequence[Mapping[str, Any]]) -> set[Reason]:
    """Return the reasons for which an image's original belongs in the quarantine."""
    return {Reason(row["reason"]) for row in rows if row["fate"] == PageFate.QUARANTINED}
