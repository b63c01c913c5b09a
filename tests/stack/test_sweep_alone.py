"""The sweep alone brings every upload where there is no queue."""

from running_stack import wait_until
from scans import MANY, good_scans


def test_every_upload_arrives_through_the_sweep(stack_without_queue):
    stack = stack_without_queue
    stack.upload("swept/left", good_scans(3, seed=60))
    stack.upload("swept/right", good_scans(3, seed=61))
    stack.settle()
    sums = stack.receipt()

    assert sum(sums["datasets"]["swept"]["rows"].values()) == 6
    assert stack.newest_event("landing") == 0
    assert {run["run_type"] for run in stack.runs("ingest_images")} == {"scheduled"}


def test_a_batch_that_takes_long_to_read_is_not_read_a_second_time(stack_without_queue):
    stack = stack_without_queue
    stack.upload_as_one_batch("long", good_scans(MANY, seed=62))
    task = wait_until("the batch is being read", lambda: stack.slice_at_work("long-000001"))
    with stack.frozen(task):
        patience = float(stack.variables["SCANMILL_ANNOUNCE_AGAIN_SECONDS"])
        wait_until("its announcement is old", lambda: stack.announced_ago("long") > patience)
        swept = len(ended_sweeps(stack))
        wait_until("a sweep has seen it", lambda: len(ended_sweeps(stack)) >= swept + 2)
    stack.settle()

    assert len(stack.runs("recognize_pages", partition_key="long-000001")) == 1


def test_a_batch_is_whole_although_its_store_is_killed_under_it(stack_without_queue):
    stack = stack_without_queue
    scans = good_scans(14, seed=63)
    stack.upload("shaken/words", scans[:12])
    wait_until("the batch is planned", lambda: stack.batches("shaken"))
    stack.upload("shaken/words", scans[12:13])  # the first one, corrected
    stack.s3.delete_object(Bucket=stack.bucket, Key="landing/shaken/words/001.png")
    stack.kill("store")
    stack.upload_when_it_is_back("shaken/words", scans[13], number=12)
    stack.settle()
    sums = stack.receipt()

    # The first is replaced; of the second it depends on whether it was read before its deletion.
    assert sum(sums["datasets"]["shaken"]["rows"].values()) in {12, 13}
    assert sums["images"]["landed"] == sums["images"]["decoded"] + sums["images"]["superseded"]
    assert stack.type("audit").returncode == 0


def ended_sweeps(stack):
    return stack.runs("ingest_images", state="success")
