"""Builds a snapshot: the batch's good pages join the dataset, in one swap of `LATEST`."""

import dataclasses
import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import tenacity

from scanmill import __version__, layout, schema
from scanmill.dataset import card, duplicates, labels, manifests, splits
from scanmill.dataset.manifests import Manifest, MetadataFile, Shard
from scanmill.errors import (
    AlteredError,
    FatalError,
    LostRaceError,
    ObjectDeniedError,
    ObjectGoneError,
    RetryableError,
    UsageError,
)
from scanmill.ledger import candidates, receipts
from scanmill.models import BatchState, PageFate, Reason, Signature, hash_id
from scanmill.quality import RowRules, find
from scanmill.steps import Mill, judging
from scanmill.steps.adopting import adopt_snapshots, collection_of
from scanmill.steps.deciding import Build, Row, decide, is_better
from scanmill.steps.likeness import BuildTexts
from scanmill.store import parquet_bytes

log = logging.getLogger(__name__)

_BUILDABLE = {BatchState.RECOGNIZED, BatchState.PASSED, BatchState.RELEASED}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What was published: enough for an asset event, and no more."""

    collection: str
    version: int
    uri: str
    rows: Mapping[str, int]


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(LostRaceError),
    stop=tenacity.stop_after_attempt(8),
    wait=tenacity.wait_random_exponential(max=5),
    reraise=True,
)
def build_snapshot(mill: Mill, batch_id: str) -> Snapshot:
    """Publish the pages of a batch and return the snapshot that is current then.

    Running it again after it was published changes nothing. Whoever loses the swap builds again
    from the snapshot that won.

    Raises:
        GateFailed: the dataset gate holds the batch; the published dataset is as it was.
        UsageError: the batch is not one to build: unknown, held or discarded.
        FatalError: `LATEST` is gone, or names an older snapshot than was published.
    """
    collection = collection_of(batch_id)
    with mill.ledger.reading() as connection:
        known = receipts.newest_snapshot(connection, collection)
    parent, parent_path, etag = manifests.read_latest(mill.store, collection)
    _require_current(collection, parent, known)
    catch_up(mill, collection)
    if not _is_built(mill, batch_id) or parent is None:
        parent = _publish(mill, batch_id, parent, parent_path=parent_path, etag=etag)
        catch_up(mill, collection)
    write_card(mill, parent)
    uri = f"s3://{mill.store.bucket}/{layout.dataset(collection)}".rstrip("/")
    return Snapshot(collection=collection, version=parent.version, uri=uri, rows=parent.rows)


def _require_current(collection: str, parent: Manifest | None, known: int) -> None:
    """Refuse to build on less than what was published: the rest would be lost for readers."""
    version = parent.version if parent else 0
    if version < known:
        address = layout.dataset(collection) + layout.LATEST
        raise FatalError(
            f"[{address}] names snapshot [{version}], but [{known}] was published. "
            "Put it back: ./scanmill heal"
        )


def catch_up(mill: Mill, collection: str) -> None:
    """Enter the snapshots that were published and not entered: a build has to know them all."""
    with mill.ledger.reading() as connection:
        known = receipts.newest_snapshot(connection, collection)
    adopt_snapshots(mill, collection, since=known)


def write_card(mill: Mill, manifest: Manifest) -> None:
    """Write the README that the manifest gives: a derived view, made again at any time."""
    address = layout.dataset(manifest.collection) + "README.md"
    content = card.card(manifest).encode()
    mill.store.put_derived(address, content, content_type="text/markdown")


def _is_built(mill: Mill, batch_id: str) -> bool:
    with mill.ledger.reading() as connection:
        batch = receipts.batch(connection, batch_id)
        verdict = receipts.latest_verdict(connection, batch_id)
    state = batch["state"] if batch else "unknown"
    if state == BatchState.HELD and verdict and verdict["gate"] == Reason.DATASET_GATE:
        return False  # a cleared task: the gate says again what it said, or its suite was mended
    if state not in {BatchState.BUILT, *_BUILDABLE}:
        raise UsageError(f"Batch [{batch_id}] is [{state}]: there is nothing to build.")
    return bool(state == BatchState.BUILT)


def _publish(
    mill: Mill, batch_id: str, parent: Manifest | None, *, parent_path: str, etag: str | None
) -> Manifest:
    collection = collection_of(batch_id)
    rules = RowRules.load(find(mill.settings, collection=collection, name="row_rules.json"))
    build = _gather(mill, batch_id, rules)
    fates = decide(build, rule_broken_by=rules.reason_for)
    manifest = _manifest(mill, batch_id, parent, parent_path)
    rows, names = _rows_to_publish(mill, manifest, build, fates)
    judging.judge_dataset(mill, batch_id, rows, manifest.labels)
    manifest = dataclasses.replace(manifest, labels=names)
    manifest = _store_shards(mill, manifest, build, rows, fates)
    _refuse_discarded(mill, batch_id)
    path = manifests.publish(mill.store, manifest, etag=etag)
    log.info("published collection=%s manifest=%s", collection, path)
    return manifest


def _refuse_discarded(mill: Mill, batch_id: str) -> None:
    """Look once more before the swap: a person may have discarded the batch meanwhile."""
    with mill.ledger.reading() as connection:
        batch = receipts.batch(connection, batch_id)
    if batch is None or batch["state"] == BatchState.DISCARDED:
        raise UsageError(f"Batch [{batch_id}] was discarded while it was built.")


def _manifest(mill: Mill, batch_id: str, parent: Manifest | None, parent_path: str) -> Manifest:
    """Return the manifest to be, with the parent's shards; what splits pages never changes."""
    settings, collection = mill.settings, collection_of(batch_id)
    with mill.ledger.reading() as connection:
        metadata = candidates.metadata_files(connection, collection)
        waiting = candidates.pending_keys(connection, collection)
    if any(layout.is_metadata(key) for key in waiting):
        raise RetryableError(f"A metadata file of [{collection}] is still to be read.")
    return Manifest(
        collection=collection,
        version=parent.version + 1 if parent else 1,
        parent=parent_path or None,
        batch_id=batch_id,
        fates="",
        shards=parent.shards if parent else (),
        labels=parent.labels if parent else (),
        metadata=tuple(MetadataFile(key=m["key"], version=m["version"]) for m in metadata),
        salt=parent.salt if parent else settings.split_salt,
        validation_share=parent.validation_share if parent else settings.validation_share,
        test_share=parent.test_share if parent else settings.test_share,
        signature_algorithm=duplicates.ALGORITHM,
        scanmill_version=__version__,
    )


# --- gathering -----------------------------------------------------------------------------------


def _gather(mill: Mill, batch_id: str, rules: RowRules) -> Build:
    """Collect from ledger and parts what the build is about."""
    better = _better_readings(mill, batch_id, rules)
    with mill.ledger.reading() as connection:
        newer = candidates.images_read(connection, batch_id) | {row["image_id"] for row in better}
        replaced = [dict(page) for page in candidates.pages_replaced(connection, newer)]
        leaving = {page["page_id"] for page in replaced}
        better = [row for row in better if row["page_id"] not in leaving]
        signatures = {row["page_id"]: duplicates.sign(row["text"]) for row in better}
        gone = leaving | set(signatures)
        orphans = candidates.duplicates_of(connection, sorted(gone))
        wanted = [*candidates.open_pages(connection, batch_id)]
        wanted += [page for page in orphans if page["page_id"] not in gone]
        texts = BuildTexts(
            connection,
            collection_of(batch_id),
            [page["page_id"] for page in wanted] + sorted(signatures),
            read_again=signatures,
            least=mill.settings.near_duplicate,
        )
        image_ids = {page["image_id"] for page in wanted} | {row["image_id"] for row in better}
        outdated = candidates.outdated_images(connection, image_ids, newer=newer)
    rows = _load(mill, [dict(page) for page in wanted]) + better
    return Build(
        rows=rows, replaced=replaced, outdated_images=outdated, texts=texts, read_again=signatures
    )


def _better_readings(mill: Mill, batch_id: str, rules: RowRules) -> list[Row]:
    """Return the rows of settled pages that this batch read again, and better than before."""
    with mill.ledger.reading() as connection:
        pages = [dict(page) for page in candidates.pages_read_again(connection, batch_id)]
    again = [page | {"batch_id": batch_id, "slice": page["new_slice"]} for page in pages]
    old = {row["page_id"]: row for row in _load(mill, pages)}
    new = {row["page_id"]: row for row in _load(mill, again)}
    return [
        new[page["page_id"]] | {"shard": page["shard"]}
        for page in pages
        if is_better(
            new[page["page_id"]],
            old[page["page_id"]],
            fate=page["fate"],
            rule_broken_by=rules.reason_for,
        )
    ]


def _load(mill: Mill, pages: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return the rows of these pages from the parts that hold them."""
    wanted = defaultdict(set)
    for page in pages:
        wanted[page["batch_id"], page["slice"]].add(page["page_id"])
    rows: list[Row] = []
    for (batch_id, slice_number), page_ids in sorted(wanted.items()):
        part = mill.store.read_table(layout.part(batch_id, slice_number))
        found = part.filter(pc.is_in(part["page_id"], pa.array(sorted(page_ids)))).to_pylist()
        if len(found) != len(page_ids):
            address = layout.part(batch_id, slice_number)
            raise AlteredError(f"[{address}] has {len(found)} of {len(page_ids)} pages.")
        rows += found
    return rows


def _notes(mill: Mill, files: Iterable[MetadataFile]) -> dict[str, labels.Note]:
    """Return what metadata files say; a broken one was set aside when it was read.

    One that is only out of reach stops the build: without it pages would lose their labels, and
    their documents, by which they are split, for ever.
    """
    notes: dict[str, labels.Note] = {}
    for file in files:
        try:
            content = mill.store.read_version(file.key, file.version)
        except ObjectGoneError:
            log.warning("a metadata file is gone: image=%s", hash_id(file.key, file.version))
            continue
        except (ObjectDeniedError, LostRaceError) as error:
            raise RetryableError(f"A metadata file is out of reach: {error}") from error
        notes |= labels.read_metadata(file.key, content)
    return notes


def _rows_to_publish(
    mill: Mill, manifest: Manifest, build: Build, fates: Sequence[Row]
) -> tuple[list[Row], tuple[str, ...]]:
    """Return the rows of the new shards with label, document and split, and the labels by then."""
    notes = _notes(mill, manifest.metadata)
    good = {fate["page_id"] for fate in fates if fate["fate"] == PageFate.PUBLISHED}
    chosen = [row for row in build.rows if row["page_id"] in good]
    named = {row["page_id"]: labels.label_of(row["source_key"], notes) for row in chosen}
    names = labels.extended(manifest.labels, named.values())
    return [
        row
        | {
            "document_id": (document := labels.document_of(row["source_key"], notes)),
            "label_name": (label := named[row["page_id"]]),
            "label": names.index(label) if label is not None else None,
            "split": splits.split_of(
                document,
                salt=manifest.salt,
                validation_share=manifest.validation_share,
                test_share=manifest.test_share,
            ),
        }
        for row in chosen
    ], names


# --- storing -------------------------------------------------------------------------------------


def _store_shards(
    mill: Mill, manifest: Manifest, build: Build, rows: Sequence[Row], fates: list[Row]
) -> Manifest:
    """Write new shards, those that lose a page, and the fates; return the manifest of them all."""
    read_again = [row for row in build.rows if row["page_id"] in build.read_again]
    leaving = [page for page in [*build.replaced, *read_again] if page["shard"]]
    shards, moved = _without(mill, manifest, leaving)
    places: dict[str, dict[str, str]] = {}
    for split in splits.SPLITS:
        some = sorted((r for r in rows if r["split"] == split), key=lambda row: row["page_id"])
        if some:
            table = pa.Table.from_pylist(some, schema=schema.DATASET)
            shard = _write_shard(mill, manifest.collection, split, manifest.batch_id, table)
            shards.append(shard)
            places |= {row["page_id"]: {"shard": shard.path, "split": split} for row in some}
    readings = {row["page_id"]: _reading(row, build.read_again) for row in read_again}
    decided = [
        fate | places.get(fate["page_id"], {}) | readings.get(fate["page_id"], {}) for fate in fates
    ]
    decided += moved
    body = parquet_bytes(pa.Table.from_pylist(decided, schema=schema.FATES))
    path = layout.fates(manifest.batch_id, hashlib.sha256(body).hexdigest())
    mill.store.create(layout.dataset(manifest.collection) + path, body)
    return dataclasses.replace(manifest, shards=tuple(shards), fates=path)


def _reading(row: Row, signatures: Mapping[str, Signature]) -> Row:
    """Return what a fate says of the reading that counts for its page from now on."""
    signature = signatures[row["page_id"]]
    place = {"batch_id": row["batch_id"], "slice": row["slice"]}
    return place | {"bands": list(signature.bands), "sketch": signature.sketch}


def _without(
    mill: Mill, manifest: Manifest, leaving: Sequence[Row]
) -> tuple[list[Shard], list[Row]]:
    """Return the parent's shards, those that held a leaving page written anew without it.

    The pages that stayed in such a shard come back as fates, because they have moved.
    """
    page_ids = pa.array([page["page_id"] for page in leaving], pa.string())
    affected = {page["shard"] for page in leaving}
    shards = [shard for shard in manifest.shards if shard.path not in affected]
    moved: list[Row] = []
    for shard in manifest.shards:
        if shard.path not in affected:
            continue
        table = mill.store.read_table(layout.dataset(manifest.collection) + shard.path)
        rest = table.filter(pc.invert(pc.is_in(table["page_id"], page_ids)))
        if len(rest):
            new = _write_shard(mill, manifest.collection, shard.split, shard.batch_id, rest)
            shards.append(new)
            place = {"fate": PageFate.PUBLISHED, "shard": new.path, "split": new.split}
            moved += [row | place for row in rest.select(["page_id", "image_id"]).to_pylist()]
    return shards, moved


def _write_shard(mill: Mill, collection: str, split: str, batch_id: str, table: pa.Table) -> Shard:
    body = parquet_bytes(table)
    digest = hashlib.sha256(body).hexdigest()
    path = layout.shard(split, batch_id, digest)
    mill.store.create(layout.dataset(collection) + path, body)
    return Shard(
        path=path,
        split=split,
        rows=len(table),
        size_bytes=len(body),
        sha256=digest,
        batch_id=batch_id,
    )
