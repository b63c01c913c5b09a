"""The local stack below Airflow: ports, supervisor, Airflow's database."""

import os
import socket
import sqlite3
import stat
import tempfile
from pathlib import Path

import pytest

from scanmill.errors import RetryableError
from scanmill.local import ports, stack, supervisor, template
from scanmill.local.home import Home, Stack

PORTS = {name: 21_000 + number for number, name in enumerate(stack.PORTS)}


def test_every_port_is_free_and_no_two_are_the_same():
    chosen = ports.choose(stack.PORTS, {})

    assert len(set(chosen.values())) == len(stack.PORTS)
    assert all(ports.is_free(port) for port in chosen.values())


def test_a_port_is_kept_between_two_starts():
    first = ports.choose(stack.PORTS, {})

    assert ports.choose(stack.PORTS, first) == first


def test_a_port_that_somebody_took_is_replaced_alone():
    first = ports.choose(stack.PORTS, {})
    with socket.socket() as other:
        other.bind(("127.0.0.1", first["api"]))
        other.listen()
        second = ports.choose(stack.PORTS, first)

    assert second["api"] != first["api"]
    assert {**second, "api": 0} == {**first, "api": 0}


def test_ports_lie_below_those_of_outgoing_connections():
    chosen = ports.choose(stack.PORTS, {})

    assert max(chosen.values()) < ports._first_ephemeral()


def test_every_program_is_supervised_and_restarted(some_home):
    written = supervisor.configure(some_home, Stack(ports=PORTS))

    assert written.count("[program:") == written.count("autorestart=true")
    assert "inet_http_server" not in written
    assert all(f"[program:{name}]" in written for name in ("store", "triggerer", "watchdog"))


def test_a_home_too_deep_for_a_socket_gets_a_private_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    deep = Home(tmp_path / ("x" * 120))
    deep.make()
    folder = supervisor.make_scratch(deep)
    listens_at = supervisor.socket_path(Stack(ports=PORTS, scratch=str(folder)))
    folder.rmdir()

    assert len(str(listens_at)) < 90


def test_scratch_is_emptied_at_each_start():
    with tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as short:
        near = Home(Path(short))
        near.make()
        left = supervisor.make_scratch(near) / "left over"
        left.touch()
        folder = supervisor.make_scratch(near)

        assert folder == left.parent
        assert list(folder.iterdir()) == []
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_supervisor_that_hangs_is_not_waited_for_for_ever(some_home, monkeypatch):
    monkeypatch.setattr(supervisor, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(supervisor, "pid", lambda _: os.getpid())
    with tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as short:
        mute_stack = Stack(ports=PORTS, scratch=short)
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(str(supervisor.socket_path(mute_stack)))
            mute.listen()
            with pytest.raises(RetryableError, match=r"does not answer.*\./scanmill down"):
                supervisor.processes(some_home, mute_stack)


def test_a_database_of_airflow_that_came_back_empty_is_made_again(tmp_path):
    home = Home(tmp_path / "home")
    home.make()
    database = home.airflow / "airflow.db"
    template.prepare(home, {})
    whole = database.stat().st_size
    database.unlink()
    sqlite3.connect(database).close()  # who asks a database that is gone makes an empty one
    template.prepare(home, {})

    assert database.stat().st_size == whole
