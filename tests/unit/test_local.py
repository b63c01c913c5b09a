"""The local stack below Airflow: ports, secrets, environment, reaping, provisioning, mail."""

import email.message
import json
import os
import signal
import smtplib
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import pytest
from ministack_server import client_options, running_ministack

from scanmill.errors import FatalError, RetryableError
from scanmill.local import environment, home, inbox, ports, reaper, stack, supervisor, template
from scanmill.local import seaweedfs as seaweedfs_program
from scanmill.local.home import Home, Secrets, Stack
from scanmill.local.provision import Store, provision, wrong
from scanmill.settings import Settings

PORTS = {name: 21_000 + number for number, name in enumerate(stack.PORTS)}


@pytest.fixture
def some_home(tmp_path, monkeypatch):
    monkeypatch.setattr(stack, "_handed_out", {})  # of another test's stack, in this process
    folder = Home(tmp_path / "a home")
    folder.make()
    return folder


@pytest.fixture
def variables(some_home):
    return environment.build(some_home, Stack(ports=PORTS), Secrets.generate())


# --- ports ---------------------------------------------------------------------------------------


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


# --- files ---------------------------------------------------------------------------------------


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


# --- environment ---------------------------------------------------------------------------------


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
    assert not [value for value in addresses if "0.0.0.0" in value or "localhost:" in value]  # noqa: S104


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


# --- reaping -------------------------------------------------------------------------------------

FAMILY = """
import signal, subprocess, sys, time
if {deaf}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print("ready", flush=True)
time.sleep(60)
"""


def start_family(markers, *, deaf=False):
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY.format(deaf=deaf)],
        env={**os.environ, **markers},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize("deaf", [False, True])
def test_the_whole_family_of_a_dead_program_is_ended(tmp_path, deaf):
    ours = {reaper.STACK_MARKER: str(tmp_path)}
    with start_family(ours, deaf=deaf) as parent:
        ended = reaper.reap(ours, grace_seconds=0.5)

    assert parent.pid in ended
    assert len(ended) == 2
    assert reaper.marked(ours) == []


def test_children_whose_parent_was_killed_are_found(tmp_path):
    ours = {reaper.STACK_MARKER: str(tmp_path)}
    with start_family(ours) as parent:
        parent.send_signal(signal.SIGKILL)
        parent.wait()

    assert len(reaper.reap(ours)) == 1


def test_another_stack_and_another_program_are_spared(tmp_path):
    other_stack = {reaper.STACK_MARKER: f"{tmp_path}-other", reaper.PROGRAM_MARKER: "store"}
    other_program = {reaper.STACK_MARKER: str(tmp_path), reaper.PROGRAM_MARKER: "mail"}
    with start_family(other_stack) as first, start_family(other_program) as second:
        reaped = reaper.reap({reaper.STACK_MARKER: str(tmp_path), reaper.PROGRAM_MARKER: "store"})

        assert reaped == []
        assert first.poll() is None
        assert second.poll() is None
        reaper.reap(other_stack)
        reaper.reap(other_program)


def test_the_one_who_reaps_is_spared(tmp_path):
    ours = {reaper.STACK_MARKER: str(tmp_path)}
    script = f"from scanmill.local.reaper import reap; print(reap({ours!r}))"
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **ours},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.strip() == "[]"


HIDING = """
import ctypes, os, sys, time
if os.fork():
    time.sleep(60)
os.setpgid(0, 0)
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE, as Airflow does around its tasks
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.geteuid() == 0, reason="root sees the environment of every process")
def test_a_process_that_hides_its_environment_is_found_by_its_session():
    leader = subprocess.Popen(
        [sys.executable, "-c", HIDING], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    hidden = int(leader.stdout.readline())
    nobody = {reaper.STACK_MARKER: "of nobody"}
    strange = reaper.marked(nobody, kin=reaper.Kin(session=leader.pid, group=leader.pid))
    leader.kill()
    leader.wait()

    assert strange == []  # its parent lives, and its group is another
    assert reaper.marked(nobody) == []
    assert reaper.reap(nobody, kin=reaper.Kin(session=leader.pid)) == [hidden]


# --- supervisor ----------------------------------------------------------------------------------


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


# --- the store -----------------------------------------------------------------------------------


def store_at(endpoint, queue="scanmill-landing"):
    options = client_options(endpoint)
    return Store.of(
        {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": options["region_name"],
            "AWS_ACCESS_KEY_ID": options["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": options["aws_secret_access_key"],
            "SCANMILL_BUCKET": "scanmill",
            "SCANMILL_QUEUE_URL": queue and f"{endpoint}/000000000000/{queue}",
        }
    )


def bodies(store):
    answer = store.sqs.receive_message(QueueUrl=store.queue_url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


def test_a_fresh_store_is_provisioned_once(tmp_path):
    with running_ministack(tmp_path) as endpoint:
        store = store_at(endpoint)

        assert provision(store) == ["bucket", "versioning", "queue", "notification"]
        assert provision(store) == []
        assert wrong(store) == []


def test_only_uploads_ring_the_bell(tmp_path):
    with running_ministack(tmp_path) as endpoint:
        store = store_at(endpoint)
        provision(store)
        store.s3.put_object(Bucket="scanmill", Key="batches/plan", Body=b"1")
        store.s3.put_object(Bucket="scanmill", Key="landing/c/a.png", Body=b"1")
        store.s3.delete_object(Bucket="scanmill", Key="landing/c/a.png")
        heard = [record for body in bodies(store) for record in body.get("Records", [])]

    assert [record["s3"]["object"]["key"] for record in heard] == ["landing/c/a.png"] * 2


@pytest.mark.parametrize("broken", ["versioning", "queue", "notification"])
def test_what_somebody_undid_is_set_again(tmp_path, broken):
    with running_ministack(tmp_path) as endpoint:
        store = store_at(endpoint)
        provision(store)
        undo(store, broken)
        changed = provision(store)

        assert broken in changed
        assert wrong(store) == []


def undo(store, what):
    if what == "versioning":
        store.s3.put_bucket_versioning(
            Bucket="scanmill", VersioningConfiguration={"Status": "Suspended"}
        )
    elif what == "queue":
        store.sqs.delete_queue(QueueUrl=store.queue_url)
    else:
        store.s3.put_bucket_notification_configuration(
            Bucket="scanmill", NotificationConfiguration={}
        )


def test_without_a_queue_nothing_is_notified(tmp_path):
    with running_ministack(tmp_path) as endpoint:
        store = store_at(endpoint, queue="")

        assert provision(store) == ["bucket", "versioning"]


def test_a_store_that_is_away_is_worth_another_try():
    with pytest.raises(RetryableError, match="scanmill"):
        provision(store_at("http://127.0.0.1:9"))


def test_the_server_of_these_tests_is_gone_afterwards(tmp_path):
    with running_ministack(tmp_path) as endpoint:
        port = int(endpoint.rpartition(":")[2])
        assert ports.is_listening(port)

    assert not ports.is_listening(port)


# --- mail ----------------------------------------------------------------------------------------


@pytest.fixture
def mail_server(some_home):
    port = ports.choose(["mail"], {})["mail"]
    process = subprocess.Popen(
        [sys.executable, "-m", "scanmill.local.mail"],
        env={
            **os.environ,
            "SCANMILL_HOME": str(some_home.root),
            "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps({"port": port}),
        },
    )
    deadline = time.monotonic() + 20
    while not ports.is_listening(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    yield types.SimpleNamespace(port=port, folder=some_home.mail)
    process.terminate()
    assert process.wait(timeout=10) == 0


def send(port, subject, text, *, html=None):
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = "mill@localhost", "you@localhost", subject
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost") as client:
        client.send_message(message)


def test_what_is_sent_can_be_read_newest_first(mail_server):
    send(mail_server.port, "first", "one\n")
    send(mail_server.port, "second: été {{ 7*7 }}", "two é\n", html="<script>alert(1)</script>")
    second, first = inbox.messages(mail_server.folder)

    assert (first.subject, first.text, first.to) == ("first", "one\n", "you@localhost")
    assert (second.subject, second.text) == ("second: été {{ 7*7 }}", "two é\n")
    assert inbox.message(mail_server.folder, first.id) == first
    assert stat.S_IMODE(mail_server.folder.stat().st_mode) == 0o700


def test_an_id_is_never_a_path(mail_server):
    send(mail_server.port, "first", "one\n")

    assert inbox.message(mail_server.folder, "../../secrets.json") is None


def test_no_maildir_yet_is_an_empty_inbox(tmp_path):
    assert inbox.messages(tmp_path / "none") == []


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
