"""Holds quarantine and published datasets against the books."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scanmill import layout
from scanmill.errors import ObjectDeniedError, ObjectGoneError
from scanmill.findings import Finding, FindingKind
from scanmill.models import ImageFate, PageFate
from scanmill.steps import Mill
from scanmill.steps.auditing.batches import UNREADABLE
from scanmill.steps.auditing.books import Books, Row
from scanmill.store import json_of

_MANIFEST = ("version", "shards")


def check_quarantine(mill: Mill, books: Books) -> Iterator[Finding]:
    """What was set aside must be there: the original, and what was tried."""
    etags = dict(mill.store.list_keys("quarantine/"))
    kept = set(etags) | {key[: key.rindex("/") + 1] for key in etags}
    for image, reason in _set_aside(books):
        folder = layout.quarantine(image["collection"], reason, image["image_id"])
        wanted = ["attempts/"] + (["original"] if image["sha256"] else [])
        for name in wanted:
            address, is_original = folder + name, name == "original"
            if address not in kept:
                kind = FindingKind.NO_QUARANTINE_OBJECT
                detail = f"quarantined as [{reason}], but [{address}] is gone"
            elif is_original and _is_altered(mill, image, address, etags):
                kind = FindingKind.ALTERED_ORIGINAL
                detail = f"[{address}] has other bytes than were quarantined"
            else:
                continue
            yield Finding(kind, image["key"], detail, is_lost=is_original, address=address)


def _is_altered(mill: Mill, image: Row, address: str, etags: Mapping[str, str]) -> bool:
    """Tell whether a kept original has other bytes; it is only read when its etag is another.

    Where etags are no hash of the bytes (encryption, multipart uploads) it is always read.
    """
    if etags[address] == image["etag"] or not image["sha256"]:
        return False
    try:
        content = mill.store.read(address)
    except (ObjectGoneError, ObjectDeniedError):
        return True
    return bool(hashlib.sha256(content).hexdigest() != image["sha256"])


def _set_aside(books: Books) -> Iterator[tuple[Row, Any]]:
    wanted = {
        (row["image_id"], row["reason"])
        for row in [*books.images.values(), *books.pages.values()]
        if row["fate"] == ImageFate.QUARANTINED
    }
    for image_id, reason in sorted(wanted):
        if image_id in books.images:
            yield books.images[image_id], reason


def check_snapshots(mill: Mill, books: Books) -> Iterator[Finding]:
    """What the newest snapshot must hold, shard by shard and page by page."""
    published = defaultdict(set)
    for page_id, page in books.pages.items():
        if page["fate"] == PageFate.PUBLISHED:
            image = books.images.get(page["image_id"])
            published[image["collection"] if image else ""].add(page_id)
    yield from _history(mill, books)
    yield from _unknown_snapshots(books)
    for snapshot in books.newest_snapshots():
        yield from _snapshot(mill, snapshot, published.pop(snapshot["collection"], set()))
    for collection, page_ids in published.items():
        detail = f"{len(page_ids)} pages are published, but there is no snapshot"
        yield Finding(FindingKind.NO_SNAPSHOT, collection, detail, is_lost=True)


def _history(mill: Mill, books: Books) -> Iterator[Finding]:
    """What every snapshot was made of."""
    by_collection: dict[str, list[Row]] = defaultdict(list)
    for snapshot in books.snapshots:
        by_collection[snapshot["collection"]].append(snapshot)
    for collection, snapshots in by_collection.items():
        folder = layout.dataset(collection)
        listed = {key for key, _ in mill.store.list_keys(folder + "_snapshots/")}
        kept = listed | {_without_digest(key) for key in listed}
        for snapshot in snapshots:
            fates = _without_digest(layout.fates(snapshot["batch_id"], ""))
            for name in (snapshot["manifest"], fates):
                if folder + name not in kept:
                    detail = f"snapshot {snapshot['version']} was made of it"
                    address = folder + name
                    yield Finding(FindingKind.NO_MANIFEST, address, detail, address=address)


def _unknown_snapshots(books: Books) -> Iterator[Finding]:
    """Snapshots that the ledger forgot: a gap, or pages that were published by one."""
    known: dict[str, set[int]] = defaultdict(set)
    used: dict[str, set[int]] = defaultdict(set)
    for snapshot in books.snapshots:
        known[snapshot["collection"]].add(snapshot["version"])
    for page in books.pages.values():
        image = books.images.get(page["image_id"])
        if image and page["snapshot"]:
            used[image["collection"]].add(page["snapshot"])
    for collection in sorted({*known, *used}):
        newest = max(known[collection] | used[collection])
        missing = sorted(set(range(1, newest + 1)) - known[collection])
        if missing:
            detail = f"the ledger does not know snapshots {missing}"
            yield Finding(FindingKind.NO_SNAPSHOT_ROW, collection, detail)


def _without_digest(name: str) -> str:
    return name.rpartition("-")[0]


def _snapshot(mill: Mill, snapshot: Row, published: set[str]) -> Iterator[Finding]:
    folder = layout.dataset(snapshot["collection"])
    address = folder + snapshot["manifest"]
    try:
        content = mill.store.read(address)
        pointer = mill.store.read(folder + layout.LATEST).decode(errors="replace")
        current = json_of(pointer, mill.store.read(folder + pointer), names=_MANIFEST)
    except UNREADABLE as error:
        yield Finding(FindingKind.NO_SNAPSHOT, folder, str(error), is_lost=True, address=address)
        return
    if not _is_named_after(address, content):
        detail = "its list of shards is not the one that was published"
        yield Finding(FindingKind.ALTERED_MANIFEST, address, detail, is_lost=True, address=address)
        return
    manifest = json.loads(content)
    if current["version"] < manifest["version"]:
        detail = f"LATEST names {current['version']}, {manifest['version']} was published"
        yield Finding(FindingKind.STALE_POINTER, folder, detail, is_lost=True)
    rows: Counter[str] = Counter()
    for shard in manifest["shards"]:
        found = _shard(mill, folder + shard["path"], shard)
        if isinstance(found, Finding):
            yield found
        else:
            rows.update(found)
    for kind, page_id, detail in _differences(rows, published):
        is_lost = kind == FindingKind.NO_DATASET_ROW
        yield Finding(kind, f"{folder} {page_id}", detail, is_lost=is_lost, address=address)


def _is_named_after(address: str, content: bytes) -> bool:
    """Tell whether an object has the bytes whose hash ends its name."""
    name = address.rpartition("/")[2].partition(".")[0]
    return hashlib.sha256(content).hexdigest().startswith(name.rpartition("-")[2])


def _shard(mill: Mill, address: str, shard: Mapping[str, Any]) -> list[str] | Finding:
    """Return the pages of a shard, or what is wrong with it."""
    try:
        content = mill.store.read(address)
    except (ObjectGoneError, ObjectDeniedError):
        kind, detail = FindingKind.NO_SHARD, f"{shard['rows']} rows are gone"
    else:
        if hashlib.sha256(content).hexdigest() == shard["sha256"]:
            pages = pq.read_table(pa.BufferReader(content), columns=["page_id"])["page_id"]
            return list(pages.to_pylist())
        kind = FindingKind.ALTERED_SHARD
        detail = f"its {shard['rows']} rows are not those of the manifest"
    return Finding(kind, address, detail, is_lost=True, address=address)


def _differences(rows: Counter[str], published: set[str]) -> Iterator[tuple[FindingKind, str, str]]:
    """Yield which rows of a dataset are not the pages that the ledger calls published."""
    for page_id in sorted(published - set(rows)):
        yield FindingKind.NO_DATASET_ROW, page_id, "it is published, but in no shard"
    for page_id in sorted(set(rows) - published):
        detail = "it is in a shard, but not published in the ledger"
        yield FindingKind.UNKNOWN_DATASET_ROW, page_id, detail
    for page_id, count in sorted(rows.items()):
        if count > 1:
            yield FindingKind.DATASET_ROW_TWICE, page_id, f"it stands in {count} rows"
