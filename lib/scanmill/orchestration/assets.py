"""The assets that link the DAGs: import these objects, never declare them a second time.

A second declaration of `LANDING` without its watcher would silently take the watcher away.
An event of an asset is a doorbell, never the inbox: it may be lost, doubled or late.
"""

from airflow.sdk import Asset, AssetWatcher

from scanmill.orchestration.trigger import LandingTrigger
from scanmill.settings import Settings

_SETTINGS = Settings.load()
_GROUP = "scanmill"


def _watchers() -> list[AssetWatcher]:
    if not _SETTINGS.queue_url:
        return []
    return [AssetWatcher(name="uploads", trigger=LandingTrigger(queue_url=_SETTINGS.queue_url))]


LANDING = Asset(
    name="landing",
    uri=f"s3://{_SETTINGS.bucket}/landing/",
    group=_GROUP,
    watchers=_watchers(),
)
"""Something was uploaded; unkeyed, for the sweep."""

IMAGE_BATCHES = Asset(name="image_batches", uri=f"s3://{_SETTINGS.bucket}/batches/", group=_GROUP)
"""A batch was planned; one partition per batch."""

PAGES = Asset(name="pages", uri=f"s3://{_SETTINGS.bucket}/batches/pages/", group=_GROUP)
"""A batch was read, and its gate passed or was overruled; one partition per batch."""

DATASET = Asset(name="dataset", uri=f"s3://{_SETTINGS.bucket}/datasets/", group=_GROUP)
"""A snapshot was published; one partition per batch. Schedule your own DAGs on it with
`PartitionedAssetTimetable(assets=DATASET)`: a plain `schedule=[DATASET]` never runs."""
