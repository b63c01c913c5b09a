"""The local stack's files and environment: secrets, what is remembered, what settings read."""

import json
import stat
import subprocess
from pathlib import Path

import pytest

from scanmill.errors import FatalError
from scanmill.local import environment, home, reaper, stack
from scanmill.local import seaweedfs as seaweedfs_program
from scanmill.local.home import Secrets, Stack
from scanmill.settings import Settings

PORTS = {name: 21_000 + number for number, name in enumerate(stack.PORTS)}


@pytest.fixture
def variables(some_home):
    return environment.build(some_home, Stack(ports=PORTS), Secrets.generate())


def test_secrets_are_made_once_and_closed_to_others(some_home):
    made = home.load_secrets(some_home, create=True)

    assert home.load_secrets(some_home, create=True) == made
    assert stat.S_IMODE(some_home.secrets_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(some_home.root.stat().st_mode) == 0o700


def test_two_installations_share_no_secret():
    assert Secrets.generate() != Secrets.generate()


def test_the_stack_is_remembered(some_home):
    remembered = Stack(ports=PORTS, settings={"SCANMILL_SWEEP_SECONDS": "5"})
    home.save_stack(some_home, remembered)

    assert home.load_stack(some_home) == remembered


def test_a_broken_file_is_named_with_the_remedy(some_home):
    some_home.stack_file.write_text("{")

    with pytest.raises(FatalError, match=r"stack\.json.*\./scanmill down"):
        home.load_stack(some_home)


def test_without_a_stack_the_remedy_is_to_start_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SCANMILL_HOME", str(tmp_path))

    with pytest.raises(FatalError, match=r"\./scanmill up"):
        stack.environment()
    assert stack.addresses() is None
    assert stack.status() == {}


def test_settings_read_what_the_environment_says(variables, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings()

    assert settings.queue_url.startswith("http://127.0.0.1:")
    assert settings.ledger_url.endswith("/a home/ledger.db")
    assert settings.report_url.endswith("/scanmill/reports/")
    assert json.loads(settings.smtp_connection)["host"] == "127.0.0.1"


def test_nothing_listens_beyond_this_machine(variables):
    addresses = [value for name, value in variables.items() if "URL" in name or "HOST" in name]

    assert variables["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert not [value for value in addresses if "0.0.0.0" in value or "localhost:" in value]  # noqa: S104 - looked for, not bound


def test_what_the_caller_set_wins_and_is_remembered(some_home, monkeypatch):
    monkeypatch.setenv("SCANMILL_SWEEP_SECONDS", "7")
    monkeypatch.setenv("SCANMILL_HOME", str(some_home.root))
    remembered = Stack(ports=PORTS, settings=environment.user_settings())
    home.save_stack(some_home, remembered)
    home.load_secrets(some_home, create=True)
    monkeypatch.delenv("SCANMILL_SWEEP_SECONDS")

    assert stack.environment()["SCANMILL_SWEEP_SECONDS"] == "7"
    monkeypatch.setenv("SCANMILL_SWEEP_SECONDS", "9")
    assert stack.environment()["SCANMILL_SWEEP_SECONDS"] == "9"


def test_what_was_set_for_one_start_holds_for_the_next(some_home, monkeypatch):
    monkeypatch.setenv("SCANMILL_SWEEP_SECONDS", "7")
    stack._remember(some_home)
    monkeypatch.delenv("SCANMILL_SWEEP_SECONDS")
    monkeypatch.setenv("SCANMILL_AUDIT_SECONDS", "9")

    remembered, variables = stack._remember(some_home)

    assert remembered.settings == {"SCANMILL_SWEEP_SECONDS": "7", "SCANMILL_AUDIT_SECONDS": "9"}
    assert variables["SCANMILL_SWEEP_SECONDS"] == "7"


def test_a_home_keeps_the_store_that_it_began_with(some_home, monkeypatch):
    monkeypatch.setenv("SCANMILL_LOCAL_STORE", "seaweedfs")
    stack._remember(some_home)
    monkeypatch.setenv("SCANMILL_LOCAL_STORE", "ministack")
    with pytest.raises(FatalError, match=r"lies in \[seaweedfs\].*SCANMILL_LOCAL_STORE=seaweedfs"):
        stack._remember(some_home)
    some_home.stack_file.unlink()
    monkeypatch.delenv("SCANMILL_LOCAL_STORE")
    with pytest.raises(FatalError, match="SCANMILL_LOCAL_STORE=seaweedfs"):
        stack._remember(some_home)
    monkeypatch.setenv("SCANMILL_LOCAL_STORE", "seaweedfs")

    remembered, variables = stack._remember(some_home)

    assert variables["SCANMILL_QUEUE_URL"] == ""
    assert set(remembered.ports) == {*stack.PORTS, *seaweedfs_program.PORTS}
    assert (some_home.store / "s3.json").stat().st_mode & 0o077 == 0


def test_a_store_that_does_not_exist_is_named_with_those_that_do(some_home, monkeypatch):
    monkeypatch.setenv("SCANMILL_LOCAL_STORE", "seaweed")

    with pytest.raises(FatalError, match=r"\[seaweed\].*seaweedfs"):
        stack._remember(some_home)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="asks Linux")
def test_seaweedfs_listens_on_loopback_alone_and_on_the_ports_chosen_for_it(seaweedfs):
    word = f"-s3.port={seaweedfs.rpartition(':')[2]}".encode()
    (process,) = (
        path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if word in words_of(path)
    )
    chosen = {word for word in words_of(process / "cmdline") if b"port" in word}
    sockets = {str(link.readlink()) for link in (process / "fd").iterdir() if link.is_symlink()}
    rows = [
        row.split()
        for name in ("tcp", "tcp6")
        for row in (process / "net" / name).read_text().splitlines()[1:]
    ]
    listening = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]

    assert {address.partition(":")[0] for address in listening} == {"0100007F"}
    ports_open = {int(address.partition(":")[2], 16) for address in listening}
    assert ports_open == {int(word.partition(b"=")[2]) for word in chosen} - {0}


def words_of(path):
    try:
        return path.read_bytes().split(b"\0")
    except OSError:
        return []


@pytest.mark.parametrize(
    ("name", "value"), [("SCANMILL_SWEEP_SECOND", "5"), ("SCANMILL_SWEEP_SECONDS", "soon")]
)
def test_a_setting_that_cannot_be_meant_stops_the_start(some_home, monkeypatch, name, value):
    monkeypatch.setenv("SCANMILL_HOME", str(some_home.root))
    monkeypatch.setenv(name, value)

    with pytest.raises(FatalError, match="SWEEP_SECOND"):
        stack.up(print)

    assert not some_home.stack_file.exists()


def test_what_the_stack_itself_gave_is_no_choice(some_home, monkeypatch):
    monkeypatch.setenv("SCANMILL_HOME", str(some_home.root))
    home.save_stack(some_home, Stack(ports=PORTS))
    home.load_secrets(some_home, create=True)
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    home.save_stack(some_home, Stack(ports={**PORTS, "store": 29_999}))

    assert ":29999/" in stack.environment()["SCANMILL_QUEUE_URL"]


def test_another_airflow_of_the_caller_is_left_alone(some_home, variables, monkeypatch):
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC", "postgresql://elsewhere")
    monkeypatch.setenv("AWS_PROFILE", "work")
    inherited = environment.for_processes(some_home, Stack(ports=PORTS), variables)

    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC" not in inherited
    assert "AWS_PROFILE" not in inherited


def test_only_supervised_processes_carry_the_marker(some_home, variables):
    assert reaper.STACK_MARKER not in variables
    marked = environment.for_processes(some_home, Stack(ports=PORTS), variables)
    assert marked[reaper.STACK_MARKER] == str(some_home.root)


def test_the_env_file_gives_a_shell_the_same_variables(some_home, variables):
    environment.write_env_file(some_home, variables)
    script = '. "$1"; printf %s "$AIRFLOW_CONN_SMTP_DEFAULT"'
    said = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(some_home.env_file)], capture_output=True, check=True
    )

    assert said.stdout.decode() == variables["AIRFLOW_CONN_SMTP_DEFAULT"]
    assert stat.S_IMODE(some_home.env_file.stat().st_mode) == 0o600
