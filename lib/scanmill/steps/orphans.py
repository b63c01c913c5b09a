"""Counts what killed builds left behind: files of a dataset that no snapshot names."""

from scanmill import layout
from scanmill.dataset import manifests
from scanmill.steps import Mill


def count(mill: Mill) -> tuple[int, int]:
    """Return how many objects of all datasets no snapshot ever named, and their bytes.

    Nothing deletes them: a build that is at work has not named its files yet either.
    """
    orphans = 0
    size_bytes = 0
    for collection in _collections(mill):
        folder = layout.dataset(collection)
        named = _named(mill, collection)
        for key, size in mill.store.list_sizes(folder):
            if key.removeprefix(folder) not in named:
                orphans += 1
                size_bytes += size
    return orphans, size_bytes


def _collections(mill: Mill) -> set[str]:
    top = layout.dataset("")[:-1]
    return {key.removeprefix(top).partition("/")[0] for key, _ in mill.store.list_sizes(top)}


def _named(mill: Mill, collection: str) -> set[str]:
    """Return what any snapshot names, with the pointer and the card."""
    named = {layout.LATEST, "README.md"}
    for path, manifest in manifests.history(mill.store, collection):
        named |= {path, manifest.fates, *(shard.path for shard in manifest.shards)}
    return named
