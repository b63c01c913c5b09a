"""The manifest of a snapshot, and the swap of `LATEST` that publishes it."""

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any, Self

from scanmill import layout
from scanmill.dataset.splits import SPLITS
from scanmill.errors import FatalError, ObjectGoneError
from scanmill.schema import SCHEMA_VERSION
from scanmill.store import Store, json_bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One immutable Parquet file of a dataset; `path` is below the dataset's folder."""

    path: str
    split: str
    rows: int
    size_bytes: int
    sha256: str
    batch_id: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MetadataFile:
    """The version of a metadata file that a build took labels and documents from."""

    key: str
    version: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One version of a dataset: exactly which shards it consists of, and which build made it."""

    collection: str
    version: int
    parent: str | None
    """Path of the manifest that this one follows."""
    batch_id: str
    """The batch whose build made it."""
    fates: str
    """Path of the fates that the build decided."""
    shards: tuple[Shard, ...]
    labels: tuple[str, ...]
    metadata: tuple[MetadataFile, ...]
    salt: str
    validation_share: float
    test_share: float
    signature_algorithm: str
    scanmill_version: str
    schema_version: int = SCHEMA_VERSION

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows of every split."""
        return {
            split: sum(shard.rows for shard in self.shards if shard.split == split)
            for split in SPLITS
        }

    def to_json(self) -> dict[str, Any]:
        """Return what is stored; the counts are derived and written for readers."""
        return dataclasses.asdict(self) | {"rows": self.rows}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Return the manifest that was stored.

        Raises:
            FatalError: a program with another schema wrote it.
        """
        if content["schema_version"] != SCHEMA_VERSION:
            raise FatalError(
                f"The manifest has schema [{content['schema_version']}], this program reads "
                f"[{SCHEMA_VERSION}]. Install the same version of scanmill everywhere."
            )
        fields = {field.name: content[field.name] for field in dataclasses.fields(cls)}
        fields["shards"] = tuple(Shard(**shard) for shard in content["shards"])
        fields["labels"] = tuple(content["labels"])
        fields["metadata"] = tuple(MetadataFile(**file) for file in content["metadata"])
        return cls(**fields)


def read_latest(store: Store, collection: str) -> tuple[Manifest | None, str, str | None]:
    """Return (manifest, its path, etag of `LATEST`) of what is published now; None before that."""
    folder = layout.dataset(collection)
    try:
        path, etag = store.read_tagged(folder + layout.LATEST)
    except ObjectGoneError:
        return None, "", None
    name = path.decode(errors="replace")
    return Manifest.from_json(_load(store, folder + name)), name, etag


def _load(store: Store, address: str) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(Manifest)]
    return store.read_json(address, names=[*names, "schema_version"])


def history(store: Store, collection: str) -> Iterator[tuple[str, Manifest]]:
    """Yield (path, manifest) of every snapshot, newest first.

    Only the chain of parents counts: a manifest beside it lost its swap and was never published.
    """
    folder = layout.dataset(collection)
    manifest, path, _ = read_latest(store, collection)
    while manifest:
        yield path, manifest
        if manifest.parent is None:
            return
        path = manifest.parent
        manifest = Manifest.from_json(_load(store, folder + path))


def publish(store: Store, manifest: Manifest, *, etag: str | None) -> str:
    """Make a manifest the current one, in one step, and return its path.

    Raises:
        LostRaceError: another snapshot was published meanwhile; build again from that one.
    """
    folder = layout.dataset(manifest.collection)
    content = json_bytes(manifest.to_json())
    path = layout.manifest(manifest.version, hashlib.sha256(content).hexdigest())
    store.create(folder + path, content, content_type="application/json")
    store.swap(folder + layout.LATEST, path.encode(), etag=etag)
    return path
