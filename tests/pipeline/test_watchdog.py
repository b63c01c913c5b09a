"""The watchdog tells once of what is away, and once when it is back."""

import http.server
import json
import os
import threading

import pytest

from drivers import drop, rows_of
from engines.scripted import picture, prose
from scanmill.ledger import tables as t
from scanmill.steps import planning
from scanmill.steps.watching import PATIENCE_SECONDS, Watchdog

WELL = {name: {"status": "healthy"} for name in ("scheduler", "triggerer", "dag_processor")}


class Clock:
    """A clock that goes on when told to."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def airflow():
    """An Airflow that says of its health what it is told to say."""
    health = dict(WELL)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(health).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.health = health
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def watched(new_mill, airflow):
    return new_mill(airflow_url=f"http://127.0.0.1:{airflow.server_port}")


@pytest.fixture
def clock():
    return Clock()


def told(mill):
    return [row["key"] for row in sorted(rows_of(mill, t.OUTBOX), key=lambda r: r["created_at"])]


def look(watchdog, clock, seconds):
    for _ in range(0, seconds, 15):
        clock.now += 15
        watchdog.look()


def test_while_all_is_well_nothing_is_told(watched, clock):
    look(Watchdog(watched, clock=clock), clock, 120)

    assert told(watched) == []


def test_a_supervisor_that_is_gone_is_told_of_and_so_is_its_successor(watched, clock):
    look(Watchdog(watched, clock=clock, supervisor=os.getppid()), clock, 120)
    assert told(watched) == []

    look(Watchdog(watched, clock=clock, supervisor=os.getpid()), clock, 120)
    assert told(watched) == ["component_away:supervisor:0"]
    (message,) = rows_of(watched, t.OUTBOX)
    assert "./scanmill up" in message["text"]

    look(Watchdog(watched, clock=clock, supervisor=os.getppid()), clock, 120)
    assert told(watched)[1:] == ["component_back:supervisor:0"]


@pytest.mark.parametrize("name", WELL)
def test_a_dead_component_makes_one_message_and_one_when_it_is_back(watched, airflow, clock, name):
    watchdog = Watchdog(watched, clock=clock)
    airflow.health[name] = {"status": "unhealthy"}
    look(watchdog, clock, 120)
    airflow.health[name] = WELL[name]
    look(watchdog, clock, 60)

    assert told(watched) == [f"component_away:{name}:0", f"component_back:{name}:0"]


def test_what_is_back_within_its_patience_is_not_told_of(watched, airflow, clock):
    watchdog = Watchdog(watched, clock=clock)
    airflow.health["scheduler"] = {"status": "unhealthy"}
    look(watchdog, clock, PATIENCE_SECONDS - 15)
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

    assert len(told(watched)) == 4


def test_a_watchdog_that_was_killed_does_not_tell_twice(watched, airflow, clock):
    airflow.health["scheduler"] = {"status": "unhealthy"}
    look(Watchdog(watched, clock=clock), clock, 60)
    look(Watchdog(watched, clock=clock), clock, 60)

    assert told(watched) == ["component_away:scheduler:0"]


def test_an_airflow_that_does_not_answer_is_told_of(watched, airflow, clock):
    airflow.shutdown()
    airflow.server_close()

    look(Watchdog(watched, clock=clock), clock, 60)

    assert told(watched) == ["component_away:api_server:0"]


def test_a_store_that_does_not_answer_is_told_of(watched, clock, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    look(Watchdog(watched, clock=clock), clock, 45)

    assert told(watched) == ["component_away:store:0"]


def test_images_that_wait_too_long_are_told_of_once(new_mill, clock):
    mill = new_mill(pending_alert_seconds=0)
    drop(mill, "c/x/1.png", picture(prose(1)))
    planning.plan_batches(mill)

    look(Watchdog(mill, clock=clock), clock, 60)

    assert [key.split(":")[0] for key in told(mill)] == ["images_pending"]


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
