"""# Build dataset

Publishes the good pages of one batch as the next snapshot of its collection's dataset.

**Starts when** a batch is announced on the `pages` asset: one run per batch.
**Publishes** the `dataset` asset, same partition. Schedule your own DAGs on it with
`PartitionedAssetTimetable(assets=DATASET)`.
**If it fails** the published dataset is as it was. Clearing the failed task is always safe, and
the audit rings again for a batch that was judged good and not built.
"""

from airflow.sdk import PartitionedAssetTimetable, dag, task

from scanmill.orchestration.assets import DATASET, PAGES
from scanmill.orchestration.defaults import DAG_DEFAULTS
from scanmill.orchestration.running import ReportLink, current_batch


@dag(
    schedule=PartitionedAssetTimetable(assets=PAGES),
    max_active_runs=1,
    doc_md=__doc__,
    **DAG_DEFAULTS,
)
def build_dataset():
    built = build_snapshot()
    built.operator.operator_extra_links = (ReportLink("dataset_gate"),)


@task(outlets=[DATASET])
def build_snapshot(outlet_events=None) -> dict[str, object]:
    """Apply row rules, duplicates, labels and split; judge; then swap the snapshot in."""
    import dataclasses

    from scanmill.steps import Mill, building

    snapshot = building.build_snapshot(Mill.from_settings(), current_batch())
    outlet_events[DATASET].extra = dataclasses.asdict(snapshot)
    return dataclasses.asdict(snapshot)


build_dataset()
