import gc
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scanmill import sandbox
from scanmill.sandbox.worker import Death, Worker
from waiting import is_soon

ANSWERING = """
from scanmill.children.answering import answer_until_left
answer_until_left(lambda question, content: {})
"""
STUB = Path(__file__).parents[1] / "engines" / "answering_stub.py"


def start(program=(sys.executable, "-I", str(STUB))):
    limits = sandbox.Limits(memory_bytes=1 << 30, cpu_seconds=600, file_bytes=1 << 20)
    return Worker(program, limits=limits, environment={}, reads=[STUB.parent])


@pytest.fixture
def worker():
    worker = start()
    assert worker.greet() == {"is": "ready"}
    yield worker
    worker.end()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "page"
    path.write_text("what stands in it")
    return path


def ask(worker, file, do="answer", cpu_seconds=1):
    return worker.ask({"do": do}, file=file, cpu_seconds=cpu_seconds)


def is_alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_one_process_answers_every_question(worker, file):
    first, second = ask(worker, file), ask(worker, file)

    assert first == second
    assert first["content"] == "what stands in it"


def test_it_carries_the_name_of_its_home_from_its_first_moment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "top secret")
    worker = start()
    environment = Path(f"/proc/{worker._child.pid}/environ").read_bytes().split(b"\0")
    worker.end()

    assert f"SCANMILL_SCRATCH={worker.home}".encode() in environment
    assert b"AWS_SECRET_ACCESS_KEY=top secret" not in environment


def test_it_ends_when_who_asks_is_killed_in_the_middle_of_a_question(file):
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen([sys.executable, "-c", ANSWERING], stdin=theirs)
    with ours, file.open("rb") as opened:
        ours.recv(100)  # it is ready
        socket.send_fds(ours, [b'{"half of'], [opened.fileno()])
    try:
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()


def test_it_sees_no_secret(worker, file, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "top secret")

    assert "AWS_SECRET_ACCESS_KEY" not in ask(worker, file)["seen"]


@pytest.mark.parametrize(
    ("deed", "status", "is_timeout"),
    [
        ("crash", -11, False),
        ("exit", 1, False),
        ("allocate", 1, False),
        ("flood", -25, False),
        ("spin", -27, True),
    ],
)
def test_a_question_that_it_dies_of_says_how(worker, file, deed, status, is_timeout):
    death = ask(worker, file, deed)

    assert isinstance(death, Death)
    assert (death.status, death.is_timeout) == (status, is_timeout)
    assert ("no more" in death.errors) == (deed == "exit")


def test_each_question_has_its_own_cpu_time(worker, file):
    for _ in range(3):
        assert ask(worker, file, cpu_seconds=1)["content"]
    assert ask(worker, file, "spin").is_timeout


def test_one_that_sleeps_is_ended_by_the_wall_clock(worker, file, monkeypatch):
    monkeypatch.setattr("scanmill.sandbox.WALL_FACTOR", 0.5)

    assert ask(worker, file, "sleep").is_timeout


def test_one_that_was_killed_before_is_seen_at_the_next_question(worker, file):
    os.kill(ask(worker, file)["pid"], 9)

    assert ask(worker, file).status == -9


def test_a_program_that_does_not_start_says_why(file):
    death = start([sys.executable, "-I", "-c", "raise SystemExit('no model')"]).greet()

    assert (death.status, death.errors) == (1, "no model")


def test_nothing_is_left_when_it_ends(file):
    worker = start()
    worker.greet()
    pid, home = ask(worker, file, "leave a child")["pid"], worker.home

    worker.end()

    assert not is_alive(pid)
    assert not home.exists()
    marker = f"SCANMILL_SCRATCH={home}".encode()
    assert not [entry for entry in Path("/proc").glob("[0-9]*") if marker in environment(entry)]


def environment(entry):
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def test_it_ends_with_whoever_forgets_it(file):
    worker = start()
    worker.greet()
    pid = ask(worker, file)["pid"]

    del worker
    gc.collect()

    assert not is_alive(pid)


def test_it_ends_with_the_thread_that_started_it(file):
    workers = []

    def work():
        workers.append(start())
        workers[0].greet()
        workers.append(ask(workers[0], file)["pid"])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert is_soon(lambda: not is_alive(workers[1]))
    assert isinstance(ask(workers[0], file), Death)


@pytest.mark.parametrize(("deed", "status"), [("crash", -11), ("exit", 1), ("spin", -27)])
def test_behind_bubblewrap_it_answers_and_dies_the_same(bubblewrapped, file, deed, status):
    worker = start()
    worker.greet()

    assert ask(worker, file)["content"] == "what stands in it"
    assert ask(worker, file, deed).status == status
