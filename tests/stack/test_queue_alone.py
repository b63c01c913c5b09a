"""The queue alone brings every upload, also when the triggerer is killed over it."""

import io

import pyarrow.parquet as pq
from running_stack import wait_until
from scans import good_scans

FOLDERS = ("crowd", "crowd/left", "crowd/right", "crowd/right/far")
EACH = 75


def test_every_upload_arrives_through_the_queue_although_the_triggerer_is_killed(
    stack_without_sweep,
):
    stack = stack_without_sweep
    scans = good_scans(1, seed=50) * EACH
    # What is read is no matter here: 300 scans would take a minute.
    with stack.paused("recognize_pages"):
        stack.upload(FOLDERS[0], scans)
        wait_until("the first have landed", lambda: stack.images_landed() == EACH)
        stack.upload(FOLDERS[1], scans)
        stack.upload(FOLDERS[2], scans)
        wait_until("the next are in the triggerer's hands", stack.messages_in_flight)
        stack.kill("triggerer")
        stack.upload(FOLDERS[3], scans)
        wait_until("all have landed", lambda: stack.images_landed() == EACH * len(FOLDERS))
        wait_until("the queue is empty", lambda: stack.waiting_messages() == 0)
    planned = planned_keys(stack, "crowd")
    sums = stack.receipt()

    assert sums["images"]["landed"] == len(FOLDERS) * EACH
    assert len(planned) == len(set(planned)) == len(FOLDERS) * EACH
    assert {run["run_type"] for run in stack.runs("ingest_images")} == {"asset_triggered"}


def planned_keys(stack, collection):
    tables = [
        pq.read_table(io.BytesIO(stack.read(f"batches/{batch['batch_id']}/plan.parquet")))
        for batch in stack.batches(collection)
    ]
    return [key for table in tables for key in table["key"].to_pylist()]
