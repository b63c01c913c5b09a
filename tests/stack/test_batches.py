"""Batches on the running stack: one run for each, named with its counts, and one snapshot."""

import json
from collections import Counter

from running_stack import wait_until
from scans import MANY, good_scans

from scanmill.drill.own_stack import DAGS

WAVES = (("first", "second"), ("third", "fourth"))
FOUR = [collection for wave in WAVES for collection in wave]


def test_batches_announced_while_the_consumer_is_busy_are_each_read_by_one_run(stack):
    stack.upload_as_one_batch("busy", good_scans(MANY, seed=1))
    task = wait_until("the busy batch is being read", lambda: stack.slice_at_work("busy-000001"))
    with stack.frozen(task):
        for wave in WAVES:
            for collection in wave:
                stack.upload(collection, good_scans(1, seed=FOUR.index(collection) + 2))
            wait_until(f"{wave} announced", lambda w=wave: are_announced(stack, w))
        (busy,) = stack.runs("recognize_pages", partition_key="busy-000001")
    stack.settle()
    states = {
        collection: [run["state"] for run in runs_of(stack, "recognize_pages", collection)]
        for collection in FOUR
    }

    assert busy["state"] == "running"
    assert states == {collection: ["success"] for collection in FOUR}
    assert all(stack.batch_in_state(collection, "built") for collection in FOUR)
    stack.receipt()


def test_a_person_sees_in_airflow_what_became_of_a_batch(stack):
    stack.upload_as_one_batch("seen", [*good_scans(3, seed=10), b"this is no picture"])
    stack.settle()
    (reading,) = runs_of(stack, "recognize_pages", "seen")
    (building,) = runs_of(stack, "build_dataset", "seen")
    (named,) = stack.slices(reading["dag_run_id"])
    (rung,) = stack.events("pages", partition_key="seen-000001")
    (published,) = stack.events("dataset", partition_key="seen-000001")

    assert named["rendered_map_index"] == "slice 0: 3 pending, 1 quarantined"
    assert rung["extra"]["found"] == 3
    assert rung["extra"]["pending"] == 3
    assert published["extra"]["version"] == 1
    assert sum(published["extra"]["rows"].values()) == 3
    for dag_id, run, task_id in (
        ("recognize_pages", reading, "judge_batch"),
        ("build_dataset", building, "build_snapshot"),
    ):
        report = stack.api.get(report_link(stack, dag_id, run["dag_run_id"], task_id))
        assert report.status_code == 200
        assert "seen-000001" in report.text


def test_a_healthy_run_leaves_no_error_in_its_logs(stack):
    stack.upload_as_one_batch("quiet", good_scans(1, seed=11))
    stack.settle()
    noisy = [
        line
        for dag_id in DAGS
        for run in healthy_runs(stack, dag_id)
        for line in loud_lines(stack, dag_id, run["dag_run_id"])
    ]

    assert runs_of(stack, "build_dataset", "quiet")
    assert noisy == []


def test_a_batch_is_read_again_when_a_person_asks_for_it(stack):
    stack.upload_as_one_batch("twice", good_scans(2, seed=14))
    stack.settle()
    said = stack.type("reprocess", "--batch", "twice-000001", "--psm", "6")
    stack.settle()
    (again,) = stack.runs("recognize_pages", partition_key="twice-000002")

    assert said.returncode == 0
    assert again["state"] == "success"
    assert stack.batch_in_state("twice", "built")["batch_id"] == "twice-000002"
    assert stack.page_counts("twice-000002")["found"] == 2
    assert sum(stack.receipt()["datasets"]["twice"]["rows"].values()) == 2


def test_a_dag_of_a_user_runs_once_for_every_snapshot(stack):
    stack.upload_as_one_batch("again", good_scans(1, seed=12))
    stack.settle()
    stack.upload_as_one_batch("again", good_scans(2, seed=13))
    stack.settle()
    published = Counter(row["batch_id"] for row in stack.snapshots())
    wait_until(
        "as many runs as snapshots",
        lambda: len(stack.runs("fine_tune", state="success")) >= published.total(),
    )

    assert published["again-000001"] == published["again-000002"] == 1
    assert Counter(run["partition_key"] for run in stack.runs("fine_tune")) == published


def are_announced(stack, collections):
    batches = [batch for collection in collections for batch in stack.batches(collection)]
    return len(batches) == len(collections) and all(batch["announced_at"] for batch in batches)


def runs_of(stack, dag_id, collection):
    return stack.runs(dag_id, partition_key=f"{collection}-000001")


def report_link(stack, dag_id, run_id, task_id):
    path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links"
    return stack.get(path)["extra_links"]["Quality report"]


def healthy_runs(stack, dag_id):
    return stack.runs(dag_id, state="success")


def loud_lines(stack, dag_id, run_id):
    folder = stack.home.logs / "airflow" / f"dag_id={dag_id}" / f"run_id={run_id}"
    lines = [
        json.loads(line) for path in folder.rglob("*.log") for line in path.open(encoding="utf-8")
    ]
    return [
        line["event"]
        for line in lines
        if line["level"] in {"error", "critical"}
        or (line["level"] == "warning" and not line["event"].startswith("quarantined image="))
    ]
