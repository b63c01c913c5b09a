"""The DAG files: what they promise in words, how they hang together, and how light they parse."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import (
    Asset,
    AssetOrTimeSchedule,
    DeltaTriggerTimetable,
    PartitionedAssetTimetable,
)
from airflow.sdk.definitions.retry_policy import RetryAction

from scanmill.errors import FatalError, GateFailed, RetryableError, UsageError
from scanmill.orchestration import assets, defaults
from scanmill.orchestration.alerting import tell_of_failed_run, tell_of_failed_task
from scanmill.orchestration.defaults import DAG_DEFAULTS, RETRY_POLICY
from scanmill.orchestration.trigger import (
    MOST_FOLDERS,
    LandingTrigger,
    folders_of,
    folders_to_list,
)
from scanmill.settings import Settings
from scanmill.steps.overseeing import TAG

DAGS = Path(__file__).parents[2] / "dags"
FILES = sorted(DAGS.glob("*.py"))

EDGES = {
    "ingest_images": {"plan_batches": []},
    "recognize_pages": {
        "list_slices": ["recognize_slice"],
        "recognize_slice": ["judge_batch"],
        "judge_batch": [],
    },
    "build_dataset": {"build_snapshot": []},
    "audit_ledger": {"audit": ["heal"], "heal": [], "ring_for_builds": []},
    "reprocess_images": {"plan_again": []},
}
OUTLETS = {
    ("ingest_images", "plan_batches"): ["image_batches"],
    ("recognize_pages", "judge_batch"): ["pages"],
    ("build_dataset", "build_snapshot"): ["dataset"],
    ("audit_ledger", "ring_for_builds"): ["pages"],
    ("reprocess_images", "plan_again"): ["image_batches"],
}

# Each costs every short-lived process of Airflow that parses a DAG file: seconds, or memory.
HEAVY = {
    "PIL",
    "aiobotocore",
    "alembic",
    "datasets",
    "great_expectations",
    "numpy",
    "pandas",
    "pyarrow",
    "pytesseract",
    "rensa",
    "s3fs",
    "scanmill.ledger",
    "scanmill.ocr",
    "scanmill.steps",
    "scanmill.store",
    "spellchecker",
}
PARSE = "import runpy, sys; runpy.run_path(sys.argv[1]); print(*sys.modules, sep='\\n')"


@pytest.fixture(scope="module")
def dag_bag():
    return DagBag(DAGS)


@pytest.fixture(scope="module")
def tasks(dag_bag):
    return [(dag_id, task) for dag_id, dag in dag_bag.dags.items() for task in dag.tasks]


# --- files and words -----------------------------------------------------------------------------


def test_every_file_parses(dag_bag):
    assert dag_bag.import_errors == {}


def test_there_are_four_dags_each_in_the_file_of_its_name(dag_bag):
    places = {dag_id: Path(dag.fileloc).name for dag_id, dag in dag_bag.dags.items()}

    assert places == {dag_id: f"{dag_id}.py" for dag_id in EDGES}


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_parsing_stays_light(file):
    parsed = subprocess.run(
        [sys.executable, "-c", PARSE, str(file)], capture_output=True, text=True, check=True
    )

    assert HEAVY.intersection(parsed.stdout.split()) == set()


def test_every_dag_says_when_it_starts_what_it_publishes_and_what_its_failure_means(dag_bag):
    wanted = ("**Starts", "**Publishes** ", "**If it fails** ")
    silent = {
        dag_id: missing
        for dag_id, dag in dag_bag.dags.items()
        if (missing := [words for words in wanted if words not in (dag.doc_md or "")])
    }

    assert silent == {}


def test_every_dag_has_an_owner_and_tags(dag_bag):
    named = {dag_id: (dag.owner, sorted(dag.tags)) for dag_id, dag in dag_bag.dags.items()}

    assert named == dict.fromkeys(EDGES, ("scanmill", ["scanmill"]))


def test_every_task_has_an_owner_and_words(tasks):
    silent = [
        f"{dag_id}.{task.task_id}"
        for dag_id, task in tasks
        if task.owner != "scanmill" or not task.doc_md
    ]

    assert silent == []


# --- what happens when something fails -----------------------------------------------------------


def test_every_dag_tells_of_a_failed_run(dag_bag):
    callbacks = {dag_id: dag.on_failure_callback for dag_id, dag in dag_bag.dags.items()}

    assert callbacks == dict.fromkeys(EDGES, tell_of_failed_run)


def test_every_task_tells_of_its_failure(tasks):
    told = {callback for _, task in tasks for callback in _as_list(task.on_failure_callback)}
    silent = [f"{dag_id}.{task.task_id}" for dag_id, task in tasks if not task.on_failure_callback]

    assert told == {tell_of_failed_task}
    assert silent == []


def test_every_task_is_tried_again_by_the_one_policy(tasks):
    others = [
        f"{dag_id}.{task.task_id}"
        for dag_id, task in tasks
        if task.retry_policy is not RETRY_POLICY or task.retries != 3
    ]

    assert others == []


@pytest.mark.parametrize("error", [FatalError("no"), UsageError("no"), GateFailed("no")])
def test_what_no_attempt_can_help_fails_at_once(error):
    decision = RETRY_POLICY.evaluate(error, 1, 4)

    assert decision.action == RetryAction.FAIL
    assert decision.reason


def test_a_fault_of_the_world_is_tried_again_after_the_pause_of_the_settings():
    decision = RETRY_POLICY.evaluate(RetryableError("later"), 1, 4)

    assert decision.action == RetryAction.RETRY
    assert decision.retry_delay.total_seconds() == Settings().retry_seconds


@pytest.mark.parametrize("error", [ValueError("a bug"), MemoryError(), KeyboardInterrupt()])
def test_a_bug_is_left_to_the_retries_of_the_task(error):
    assert RETRY_POLICY.evaluate(error, 1, 4).action == RetryAction.DEFAULT


def _as_list(callbacks):
    return callbacks if isinstance(callbacks, list) else [callbacks]


# --- how it hangs together -----------------------------------------------------------------------


def test_the_edges_are_the_drawn_ones(dag_bag):
    edges = {
        dag_id: {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}
        for dag_id, dag in dag_bag.dags.items()
    }

    assert edges == EDGES


def test_only_the_last_task_of_each_stage_rings(tasks):
    outlets = {
        (dag_id, task.task_id): [asset.name for asset in task.outlets]
        for dag_id, task in tasks
        if task.outlets
    }

    assert outlets == OUTLETS


def test_both_stages_run_once_for_every_batch(dag_bag):
    schedules = {dag_id: dag_bag.dags[dag_id].timetable for dag_id in EDGES}
    keyed = {
        dag_id: schedule.asset_condition
        for dag_id, schedule in schedules.items()
        if isinstance(schedule, PartitionedAssetTimetable)
    }

    assert keyed == {"recognize_pages": assets.IMAGE_BATCHES, "build_dataset": assets.PAGES}


def test_the_tasks_that_judge_lead_to_their_report(tasks):
    linked = {
        task.task_id: [link.name for link in task.operator_extra_links]
        for _, task in tasks
        if task.operator_extra_links
    }

    assert linked == {"judge_batch": ["Quality report"], "build_snapshot": ["Quality report"]}


def test_the_judge_sees_also_a_batch_whose_slices_failed(dag_bag):
    judge = dag_bag.dags["recognize_pages"].get_task("judge_batch")

    assert judge.trigger_rule == "all_done"


# --- schedules -----------------------------------------------------------------------------------

QUEUE = "http://127.0.0.1:1/000000000000/landing"


@pytest.fixture
def chosen(monkeypatch):
    """Make assets and schedules as with these settings."""

    def choose(**values):
        settings = Settings(**values)
        monkeypatch.setattr(assets, "_SETTINGS", settings)
        monkeypatch.setattr(defaults, "_SETTINGS", settings)
        return Asset(name="landing", uri="s3://scanmill/landing/", watchers=assets._watchers())

    return choose


def test_the_intake_hears_of_uploads_and_sweeps(chosen):
    landing = chosen(queue_url=QUEUE, sweep_seconds=7)
    schedule = defaults.at_upload_and_by_sweep(landing)

    assert isinstance(schedule, AssetOrTimeSchedule)
    assert schedule.timetable.delta.total_seconds() == 7
    assert [watcher.trigger.queue_url for watcher in landing.watchers] == [QUEUE]


def test_with_the_sweep_off_the_intake_hears_of_uploads_alone(chosen):
    landing = chosen(queue_url=QUEUE, sweep_seconds=0)

    assert defaults.at_upload_and_by_sweep(landing) == [landing]
    assert landing.watchers


def test_without_a_queue_the_intake_sweeps_alone(chosen):
    landing = chosen(queue_url="", sweep_seconds=7)
    schedule = defaults.at_upload_and_by_sweep(landing)

    assert landing.watchers == []
    assert isinstance(schedule, DeltaTriggerTimetable)
    assert schedule.delta.total_seconds() == 7


def test_the_audit_runs_at_its_interval_or_not_at_all(chosen):
    chosen(audit_seconds=9)
    every = defaults.at_audit_interval()
    chosen(audit_seconds=0)

    assert every.delta.total_seconds() == 9
    assert defaults.at_audit_interval() is None


# --- the doorbell --------------------------------------------------------------------------------

HOSTILE = [
    "landing/samples/plain.png",
    "landing/samples/a b+c.png",
    'landing/pièces n° 7/"{{ 7*7 }}" it\'s <b>.png',
    "landing/samples/100%/x#y?.png",
    "landing/root.png",
    "landing/samples/new\nline.png",
]
FOLDERS = sorted({key.rpartition("/")[0] + "/" for key in HOSTILE})


def notification(*keys, safe):
    records = [{"s3": {"object": {"key": urllib.parse.quote_plus(key, safe=safe)}}} for key in keys]
    return json.dumps({"Records": records})


@pytest.mark.parametrize("safe", ["/", ""], ids=["slashes kept", "slashes encoded"])
def test_folders_come_out_of_encoded_keys_as_they_are_in_the_bucket(safe):
    bodies = [notification(key, safe=safe) for key in HOSTILE]

    assert folders_of(bodies) == FOLDERS


def test_one_message_may_tell_of_many_uploads():
    assert folders_of([notification(*HOSTILE, safe="/")]) == FOLDERS


def test_the_test_event_of_the_store_names_nothing():
    assert folders_of([json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"})]) == []


def test_few_folders_are_listed_each_once():
    events = [{"folders": ["landing/b/", "landing/a/"]}, {"folders": ["landing/a/"]}]

    assert folders_to_list(events) == ["landing/a/", "landing/b/"]


def test_a_folder_within_another_is_not_listed_a_second_time():
    events = [{"folders": ["landing/a/", "landing/a/label/", "landing/ab/", "landing/a/label/x/"]}]

    assert folders_to_list(events) == ["landing/a/", "landing/ab/"]


def test_too_many_folders_or_none_mean_all_of_landing():
    many = [{"folders": [f"landing/{number:02d}/"]} for number in range(MOST_FOLDERS + 1)]

    assert folders_to_list(many) is None
    assert folders_to_list(many[:-1]) is not None
    assert folders_to_list([]) is None


def test_folders_that_an_event_had_no_room_for_are_listed_too():
    inside = [notification(f"landing/a/{number}/x.png", safe="/") for number in range(80)]
    bodies = [notification("landing/a/x.png", "landing/b/x.png", safe="/"), *inside]
    (rung,) = asyncio.run(_rings(bodies))

    assert "landing/b/" not in rung["folders"]
    assert folders_to_list([rung]) is None


def test_the_triggerer_makes_the_trigger_again_from_what_was_serialized():
    made = LandingTrigger(queue_url=QUEUE, aws_conn_id="elsewhere")
    path, values = made.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(sys.modules[module], name)(**values)

    assert json.loads(json.dumps(values)) == values
    assert again.serialize() == made.serialize()
    assert again.shared_stream_key() == made.shared_stream_key()


def test_watchers_of_one_queue_share_a_poll_and_two_queues_do_not():
    keys = {LandingTrigger(queue_url=f"{QUEUE}{n}").shared_stream_key() for n in (1, 1, 2)}

    assert len(keys) == 2


async def _rings(*bursts):
    async def stream():
        for burst in bursts:
            yield burst

    heard = LandingTrigger(queue_url=QUEUE).filter_shared_stream(stream())
    return [event.payload async for event in heard]


def test_a_burst_of_uploads_rings_once_and_the_test_event_not_at_all():
    uploads = [notification(key, safe="/") for key in HOSTILE]
    rung = asyncio.run(_rings(['{"Event": "s3:TestEvent"}'], uploads))

    assert rung == [{"messages": len(HOSTILE), "folders": FOLDERS}]


def test_an_event_stays_small_however_many_folders_a_burst_names():
    bodies = [notification(f"landing/c/{number}/x.png", safe="/") for number in range(500)]
    (rung,) = asyncio.run(_rings(bodies))

    assert len(rung["folders"]) == MOST_FOLDERS + 1
    assert folders_to_list([rung]) is None


_SEGFAULT = """
import ctypes, signal, sys
signal.signal(signal.SIGSEGV, lambda *_: None)  # as Airflow does when it parses a DAG file
from scanmill.orchestration.defaults import TASK_DEFAULTS
TASK_DEFAULTS["on_execute_callback"]({})
ctypes.string_at(0)
"""


@pytest.mark.parametrize("is_on", ["", "1"], ids=["plain", "with faulthandler on"])
def test_a_segfault_ends_the_process_of_a_task_and_leaves_its_traceback(is_on):
    said = subprocess.run(
        [sys.executable, "-c", _SEGFAULT],
        env=os.environ | {"PYTHONFAULTHANDLER": is_on},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert said.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in said.stderr


def test_the_watchdog_finds_our_dags_by_their_tag():
    assert DAG_DEFAULTS["tags"] == [TAG]
