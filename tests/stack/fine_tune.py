"""# Fine tune

A DAG of a user, scheduled in the documented way: one run for every snapshot.
"""

from airflow.sdk import PartitionedAssetTimetable, dag, task

from scanmill.orchestration.assets import DATASET


@dag(schedule=PartitionedAssetTimetable(assets=DATASET), catchup=False, doc_md=__doc__)
def fine_tune():
    read()


@task(inlets=[DATASET])
def read(triggering_asset_events=None):
    """Return what the event says about the snapshot."""
    return [event.extra for event in triggering_asset_events[DATASET]]


fine_tune()
