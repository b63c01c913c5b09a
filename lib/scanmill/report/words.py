"""The report's words: the verdict as a person would say it, and what to type next."""

import dataclasses
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scanmill.inert import inert
from scanmill.models import ImageFate, PageFate, Reason
from scanmill.reasons import Hint, hints

if TYPE_CHECKING:
    from scanmill.report import CheckRow, Effort, QuarantinedItem, ReportData

_SHOWN_KEYS = 50
_WORST_FIRST = ("critical", "warning", "not judged", "passed")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The verdict in one line, what it means, and its main causes."""

    title: str
    meaning: str
    causes: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Everything that was quarantined for one reason."""

    reason: Reason
    hint: Hint
    count: int
    shown: tuple["QuarantinedItem", ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command to type, and what it does."""

    command: str
    does: str


def headline(data: "ReportData") -> Headline:
    """Say the verdict in plain words."""
    rows = [row for row in data.checks if row.outcome in ("critical", "warning")]
    rows.sort(key=lambda row: (row.outcome != "critical", -(row.failing_count or 0)))
    causes: dict[str, str] = {}
    for row in rows:
        causes.setdefault(row.what, f"{row.what}: {row.observed}; allowed: {row.limit}")
    title, meaning = _verdict(data)
    return Headline(title=title, meaning=meaning, causes=tuple(causes.values())[:3])


def effort(spent: "Effort") -> tuple[str, ...]:
    """Say what reading took, and what was peculiar about the pages, a sentence each."""
    sentences = [f"Reading took {spent.seconds:,.0f} s on one core."]
    if spent.rescued_pages:
        share = spent.rescue_seconds / spent.seconds if spent.seconds else 0
        sentences.append(
            f"{count(spent.rescued_pages, 'page')} got second chances, {share:.0%} of that time; "
            f"{number(spent.better_pages)} read better for it."
        )
    if spent.reused_pages:
        sentences.append(
            f"{count(spent.reused_pages, 'page')} came from copies of files that were read before."
        )
    if spent.other_language_pages:
        sentences.append(
            f"{count(spent.other_language_pages, 'page')} seem to be in another language "
            "than they were read in."
        )
    return tuple(sentences)


def worst_first(checks: Sequence["CheckRow"]) -> list["CheckRow"]:
    """Return the checks in the order in which they deserve to be read."""
    return sorted(checks, key=lambda row: _WORST_FIRST.index(row.outcome))


def _verdict(data: "ReportData") -> tuple[str, str]:
    match data.severity:
        case "critical":
            held = count(data.pages.get(PageFate.HELD, 0), "page")
            meaning = f"{held} of {number(data.pages_found)} wait for you. "
            return "Held: a person has to decide", meaning + "The published dataset did not change."
        case "warning":
            return "Passed, with something to look at", "The batch goes on; nobody has to act."
        case "pass":
            judged = sum(row.outcome != "not judged" for row in data.checks)
            aside = data.images.get(ImageFate.QUARANTINED, 0)
            title = f"Passed; {count(aside, 'image')} in quarantine" if aside else "All is well"
            return title, f"{count(judged, 'check')} passed. The batch goes on."


def quarantine_groups(items: Sequence["QuarantinedItem"]) -> list[Group]:
    """Return what was quarantined by reason, the most frequent first."""
    by_reason: dict[Reason, list[QuarantinedItem]] = defaultdict(list)
    for item in items:
        by_reason[item.reason].append(item)
    groups = [
        Group(
            reason=reason,
            hint=hints[reason],
            count=len(found),
            shown=tuple(sorted(found, key=lambda item: (item.key, item.page_number))[:_SHOWN_KEYS]),
        )
        for reason, found in by_reason.items()
    ]
    return sorted(groups, key=lambda group: (-group.count, group.reason))


def next_steps(data: "ReportData") -> list[Step]:
    """Return what to type next, the decision first."""
    batch = shlex.quote(inert(data.batch))
    steps = []
    if data.severity == "critical":
        review = f"./scanmill review {batch}"
        steps = [
            Step(command=f'{review} --release --because "..."', does="Publish it after all"),
            Step(command=f'{review} --discard --because "..."', does="Leave it out for good"),
        ]
    if data.quarantined:
        again = "./scanmill drop FOLDER --again"
        steps.append(Step(command=again, does="Upload the mended files as new versions"))
    steps.append(Step(command="./scanmill trace KEY", does="See the whole story of one image"))
    return steps


def fates(counts: Mapping[ImageFate, int] | Mapping[PageFate, int]) -> list[tuple[str, int]]:
    """Return the fates that occur with their counts, in the order of the law of accounts."""
    return [(fate.value, each) for fate, each in counts.items() if each]


def number(value: int) -> str:
    """Return a count with its thousands apart."""
    return f"{value:,}".replace(",", "\u202f")


def count(value: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{number(value)} {noun}{'' if value == 1 else 's'}"
