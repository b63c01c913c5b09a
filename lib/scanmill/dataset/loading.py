"""Loads a published snapshot from S3 for training."""

from typing import TYPE_CHECKING

from scanmill import layout, schema
from scanmill.dataset.manifests import Manifest, history
from scanmill.dataset.splits import SPLITS
from scanmill.errors import UsageError
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

    bucket, _, folder = uri.removeprefix("s3://").strip("/").partition("/")
    manifest = _find(Store(bucket), uri, folder, version)
    features = Features.from_arrow_schema(schema.DATASET)
    if manifest.labels:
        features["label"] = ClassLabel(names=list(manifest.labels))
    files = {
        split: [f"s3://{bucket}/{folder}/{s.path}" for s in manifest.shards if s.split == split]
        for split in SPLITS
        if manifest.rows[split]
    }
    # s3fs remembers listings, and would not see a shard that was published since.
    options = {"use_listings_cache": False}
    loaded = load_dataset("parquet", data_files=files, features=features, storage_options=options)
    return DatasetDict(loaded)


def _find(store: Store, uri: str, folder: str, version: int | None) -> Manifest:
    collection = folder.removeprefix(layout.dataset("")[:-1])
    for _, manifest in history(store, collection):
        if version in {None, manifest.version}:
            if not any(manifest.rows.values()):
                raise UsageError(f"Snapshot [{manifest.version}] of [{uri}] has no rows.")
            return manifest
    wanted = f"version [{version}] of " if version else ""
    raise UsageError(f"There is no {wanted}a dataset at [{uri}]. See: ./scanmill status")
