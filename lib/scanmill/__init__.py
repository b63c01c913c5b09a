"""Document images dropped in S3 become a Hugging Face dataset; every image has one known fate."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datasets

__version__ = "0.1.0"


def load_snapshot(uri: str, version: int | None = None) -> "datasets.DatasetDict":
    """Return a published snapshot, the newest unless a version is given: see the README."""
    from scanmill.dataset import loading  # noqa: PLC0415 - keeps `import scanmill` light

    return loading.load_snapshot(uri, version)
