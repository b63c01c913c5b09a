"""Loads a published snapshot from S3 for training."""

import re
from typing import TYPE_CHECKING

from scanmill import layout, schema
from scanmill.dataset.manifests import Manifest, history
from scanmill.dataset.splits import SPLITS
from scanmill.errors import NoSuchBucketError, UsageError
from scanmill.store import Store

if TYPE_CHECKING:
    import datasets


def load_snapshot(uri: str, version: int | None = None) -> "datasets.DatasetDict":
    """Return a snapshot of the dataset at `s3://bucket/datasets/<collection>`.

    It reads exactly the shards that the manifest names, whatever is being published meanwhile.

    Raises:
        UsageError: there is no such dataset, or no such version of it.
    """
    from datasets import ClassLabel, DatasetDict, Features, load_dataset

    bucket, collection = _parts(uri)
    manifest = _find(Store(bucket), uri, collection, version)
    folder = layout.dataset(collection)
    features = Features.from_arrow_schema(schema.DATASET)
    if manifest.labels:
        features["label"] = ClassLabel(names=list(manifest.labels))
    files = {
        split: [f"s3://{bucket}/{folder}{s.path}" for s in manifest.shards if s.split == split]
        for split in SPLITS
        if manifest.rows[split]
    }
    # s3fs remembers listings, and would not see a shard that was published since.
    options = {"use_listings_cache": False}
    loaded = load_dataset("parquet", data_files=files, features=features, storage_options=options)
    return DatasetDict(loaded)


def _parts(uri: str) -> tuple[str, str]:
    """Return bucket and collection of a dataset's address."""
    match = re.fullmatch(r"s3://([^/]+)/datasets/([^/]+)/?", uri)
    if match is None:
        raise UsageError(
            f"[{uri}] is no address of a dataset. Write s3://bucket/datasets/<collection>."
        )
    return match[1], match[2]


def _find(store: Store, uri: str, collection: str, version: int | None) -> Manifest:
    try:
        for _, manifest in history(store, collection):
            if version in {None, manifest.version}:
                return _with_rows(manifest, uri)
    except NoSuchBucketError as error:
        raise UsageError(f"There is no bucket [{store.bucket}].") from error
    wanted = f"version [{version}] of " if version else ""
    raise UsageError(f"There is no {wanted}a dataset at [{uri}]. See: ./scanmill status")


def _with_rows(manifest: Manifest, uri: str) -> Manifest:
    if not any(manifest.rows.values()):
        raise UsageError(f"Snapshot [{manifest.version}] of [{uri}] has no rows.")
    return manifest
