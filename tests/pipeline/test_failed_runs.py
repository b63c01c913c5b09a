"""Runs that fail and tasks that hang: told of once, whoever sees it first, and once when over."""

import datetime as dt

import pytest

from drivers import drop, finish_batch, read_batch, rows_of, stubbed_judge
from engines.scripted import picture, prose
from engines.small_airflow import small_airflow
from scanmill.errors import FatalError, GateFailed
from scanmill.ledger import tables as t
from scanmill.orchestration.alerting import tell_of_failed_run, tell_of_failed_task
from scanmill.steps import judging, planning, reviewing
from scanmill.steps.watching import Watchdog

pytestmark = pytest.mark.usefixtures("open_gates")

BATCH = "c-000001"


@pytest.fixture
def airflow():
    """An Airflow that says of its runs what it is told to say."""
    with small_airflow() as server:
        yield server


@pytest.fixture
def mill(new_mill, airflow, monkeypatch):
    """A mill with one planned batch, as a task finds it and as the watchdog does."""
    mill = new_mill(airflow_url=airflow.url, airflow_password="secret")
    monkeypatch.setenv("SCANMILL_BUCKET", mill.settings.bucket)
    monkeypatch.setenv("SCANMILL_LEDGER_URL", mill.settings.ledger_url)
    monkeypatch.setenv("SCANMILL_AIRFLOW_URL", airflow.url)
    drop(mill, "c/x/1.png", picture(prose(1)))
    planning.plan_batches(mill)
    return mill


@pytest.fixture
def watchdog(mill):
    return Watchdog(mill)


class Run:
    """A run as Airflow hands it to a callback."""

    def __init__(self, run_id="r1", *, dag_id="recognize_pages", batch=BATCH):
        self.dag_id, self.run_id, self.partition_key = dag_id, run_id, batch
        self.start_date = dt.datetime.now(dt.UTC)

    def task_fails(self, error):
        """Call as Airflow does when the last try of a task raised this."""
        ti = type("Ti", (), {"task_id": "recognize_slice", "log_url": "http://a/log"})()
        tell_of_failed_task({"ti": ti, "dag_run": self, "exception": error})

    def fails(self):
        """Call as Airflow does when the run has failed."""
        tell_of_failed_run({"dag_run": self})

    def is_cleared(self):
        """Begin again, as when a person clears the failed task."""
        self.start_date = dt.datetime.now(dt.UTC)


def told(mill):
    """Return what is sent: of every alert its event, and what of it."""
    rows = sorted(rows_of(mill, t.OUTBOX), key=lambda row: row["created_at"])
    return [row["key"].rpartition(":")[0] for row in rows if row["sent_by"] != "nobody"]


FATAL = f"run_failed:recognize_pages:{BATCH}:FatalError"
KILLED = f"run_failed:recognize_pages:{BATCH}:killed"


# --- failures ------------------------------------------------------------------------------------


def test_a_failed_task_is_told_of_once_by_its_task_its_run_and_the_watchdog(
    mill, airflow, watchdog
):
    run = Run()
    run.task_fails(FatalError("The rights are gone."))
    run.fails()
    airflow.run_ends("failed", batch=BATCH)
    watchdog.look()

    (message,) = rows_of(mill, t.OUTBOX)
    assert told(mill) == [FATAL]
    assert "The rights are gone." in message["text"]


def test_a_killed_task_is_told_of_by_the_watchdog_when_no_callback_came_through(
    mill, airflow, watchdog
):
    airflow.run_ends("failed", batch=BATCH)
    watchdog.look()
    watchdog.look()

    (message,) = rows_of(mill, t.OUTBOX)
    assert told(mill) == [KILLED]
    assert "probably killed" in message["text"]
    assert f"{airflow.url}/dags/recognize_pages/runs/r1" in message["text"]


def test_a_run_of_somebody_elses_is_not_told_of(mill, airflow, watchdog):
    airflow.run_ends("failed", dag_id="theirs")

    watchdog.look()

    assert told(mill) == []


def test_the_same_error_again_is_the_same_event_and_another_error_is_another(mill):
    for number, error in enumerate([FatalError("a"), FatalError("b"), KeyError("c"), None]):
        run = Run(f"r{number}")
        run.task_fails(error)
        run.fails()

    assert told(mill) == [FATAL, FATAL.replace("FatalError", "KeyError"), KILLED]


def test_what_a_person_cleared_and_fails_again_is_told_of_again(mill):
    run = Run()
    for _ in range(2):
        run.task_fails(FatalError("The rights are gone."))
        run.fails()
        run.is_cleared()

    assert told(mill) == [FATAL, FATAL]


def test_a_failure_is_over_when_its_batch_has_been_read_after_all(mill, watchdog):
    Run().task_fails(FatalError("a"))
    watchdog.look()
    assert told(mill) == [FATAL]
    finish_batch(mill, BATCH)
    watchdog.look()
    watchdog.look()

    assert told(mill) == [FATAL, f"over:{FATAL}"]


def test_a_failure_is_over_when_a_later_run_succeeds_and_the_next_one_is_a_new_event(
    mill, airflow, watchdog
):
    airflow.dags["ingest_images"] = "scanmill"
    for number in range(2):
        run = Run(f"r{number}", dag_id="ingest_images", batch=None)
        run.task_fails(FatalError("a"))
        airflow.run_ends("success", dag_id="ingest_images", run_id=f"s{number}")
        watchdog.look()

    ingest = "run_failed:ingest_images::FatalError"
    assert told(mill) == [ingest, f"over:{ingest}"] * 2


def test_a_failure_of_a_dag_that_was_deleted_is_over_and_hides_nothing(mill, airflow, watchdog):
    airflow.dags["mine"] = "scanmill"
    airflow.run_ends("failed", dag_id="mine")
    watchdog.look()
    del airflow.dags["mine"]
    airflow.deleted.add("mine")
    airflow.runs.clear()
    airflow.task_waits(600)

    for _ in range(2):
        watchdog.look()
    assert told(mill)[:2] == ["run_failed:mine::killed", "over:run_failed:mine::killed"]


def test_the_words_of_a_bug_are_not_mailed_for_they_may_quote_a_document(mill):
    Run().task_fails(KeyError("Dear Mrs Smith"))

    (message,) = rows_of(mill, t.OUTBOX)
    assert "KeyError" in message["text"]
    assert "http://a/log" in message["text"]
    assert "Smith" not in message["text"] + message["subject"] + message["key"]


def test_a_hostile_batch_name_is_inert_and_still_found_again(mill, airflow, watchdog):
    name = "{{ 7*7 }}\n<b>:x\x1b[31m"
    run = Run(batch=name)
    run.task_fails(FatalError("a"))
    airflow.run_ends("failed", batch=name)
    watchdog.look()
    assert len(told(mill)) == 1
    airflow.run_ends("success", run_id="r2", batch=name)
    watchdog.look()

    texts = "".join(row["key"] + row["subject"] + row["text"] for row in rows_of(mill, t.OUTBOX))
    assert len(told(mill)) == 2
    assert "{{" not in texts
    assert "\x1b" not in texts


def test_a_gate_that_holds_a_batch_has_told_of_the_failed_run_also_after_the_release(
    mill, airflow, watchdog, monkeypatch
):
    monkeypatch.setattr(judging, "judge", stubbed_judge(is_held=lambda _run, _gate: True))
    run = Run()
    read_batch(mill, BATCH)
    with pytest.raises(GateFailed):
        judging.judge_batch(mill, BATCH)
    run.fails()
    airflow.run_ends("failed", batch=BATCH)
    reviewing.decide(mill, BATCH, verb="release", because="fine", decided_by="me")
    watchdog.look()

    assert [row["kind"] for row in rows_of(mill, t.OUTBOX)] == ["gate_failed"]


# --- tasks that hang -----------------------------------------------------------------------------


HUNG = f"task_hung:recognize_pages:{BATCH}:recognize_slice[3]"


def test_a_task_that_airflow_could_not_end_is_told_of_once_and_when_it_is_gone(
    mill, airflow, watchdog
):
    airflow.timeouts["recognize_pages", "recognize_slice"] = {
        "days": 0,
        "seconds": 60,
        "microseconds": 0,
    }
    airflow.task_runs(75, batch=BATCH, map_index=3)
    watchdog.look()
    watchdog.look()
    assert told(mill) == [HUNG]
    airflow.tasks.clear()
    watchdog.look()

    assert told(mill) == [HUNG, f"over:{HUNG}"]
    assert "4711 on worker-1" in rows_of(mill, t.OUTBOX)[0]["text"]


def test_a_task_without_a_limit_of_its_own_is_told_of_by_the_setting(mill, airflow, watchdog):
    airflow.task_runs(mill.settings.task_alert_seconds + 5, batch=BATCH, map_index=3)

    watchdog.look()

    assert told(mill) == [HUNG]


def test_a_task_within_its_limit_is_left_alone(mill, airflow, watchdog):
    airflow.task_runs(mill.settings.task_alert_seconds - 60, batch=BATCH)
    airflow.task_runs(10**6, dag_id="theirs", run_id="r2")

    watchdog.look()

    assert told(mill) == []


def test_an_airflow_that_has_forgotten_us_is_logged_in_to_again(mill, airflow, watchdog):
    watchdog.look()
    airflow.tokens = {"second"}
    airflow.run_ends("failed", batch=BATCH)
    watchdog.look()
    watchdog.look()

    assert told(mill) == [KILLED]
