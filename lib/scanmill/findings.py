"""What an audit may find, what each kind of finding means, and what to type about it."""

import dataclasses
import enum
import types
from collections.abc import Mapping
from typing import Any


class FindingKind(enum.StrEnum):
    """One closed list, explained in docs/operations.md."""

    # the law
    IMBALANCE = "imbalance"
    FORGOTTEN = "forgotten"
    STRAY_PAGE = "stray_page"
    TWO_VERSIONS = "two_versions"
    # landing and plans
    NEVER_PLANNED = "never_planned"
    NEVER_READ = "never_read"
    NO_PLAN = "no_plan"
    NO_BATCH_ROW = "no_batch_row"
    NO_LEDGER_ROW = "no_ledger_row"
    # parts
    NO_PART = "no_part"
    ALTERED_PART = "altered_part"
    NO_PART_ROW = "no_part_row"
    PAGE_TWICE = "page_twice"
    NO_PAGE_ROW = "no_page_row"
    NO_ATTEMPT_ROW = "no_attempt_row"
    ALTERED_IMAGE_ROW = "altered_image_row"
    # verdicts and decisions
    NO_VERDICT_ROW = "no_verdict_row"
    NO_DECISION = "no_decision"
    NO_JUDGEMENT = "no_judgement"
    # whatever is written once
    ALTERED_OBJECT = "altered_object"
    # quarantine
    NO_QUARANTINE_OBJECT = "no_quarantine_object"
    ALTERED_ORIGINAL = "altered_original"
    # datasets
    NO_SNAPSHOT = "no_snapshot"
    STALE_POINTER = "stale_pointer"
    NO_SNAPSHOT_ROW = "no_snapshot_row"
    NO_MANIFEST = "no_manifest"
    ALTERED_MANIFEST = "altered_manifest"
    NO_SHARD = "no_shard"
    ALTERED_SHARD = "altered_shard"
    NO_DATASET_ROW = "no_dataset_row"
    UNKNOWN_DATASET_ROW = "unknown_dataset_row"
    DATASET_ROW_TWICE = "dataset_row_twice"
    NO_SIGNATURE = "no_signature"
    NO_ORIGINAL = "no_original"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is off."""

    kind: FindingKind
    subject: str
    detail: str
    _: dataclasses.KW_ONLY
    is_lost: bool = False
    address: str = ""
    """Where the object lies that is gone or altered, or how its address begins; if it is one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hint:
    """A kind of finding in plain words."""

    meaning: str
    remedy: str


_HEAL = (
    "Type `./scanmill heal`: it enters again what the bucket holds. "
    "If it is still found then, an object that this needs is named too: see to that first."
)
_PUT_BACK = (
    "Type `./scanmill heal`: it puts back what we wrote, where the bucket keeps versions; "
    "else put the object back from a copy."
)
_REBUILD = (
    "Type `./scanmill heal`. If it is still found then, the ledger was changed: `./scanmill down`, "
    "move the ledger aside and keep it, `./scanmill ledger rebuild`."
)
_EITHER = (
    "Type `./scanmill heal`. If it is still found then, put the object back from a copy; only if "
    "the object is as it was, the ledger was changed: `./scanmill down`, move the ledger aside "
    "and keep it, `./scanmill ledger rebuild`."
)

_UPLOAD_AGAIN = (
    "Upload it again: `./scanmill drop FILE --again`. What is read then takes the place of every "
    "earlier version."
)

hints: Mapping[FindingKind, Hint] = types.MappingProxyType(
    {
        FindingKind.IMBALANCE: Hint("A line of the law does not add up.", _REBUILD),
        FindingKind.FORGOTTEN: Hint("It is open, but its batch is finished.", _REBUILD),
        FindingKind.STRAY_PAGE: Hint(
            "A page is in the dataset, and its image has left the books.", _UPLOAD_AGAIN
        ),
        FindingKind.TWO_VERSIONS: Hint(
            "Pages of two versions of one image are in the dataset.", _UPLOAD_AGAIN
        ),
        FindingKind.NEVER_PLANNED: Hint(
            "An upload is listed, old, and in no plan.",
            "Type `./scanmill heal`: it plans it. Then `./scanmill doctor`: is `ingest_images` "
            "paused or red?",
        ),
        FindingKind.NEVER_READ: Hint(
            "An upload was superseded unread, and is current again: its deletion was undone.",
            _UPLOAD_AGAIN,
        ),
        FindingKind.NO_PLAN: Hint("The plan of a batch is gone or no plan.", _PUT_BACK),
        FindingKind.NO_BATCH_ROW: Hint(
            "A plan lies in the bucket, and the ledger does not know the batch.", _HEAL
        ),
        FindingKind.NO_LEDGER_ROW: Hint("It is planned, and not in the ledger.", _HEAL),
        FindingKind.NO_PART: Hint("A slice was read, and its file is gone or no table.", _PUT_BACK),
        FindingKind.ALTERED_PART: Hint(
            "A part has more or fewer rows than were entered.", _PUT_BACK
        ),
        FindingKind.NO_PART_ROW: Hint("A page or image has no row in its part.", _EITHER),
        FindingKind.PAGE_TWICE: Hint("A page stands twice in the parts.", _EITHER),
        FindingKind.NO_PAGE_ROW: Hint("A page was read, and is not in the ledger.", _HEAL),
        FindingKind.NO_ATTEMPT_ROW: Hint("A reading is not on record.", _HEAL),
        FindingKind.ALTERED_IMAGE_ROW: Hint(
            "The ledger says another thing of an image than its part.",
            _EITHER,
        ),
        FindingKind.NO_VERDICT_ROW: Hint(
            "A batch was judged, and the ledger has no verdict.", _HEAL
        ),
        FindingKind.NO_DECISION: Hint(
            "A person decided on a held batch, and the ledger does not know.", _HEAL
        ),
        FindingKind.NO_JUDGEMENT: Hint(
            "A verdict or decision that the ledger knows is gone from the bucket.", _PUT_BACK
        ),
        FindingKind.ALTERED_OBJECT: Hint(
            "An object that is written once is not as we wrote it.", _PUT_BACK
        ),
        FindingKind.NO_QUARANTINE_OBJECT: Hint(
            "What was set aside, or what was tried on it, is gone from the quarantine.",
            f"{_PUT_BACK} Or upload the file again.",
        ),
        FindingKind.ALTERED_ORIGINAL: Hint(
            "An original in the quarantine has other bytes than were set aside.", _PUT_BACK
        ),
        FindingKind.NO_SNAPSHOT: Hint(
            "Pages are published, but the manifest or `LATEST` is gone or unreadable.", _PUT_BACK
        ),
        FindingKind.STALE_POINTER: Hint(
            "`LATEST` names an older snapshot than was published; nothing is built on it.",
            "Type `./scanmill heal`: it puts `LATEST` forward again.",
        ),
        FindingKind.NO_SNAPSHOT_ROW: Hint("The ledger does not know a snapshot.", _HEAL),
        FindingKind.NO_MANIFEST: Hint(
            "What a snapshot was made of is gone; the ledger could not be made again.", _PUT_BACK
        ),
        FindingKind.ALTERED_MANIFEST: Hint(
            "A manifest has other bytes than those it is named after.", _PUT_BACK
        ),
        FindingKind.NO_SHARD: Hint("A shard of the current snapshot is gone.", _PUT_BACK),
        FindingKind.ALTERED_SHARD: Hint(
            "A shard has other bytes than the manifest says.", _PUT_BACK
        ),
        FindingKind.NO_DATASET_ROW: Hint(
            "A page is published in the ledger, and in no shard.", _EITHER
        ),
        FindingKind.UNKNOWN_DATASET_ROW: Hint(
            "A page is in a shard, and not published in the ledger.", _EITHER
        ),
        FindingKind.DATASET_ROW_TWICE: Hint("A page stands twice in the dataset.", _PUT_BACK),
        FindingKind.NO_SIGNATURE: Hint(
            "A published page would not be found as the original of a duplicate.", _HEAL
        ),
        FindingKind.NO_ORIGINAL: Hint(
            "A page was left out for one that is not published.", _REBUILD
        ),
    }
)
"""What each kind means and what to type about it."""


def recalled(entry: Mapping[str, Any]) -> Finding:
    """Return a finding as an audit entered it in the ledger."""
    return Finding(**{**entry, "kind": FindingKind(entry["kind"])})


def explained(finding: Finding) -> dict[str, Any]:
    """Return a finding for machines, with what to do about it."""
    hint = hints[finding.kind]
    return dataclasses.asdict(finding) | {"meaning": hint.meaning, "remedy": hint.remedy}


def markdown_table() -> str:
    """Return the table of docs/operations.md."""
    lines = ["| finding | means | what to do |", "|---|---|---|"]
    lines += [
        f"| `{kind}` | {hint.meaning} | {hint.remedy.replace('|', chr(92) + '|')} |"
        for kind, hint in hints.items()
    ]
    return "\n".join(lines)
