"""The watchdog tells once of what is wrong, and once when it is over; then it is a new event."""

import datetime as dt
import os
import socket
import time

import pytest
import sqlalchemy as sa

from drivers import delete, drop, finish_batch, forget, read_batch, rows_of, run_pipeline
from engines.scripted import picture, prose
from engines.small_airflow import WELL, small_airflow
from scanmill.ledger import tables as t
from scanmill.steps import building, judging, planning, watching
from scanmill.steps.auditing import audit
from scanmill.steps.healing import heal
from scanmill.steps.looking import PATIENCE_SECONDS
from scanmill.steps.relieving import MUTE_SECONDS, relieve
from scanmill.steps.watching import LOOK_SECONDS, Watchdog

pytestmark = pytest.mark.usefixtures("open_gates")

MINUTE, HOUR = 60, 3600


class Clock:
    """A clock that goes on when told to."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def airflow():
    """An Airflow that says of its health what it is told to say."""
    with small_airflow() as server:
        yield server


@pytest.fixture
def watched(new_mill, airflow):
    return new_mill(airflow_url=airflow.url)


@pytest.fixture
def clock():
    return Clock()


def told(mill):
    return [row["key"] for row in sorted(rows_of(mill, t.OUTBOX), key=lambda r: r["created_at"])]


def look(watchdog, clock, seconds):
    for _ in range(0, seconds, LOOK_SECONDS):
        clock.now += LOOK_SECONDS
        watchdog.look()


def pass_by(mill, seconds, *columns):
    """Let what stands in these columns of the ledger have happened so much earlier."""
    with mill.ledger.writing() as connection:
        for column in columns:
            for (moment,) in connection.execute(sa.select(column).distinct()).all():
                if moment is not None:
                    earlier = {column.name: moment - dt.timedelta(seconds=seconds)}
                    connection.execute(
                        sa.update(column.table).where(column == moment).values(earlier)
                    )


def test_while_all_is_well_nothing_is_told(watched, clock):
    look(Watchdog(watched, clock=clock), clock, 120)

    assert told(watched) == []


# --- the watchdog itself --------------------------------------------------------------------------


def test_a_watchdog_that_hangs_is_told_of_once_by_the_pipeline_and_when_it_is_back(watched):
    watching.watch(watched, forever=False)
    assert not relieve(watched)
    assert told(watched) == []

    pass_by(watched, MUTE_SECONDS + 1, t.HEARTBEATS.c.beat_at)
    assert relieve(watched)
    assert relieve(watched)
    assert told(watched) == ["component_away:watchdog:0"]

    watching.watch(watched, forever=False)
    assert told(watched)[1:] == ["over:component_away:watchdog:0"]


def test_a_watchdog_gives_a_sign_of_life_between_looks_that_take_long(watched, clock, monkeypatch):
    watchdog = Watchdog(watched, clock=clock)

    def slow_look():
        clock.now += MUTE_SECONDS
        pass_by(watched, MUTE_SECONDS, t.HEARTBEATS.c.beat_at)
        return iter(())

    monkeypatch.setattr(watchdog, "_looks", [slow_look, slow_look, lambda: iter(())])
    watchdog.look()

    assert not relieve(watched)


def test_where_there_never_was_a_watchdog_there_is_none_to_relieve(watched):
    assert not relieve(watched)
    assert told(watched) == []


# --- components ----------------------------------------------------------------------------------


def test_a_supervisor_that_is_gone_is_told_of_and_so_is_its_successor(watched, clock):
    look(Watchdog(watched, clock=clock, supervisor=os.getppid()), clock, 120)
    assert told(watched) == []

    look(Watchdog(watched, clock=clock, supervisor=os.getpid()), clock, 120)
    assert told(watched) == ["component_away:supervisor:0"]
    (message,) = rows_of(watched, t.OUTBOX)
    assert "./scanmill up" in message["text"]

    look(Watchdog(watched, clock=clock, supervisor=os.getppid()), clock, 120)
    assert told(watched)[1:] == ["over:component_away:supervisor:0"]


@pytest.mark.parametrize("name", WELL)
def test_a_dead_component_makes_one_message_and_one_when_it_is_back(watched, airflow, clock, name):
    watchdog = Watchdog(watched, clock=clock)
    airflow.health[name] = {"status": "unhealthy"}
    look(watchdog, clock, 120)
    airflow.health[name] = WELL[name]
    look(watchdog, clock, 60)

    assert told(watched) == [f"component_away:{name}:0", f"over:component_away:{name}:0"]


def test_a_dead_component_is_told_of_within_a_minute(watched, airflow, clock):
    watchdog = Watchdog(watched, clock=clock)
    airflow.health["scheduler"] = {"status": "unhealthy"}

    look(watchdog, clock, 50)

    assert told(watched) == ["component_away:scheduler:0"]


def test_what_is_back_within_its_patience_is_not_told_of(watched, airflow, clock):
    watchdog = Watchdog(watched, clock=clock)
    airflow.health["scheduler"] = {"status": "unhealthy"}
    look(watchdog, clock, PATIENCE_SECONDS)
    airflow.health["scheduler"] = WELL["scheduler"]
    look(watchdog, clock, 120)

    assert told(watched) == []


def test_what_dies_again_is_told_of_again(watched, airflow, clock):
    watchdog = Watchdog(watched, clock=clock)
    for _ in range(2):
        airflow.health["triggerer"] = {"status": None}
        look(watchdog, clock, 60)
        airflow.health["triggerer"] = WELL["triggerer"]
        look(watchdog, clock, 60)

    assert told(watched) == [
        "component_away:triggerer:0",
        "over:component_away:triggerer:0",
        "component_away:triggerer:1",
        "over:component_away:triggerer:1",
    ]


def test_a_watchdog_that_was_killed_does_not_tell_twice(watched, airflow, clock):
    airflow.health["scheduler"] = {"status": "unhealthy"}
    look(Watchdog(watched, clock=clock), clock, 60)
    look(Watchdog(watched, clock=clock), clock, 60)

    assert told(watched) == ["component_away:scheduler:0"]


@pytest.fixture
def overseen(new_mill, airflow):
    """A mill whose watchdog may look at Airflow's tasks too."""
    return new_mill(airflow_url=airflow.url, airflow_password="secret")


def test_an_executor_that_takes_nothing_up_is_told_of_once_and_when_it_does(
    overseen, airflow, clock
):
    watchdog = Watchdog(overseen, clock=clock)
    airflow.task_waits(61)
    look(watchdog, clock, MINUTE)
    at_first = told(overseen)
    airflow.tasks.clear()
    look(watchdog, clock, MINUTE)

    assert at_first == ["component_away:executor:0"]
    assert told(overseen) == ["component_away:executor:0", "over:component_away:executor:0"]


@pytest.mark.parametrize("is_busy", [False, True])
def test_a_task_that_waits_its_turn_is_no_fault_of_the_executor(overseen, airflow, clock, is_busy):
    airflow.task_waits(600 if is_busy else 30)
    if is_busy:
        airflow.task_runs(5)
    look(Watchdog(overseen, clock=clock), clock, MINUTE)

    assert told(overseen) == []


def test_an_airflow_that_does_not_answer_is_told_of_and_its_parts_are_as_they_were(
    watched, airflow, clock
):
    watchdog = Watchdog(watched, clock=clock)
    airflow.health["scheduler"] = {"status": "unhealthy"}
    look(watchdog, clock, 60)
    airflow.shutdown()
    airflow.server_close()

    look(watchdog, clock, 60)

    assert told(watched) == ["component_away:scheduler:0", "component_away:api_server:0"]


def test_a_store_that_does_not_answer_is_told_of(watched, clock, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    look(Watchdog(watched, clock=clock, lister=Nobody()), clock, 40)

    assert told(watched) == ["component_away:store:0"]


def test_a_store_that_takes_the_question_and_never_answers_does_not_hold_up_the_watchdog(
    new_mill, clock, monkeypatch
):
    mill = new_mill()
    monkeypatch.setattr(watching, "_STORE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{mute.getsockname()[1]}")
        watchdog = Watchdog(mill, clock=clock, lister=Nobody())
        began = time.monotonic()
        watchdog.look()
        seconds = time.monotonic() - began
        clock.now += PATIENCE_SECONDS
        watchdog.look()

    assert seconds < 5
    assert told(mill) == ["component_away:store:0"]


class Nobody:
    """An executor whose work is never done."""

    def submit(self, _work):
        return self

    def done(self):
        return False


# --- images and batches --------------------------------------------------------------------------


def test_images_that_wait_too_long_are_told_of_once_and_when_they_are_read(new_mill, clock):
    mill = new_mill(pending_alert_seconds=0)
    drop(mill, "c/x/1.png", picture(prose(1)))
    (batch_id,) = planning.plan_batches(mill)
    watchdog = Watchdog(mill, clock=clock)

    look(watchdog, clock, 60)
    assert told(mill) == ["images_pending:0"]
    finish_batch(mill, batch_id)
    look(watchdog, clock, 60)

    assert told(mill) == ["images_pending:0", "over:images_pending:0"]


def test_images_that_nobody_plans_are_told_of_once(new_mill, clock):
    mill = new_mill(pending_alert_seconds=0)
    watchdog = Watchdog(mill, clock=clock)
    look(watchdog, clock, 60)
    assert told(mill) == []
    drop(mill, "c/1.png", picture(prose(1)))

    look(watchdog, clock, 180)

    (message,) = rows_of(mill, t.OUTBOX)
    assert message["kind"] == "images_pending"
    assert "no batch yet" in message["text"]


@pytest.fixture
def two_batches(mill):
    """A mill with two batches, planned an hour ago, the first of them begun."""
    for number in (1, 2):
        drop(mill, f"c{number}/x/{number}.png", picture(prose(number)))
        planning.plan_batches(mill)
    read_batch(mill, "c1-000001")
    pass_by(mill, HOUR, t.BATCHES.c.planned_at, t.DOORBELLS.c.touched_at)
    return mill


def test_a_batch_that_nobody_moves_is_told_of_once_and_when_it_moves(two_batches, clock):
    watchdog = Watchdog(two_batches, clock=clock)

    look(watchdog, clock, 60)
    assert told(two_batches) == ["batch_stuck:c1-000001:0"]
    finish_batch(two_batches, "c1-000001")
    look(watchdog, clock, 60)

    assert told(two_batches) == ["batch_stuck:c1-000001:0", "over:batch_stuck:c1-000001:0"]


def test_a_batch_that_waits_for_its_turn_is_not_stuck_until_another_overtakes_it(
    two_batches, clock
):
    watchdog = Watchdog(two_batches, clock=clock)
    drop(two_batches, "c3/x/3.png", picture(prose(3)))
    planning.plan_batches(two_batches)
    planning.note_announced(two_batches, ["c3-000001"])
    finish_batch(two_batches, "c1-000001")
    look(watchdog, clock, 60)
    assert told(two_batches) == []

    finish_batch(two_batches, "c3-000001")
    look(watchdog, clock, 60)

    assert told(two_batches) == ["batch_stuck:c2-000001:0"]


def test_batches_that_nobody_builds_are_told_of_though_others_arrive(new_mill, clock):
    mill = new_mill(stuck_alert_seconds=MINUTE)
    watchdog = Watchdog(mill, clock=clock)
    for number in (1, 2):
        drop(mill, f"c/x/{number}.png", picture(prose(number)))
        (batch_id,) = planning.plan_batches(mill)
        read_batch(mill, batch_id)
        judging.judge_batch(mill, batch_id)
        pass_by(mill, 2 * MINUTE * (2 - number), t.BATCHES.c.planned_at, t.DOORBELLS.c.touched_at)
    look(watchdog, clock, 60)
    assert told(mill) == ["batch_stuck:c-000001:0"]

    for batch_id in ("c-000001", "c-000002"):
        building.build_snapshot(mill, batch_id)
    look(watchdog, clock, 60)
    assert told(mill)[1:] == ["over:batch_stuck:c-000001:0"]


# --- the audit -----------------------------------------------------------------------------------


@pytest.fixture
def published(new_mill):
    """A mill that has published two scans, and no channel to tell by."""
    mill = new_mill(audit_seconds=MINUTE)
    for number in (1, 2):
        drop(mill, f"c/x/{number}.png", picture(prose(number)))
    run_pipeline(mill)
    assert audit(mill) == []
    return mill


def pages_are_forgotten(mill):
    forget(mill, t.PAGES)
    assert audit(mill)


def test_damage_is_told_of_once_and_when_it_is_mended_and_again_when_it_is_there_again(
    published, clock
):
    watchdog = Watchdog(published, clock=clock)
    for _ in range(2):
        pages_are_forgotten(published)
        look(watchdog, clock, 60)
        audit(published)  # found again: no other event
        look(watchdog, clock, 60)
        heal(published)
        look(watchdog, clock, 60)

    first, _, second, _ = keys = told(published)
    assert {key.split(":")[0] for key in (first, second)} == {"books_do_not_balance"}
    assert keys == [first, f"over:{first}", second, f"over:{second}"]


def test_other_damage_is_another_event_and_one_message_says_when_all_is_mended(published, clock):
    watchdog = Watchdog(published, clock=clock)
    pages_are_forgotten(published)
    look(watchdog, clock, 60)
    (plan,) = [key for key, _ in published.store.list_keys("batches/") if "plan" in key]
    body = published.store.read(plan)
    delete(published, plan)
    audit(published)
    look(watchdog, clock, 60)
    published.store.create(plan, body)
    heal(published)

    sent = [row["key"] for row in rows_of(published, t.OUTBOX) if row["text"]]
    assert [key.split(":")[0] for key in sent].count("books_do_not_balance") == 2
    assert [key.split(":")[0] for key in sent].count("over") == 1


def test_damage_that_is_healed_at_once_is_not_told_of(published, clock):
    watchdog = Watchdog(published, clock=clock)
    pages_are_forgotten(published)
    look(watchdog, clock, 20)
    heal(published)
    look(watchdog, clock, 60)

    assert told(published) == []


def test_an_audit_that_does_not_run_is_told_of_once_and_when_it_runs(published, clock):
    watchdog = Watchdog(published, clock=clock)
    pass_by(published, 3 * MINUTE, t.AUDITS.c.finished_at)
    look(watchdog, clock, 60)
    audit(published)
    look(watchdog, clock, 60)

    assert told(published) == ["audit_overdue:0", "over:audit_overdue:0"]


def test_without_an_interval_no_audit_is_missed(new_mill, clock):
    mill = new_mill(audit_seconds=0)
    audit(mill)
    pass_by(mill, HOUR, t.AUDITS.c.finished_at)

    look(Watchdog(mill, clock=clock), clock, 60)

    assert told(mill) == []


# --- what it costs -------------------------------------------------------------------------------


def test_a_look_costs_the_same_however_much_is_published(published, clock):
    watchdog = Watchdog(published, lister=Nobody(), clock=clock)  # no sign of life falls due
    watchdog.look()
    few = statements(published, watchdog.look)
    for number in range(3, 9):
        drop(published, f"c/x/{number}.png", picture(prose(number)))
    run_pipeline(published)

    assert statements(published, watchdog.look) == few


def statements(mill, work):
    """Return how many statements the ledger executes."""
    executed = []
    engine = mill.ledger._engine
    sa.event.listen(engine, "before_cursor_execute", lambda *arguments: executed.append(arguments))
    work()
    return len(executed)
