"""Every address in the bucket, and the rules that read meaning from an upload's key."""

import re
from pathlib import PurePosixPath

from scanmill.models import Reason, hash_id

LANDING = "landing/"
ROOT_COLLECTION = "_root"
"""Books the files that were dropped beside the collections instead of into one."""

METADATA_NAMES = frozenset({"metadata.csv", "metadata.jsonl"})
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_BATCH_ID = re.compile(r"(?P<collection>.+)-(?P<sequence>\d{6})")


# --- reading an upload's key ---------------------------------------------------------------------


def collection_of(key: str) -> str:
    """Return the collection that a landing key belongs to, as a name that is safe in addresses.

    A folder whose name is not plain gets a readable stem, a tilde and a hash: no two collide, and
    no plain name has a tilde.
    """
    folder, slash, _ = key.removeprefix(LANDING).partition("/")
    if not slash or not folder:
        return ROOT_COLLECTION
    if _PLAIN_NAME.fullmatch(folder):
        return folder
    stem = re.sub(r"[^A-Za-z0-9]+", "-", folder).strip("-")[:40] or "collection"
    return f"{stem}~{hash_id(folder)[:8]}"


def relative_name(key: str) -> str:
    """Return the key below its collection's folder: what `file_name` in metadata refers to."""
    return key.removeprefix(LANDING).partition("/")[2]


def folder_label(key: str) -> str | None:
    """Return the label that `landing/<collection>/<label>/...` names, if there is one."""
    label, slash, _ = relative_name(key).partition("/")
    return label if slash and label else None


def ignored_by(key: str) -> Reason | None:
    """Return the named rule by which this key is no document on purpose, or None."""
    name = PurePosixPath(key).name
    if key.endswith("/") or name in {".keep", ".gitkeep"}:
        return Reason.PLACEHOLDER
    return None


def is_metadata(key: str) -> bool:
    """Tell whether this key holds labels and document ids for the files beside it."""
    return PurePosixPath(key).name in METADATA_NAMES and collection_of(key) != ROOT_COLLECTION


# --- batches -------------------------------------------------------------------------------------


def batch_id(collection: str, sequence: int) -> str:
    """Return the name of a collection's n-th batch; also the partition key between the DAGs."""
    return f"{collection}-{sequence:06d}"


def split_batch_id(batch: str) -> tuple[str, int] | None:
    """Return (collection, sequence) of a batch id, or None when it is not one."""
    match = _BATCH_ID.fullmatch(batch)
    return (match["collection"], int(match["sequence"])) if match else None


def planned_batch(key: str) -> str | None:
    """Return the batch whose plan lies at this address, or None where no plan lies."""
    match = re.fullmatch(r"batches/(?P<batch_id>[^/]+-\d{6})/plan\.parquet", key)
    return match["batch_id"] if match else None


def plan(batch: str) -> str:
    """Return the address of the plan: images, versions and slices of a batch."""
    return f"batches/{batch}/plan.parquet"


def part(batch: str, slice_number: int) -> str:
    """Return the address of the pages that one slice gave."""
    return f"batches/{batch}/pages/{slice_number:04d}.parquet"


def verdict(batch: str, number: int) -> str:
    """Return the address of the n-th verdict of the gates on a batch."""
    return f"batches/{batch}/verdicts/{number}.json"


def decision(batch: str, number: int) -> str:
    """Return the address of the n-th decision of a person on a batch."""
    return f"batches/{batch}/decisions/{number}.json"


_WRITTEN_ONCE = re.compile(
    r"batches/[^/]+/(plan\.parquet|(pages|verdicts|decisions)/.+)"
    r"|quarantine/.+"
    r"|datasets/[^/]+/(data/.+|_snapshots/(?!LATEST$).+)"
)


def is_written_once(key: str) -> bool:
    """Tell whether the pipeline writes to this address once and never again."""
    return _WRITTEN_ONCE.fullmatch(key) is not None


def report(batch: str, gate: str) -> str:
    """Return the address of the folder that holds a gate's report and Data Docs."""
    return f"batches/{batch}/report/{gate}/"


# --- quarantine ----------------------------------------------------------------------------------


def quarantine(collection: str, reason: Reason, image_id: str) -> str:
    """Return the folder of one quarantined image: `original` and `attempts/<n>.json`."""
    return f"quarantine/{collection}/{reason}/{image_id}/"


def attempt(folder: str, number: int) -> str:
    """Return the address of what the n-th attempt on a quarantined image found."""
    return f"{folder}attempts/{number}.json"


# --- datasets ------------------------------------------------------------------------------------


def dataset(collection: str) -> str:
    """Return the folder of a collection's dataset."""
    return f"datasets/{collection}/"


def shard(split: str, batch: str, digest: str) -> str:
    """Return the address of a shard inside its dataset's folder, named by content."""
    return f"data/{split}/{batch}-{digest[:16]}.parquet"


def fates(batch: str, digest: str) -> str:
    """Return the address, inside the dataset's folder, of the fates that one build decided."""
    return f"_snapshots/fates/{batch}-{digest[:16]}.parquet"


def manifest(version: int, digest: str) -> str:
    """Return the address of a snapshot's manifest inside its dataset's folder."""
    return f"_snapshots/{version:06d}-{digest[:16]}.json"


LATEST = "_snapshots/LATEST"
"""Inside a dataset's folder: names the current manifest; swapping it is the commit."""
