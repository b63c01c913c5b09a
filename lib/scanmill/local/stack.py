"""The stack as the command line knows it: up, down, status, addresses, environment."""

import contextlib
import dataclasses
import datetime as dt
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scanmill.errors import FatalError, RetryableError
from scanmill.local import environment as environments
from scanmill.local import health, ports, program, seaweedfs, supervisor, template
from scanmill.local import home as homes
from scanmill.local.home import Home, Stack
from scanmill.local.program import STORE
from scanmill.local.provision import Store, provision
from scanmill.local.reaper import PROGRAM_MARKER, reap
from scanmill.settings import Settings

Report = Callable[[str], None]

PORTS = ("store", "mail", "api", "worker_log", "trigger_log")
STORE_SECONDS = 30
HEALTH_SECONDS = 180
_SETTLED = "settled"

_handed_out: dict[str, str] = {}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything of a running stack is."""

    airflow_url: str
    airflow_user: str
    airflow_password: str
    s3_endpoint: str
    bucket: str
    queue_url: str
    inbox_url: str
    reports_url: str
    home: str
    logs: str


def up(report: Report) -> Addresses:
    """Start whatever of the stack is not running, and return when all of it is well.

    Raises:
        FatalError: a setting is wrong, or something does not come up; says what to look at.
    """
    Settings.load()  # a wrong one would let every DAG fail, behind a stack that looks well
    home = homes.locate()
    home.make()
    with _only_one(home, report):
        if supervisor.pid(home):
            _complete(home, report)
        else:
            _start(home, report)
        where = addresses()
    if where is None:
        raise FatalError(f"[{home.stack_file}] vanished during the start. Type: ./scanmill up")
    return where


def down(report: Report) -> None:
    """Stop the stack and leave no process of it behind."""
    home = homes.locate()
    if not home.root.exists():
        report("Nothing to stop: this stack was never started")
        return
    with _only_one(home, report):
        report("Stopping the stack")
        left = supervisor.stop(home)
        stack = homes.load_stack(home)
        if stack:
            shutil.rmtree(stack.scratch, ignore_errors=True)
            seaweedfs.tidy(stack)
        report(f"Stopped ({len(left)} left over were ended)" if left else "Stopped")


def status() -> dict[str, dict[str, Any]]:
    """Return state and process id of each program; empty when the stack is down."""
    home = homes.locate()
    stack = homes.load_stack(home)
    return supervisor.processes(home, stack) if stack else {}


def addresses() -> Addresses | None:
    """Return where everything is, or None when the stack is not running."""
    home = homes.locate()
    stack = homes.load_stack(home)
    if stack is None or not supervisor.pid(home):
        return None
    variables, airflow = environment(), environments.api_url(stack)
    return Addresses(
        airflow_url=airflow,
        airflow_user=environments.ADMIN,
        airflow_password=homes.load_secrets(home).admin_password,
        s3_endpoint=variables["AWS_ENDPOINT_URL"],
        bucket=variables["SCANMILL_BUCKET"],
        queue_url=variables["SCANMILL_QUEUE_URL"],
        inbox_url=f"{airflow}/scanmill/inbox",
        reports_url=f"{airflow}/scanmill/reports/",
        home=str(home.root),
        logs=str(home.logs),
    )


def environment() -> dict[str, str]:
    """Return the variables with which settings, boto3 and Airflow's commands find the stack.

    What the caller set himself wins over what the stack was started with.
    """
    home = homes.locate()
    stack = homes.load_stack(home)
    if stack is None:
        raise FatalError(f"No local stack in [{home.root}]. Start it: ./scanmill up")
    variables = environments.build(home, stack, homes.load_secrets(home))
    asked = _asked(variables)
    _handed_out.update(variables)
    return {**variables, **asked}


# --- starting ------------------------------------------------------------------------------------


def _start(home: Home, report: Report) -> None:
    """Start everything from nothing; what a killed stack left behind is ended first."""
    began = dt.datetime.now(dt.UTC)
    if left := reap(environments.marker(home), kin=program.kin(home)):
        report(f"Ended {len(left)} processes that an earlier stack left behind")
    stack, variables = _remember(home)
    if stack.store == homes.MINISTACK and not (home.store / _SETTLED).exists():
        report("Making bucket and queue")
        _settle_store(home, stack, variables)
    if template.prepare(home, environments.for_processes(home, stack, variables)):
        report("Airflow's database was brought up to date")
    report("Starting S3, mail and Airflow")
    supervisor.start(home, stack, variables)
    _provision_running(stack, variables)
    _wait_until_well(home, stack, began, report)


def _remember(home: Home) -> tuple[Stack, dict[str, str]]:
    """Settle ports, settings and secrets, and write all files that tell others about them."""
    last = homes.load_stack(home)
    secrets = homes.load_secrets(home, create=True)
    defaults = environments.build(home, Stack(ports=last.ports), secrets) if last else {}
    if last:
        shutil.rmtree(last.scratch, ignore_errors=True)
    settings = {**(last.settings if last else {}), **_asked(defaults)}
    store = _settle_which_store(home, Stack(ports={}, settings=settings))
    names = (*PORTS, *(seaweedfs.PORTS if store == homes.SEAWEEDFS else ()))
    stack = Stack(
        ports=ports.choose(names, last.ports if last else {}),
        settings=settings,
        scratch=str(supervisor.make_scratch(home)),
    )
    if store == homes.SEAWEEDFS:
        seaweedfs.prepare(home, secrets)
    variables = environments.build(home, stack, secrets)
    homes.save_stack(home, stack)
    environments.write_env_file(home, variables)
    homes.write_private(home.airflow_settings, environments.local_settings(stack))
    homes.write_private(
        home.airflow / "passwords.json", json.dumps({environments.ADMIN: secrets.admin_password})
    )
    return stack, variables


def _settle_which_store(home: Home, stack: Stack) -> str:
    """Return the S3 server of this home; it is chosen once, because another one sees nothing of it.

    Raises:
        FatalError: there is no such server, or the home has another one.
    """
    if stack.store not in homes.STORES:
        raise FatalError(
            f"There is no store [{stack.store}]. Set SCANMILL_LOCAL_STORE to one of {homes.STORES}"
        )
    note = home.store / "server"
    before = note.read_text(encoding="utf-8") if note.exists() else ""
    if not before and (home.store / _SETTLED).exists():
        before = homes.MINISTACK  # it was the only one
    if before not in {"", stack.store}:
        raise FatalError(
            f"What landed in [{home.root}] lies in [{before}], and [{stack.store}] cannot see it. "
            f"Set SCANMILL_LOCAL_STORE={before}, or SCANMILL_HOME to another folder."
        )
    homes.write_private(note, stack.store)
    return stack.store


def _settle_store(home: Home, stack: Stack, variables: dict[str, str]) -> None:
    """Run the store once, provision it and stop it cleanly.

    Killed before its first clean stop, ministack forgets versioning, notification and queue.
    """
    marker = {**environments.marker(home), PROGRAM_MARKER: STORE}
    with (home.logs / "store.log").open("ab") as log:
        store = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "scanmill.local.program", STORE],
            env=environments.for_processes(home, stack, variables),
            cwd=home.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _provision_running(stack, variables)
        store.terminate()
        store.wait(timeout=STORE_SECONDS)
    finally:
        reap(marker)
    if not (home.store / "state" / "s3.json").exists():
        raise FatalError(f"The store kept nothing; see {home.logs}/store.log")
    (home.store / _SETTLED).touch()


def _provision_running(stack: Stack, variables: dict[str, str]) -> None:
    """Provision the store as soon as it answers: it may listen before it can serve."""
    deadline, port = time.monotonic() + STORE_SECONDS, stack.ports["store"]
    while True:
        try:
            if ports.is_listening(port):
                provision(Store.of(variables))
                return
        except RetryableError:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise FatalError(f"The store does not answer on port [{port}]; see logs/store.log")
        time.sleep(0.05)


def _complete(home: Home, report: Report) -> None:
    """Bring back what is missing of a stack that runs."""
    stack = homes.load_stack(home)
    if stack is None:
        raise FatalError(f"[{home.stack_file}] is gone. Type: ./scanmill down, then ./scanmill up")
    variables = environments.build(home, stack, homes.load_secrets(home))
    if others := sorted(_asked(variables)):
        report(f"Already up without {', '.join(others)}; ./scanmill down first to apply them")
    if missing := supervisor.start_missing(home, stack):
        report(f"Starting {', '.join(missing)}")
    _provision_running(stack, variables)
    _wait_until_well(home, stack, dt.datetime.now(dt.UTC) - dt.timedelta(seconds=30), report)


def _asked(defaults: dict[str, str]) -> dict[str, str]:
    """Return the settings that the caller chose himself.

    What this stack gave him, through its env file or through `environment`, is no choice of his:
    remembered as one, it would outlive the ports in it.
    """
    return {
        name: value
        for name, value in environments.user_settings().items()
        if value not in {defaults.get(name), _handed_out.get(name)}
    }


def _wait_until_well(home: Home, stack: Stack, since: dt.datetime, report: Report) -> None:
    deadline, told = time.monotonic() + HEALTH_SECONDS, ""
    while missing := health.missing(stack.ports["api"], since=since):
        if not supervisor.pid(home):
            raise FatalError(f"The supervisor ended; see {home.logs}/supervisor.log")
        if time.monotonic() > deadline:
            raise FatalError(f"Not up after {HEALTH_SECONDS} s: {missing}; see {home.logs}")
        if (now := ", ".join(missing)) != told:
            report(f"Waiting for {now}")
            told = now
        time.sleep(0.3)


@contextlib.contextmanager
def _only_one(home: Home, report: Report) -> Iterator[None]:
    """Hold the stack's lock; a second one waits until the first is through."""
    home.make()
    with _open_lock(home.lock_file) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("Another start or stop of this stack is at work: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _open_lock(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "w")
