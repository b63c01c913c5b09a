"""# Ingest images

Plans every image that landed and is not in the books yet into batches.

**Starts when** something is uploaded, and every `SCANMILL_SWEEP_SECONDS` to catch what the event
missed. Events make it fast, the sweep makes it certain.
**Publishes** the `image_batches` asset, one partition per batch. Batches whose consumer did not
start, or came to a halt, are announced again.
**Watches the watchdog**: when that gives no sign of life, it tells so by mail.
**If it fails** nothing is lost: what has landed stays listed, and the next run plans it. Clearing
the failed task is always safe.
"""

import datetime as dt

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowSkipException

from scanmill.orchestration.assets import IMAGE_BATCHES, LANDING
from scanmill.orchestration.defaults import DAG_DEFAULTS, at_upload_and_by_sweep
from scanmill.orchestration.trigger import folders_to_list

_LOOK_BACK = dt.timedelta(hours=1)


@dag(schedule=at_upload_and_by_sweep(LANDING), max_active_runs=1, doc_md=__doc__, **DAG_DEFAULTS)
def ingest_images():
    plan_batches()


@task(inlets=[LANDING], outlets=[IMAGE_BATCHES])
def plan_batches(dag_run=None, inlet_events=None, outlet_events=None) -> int:
    """List what landed, plan what is new, and announce every batch that waits for recognition."""
    from scanmill.steps import Mill, planning, relieving

    folders = None
    if dag_run.run_type == "asset_triggered":
        # Airflow may leave an event out of every run: look at all of the last hour, not at ours.
        since = dt.datetime.now(dt.UTC) - _LOOK_BACK
        events = inlet_events[LANDING].after(since.isoformat())
        folders = folders_to_list([event.extra.get("payload") for event in events])
    mill = Mill.from_settings()
    relieving.relieve(mill)
    planned = planning.plan_batches(mill, folders=folders)
    waiting = planning.batches_to_announce(mill)
    if not waiting:
        raise AirflowSkipException("Nothing new has landed, and no batch waits.")
    planning.note_announced(mill, waiting)
    outlet_events[IMAGE_BATCHES].extra = {"planned": len(planned), "announced": len(waiting)}
    outlet_events[IMAGE_BATCHES].add_partitions(waiting)
    return len(waiting)


ingest_images()
