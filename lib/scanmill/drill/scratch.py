"""A stack of the drill's own: started and asked through the doors that users have."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from scanmill.drill import hooks, reader
from scanmill.errors import FatalError, RetryableError
from scanmill.ledger import Ledger
from scanmill.ledger import tables as t
from scanmill.local import environment, program, supervisor
from scanmill.local import home as homes
from scanmill.local.home import Home
from scanmill.local.provision import Store
from scanmill.local.reaper import marked

DAGS = ("ingest_images", "recognize_pages", "build_dataset", "audit_ledger", "reprocess_images")
COMMAND_SECONDS = 300
_PROGRAM = str(Path(sys.executable).with_name("scanmill"))
_TASK = re.compile(rb"airflow worker -- [0-9a-f]{8}-")
_FOREIGN = ("SCANMILL_", "AWS_", "AIRFLOW")
Json = dict[str, Any]


class Scratch:
    """One stack in a home of its own, from `up` to `down`."""

    def __init__(self, root: Path, settings: Mapping[str, str]) -> None:
        self.home = Home(root.resolve())
        self.orders = self.home.root / "drill"
        self.settings = {**settings, "SCANMILL_DRILL_FOLDER": str(self.orders)}

    def up(self) -> None:
        """Start it, or what of it is not running, and open our own doors to it."""
        said = self.type("up", settings=self.settings)
        if said.returncode:
            raise FatalError(f"The scratch stack does not start: {said.stderr[-2000:]}")
        self.connect()

    def connect(self) -> None:
        """Open our own doors to it: past the proxy, so that what we drop arrives."""
        self._stack = self._loaded()
        secrets = homes.load_secrets(self.home)
        self.variables = environment.build(self.home, self._stack, secrets)
        store = Store.of(self.variables | {"AWS_ENDPOINT_URL": environment.store_url(self._stack)})
        self.s3, self.sqs, self.bucket = store.s3, store.sqs, store.bucket
        self.ledger = Ledger(self.variables["SCANMILL_LEDGER_URL"])
        self.api = httpx.Client(base_url=environment.api_url(self._stack), timeout=60)
        login = {"username": environment.ADMIN, "password": secrets.admin_password}
        token = self.api.post("/auth/token", json=login).raise_for_status().json()
        self.api.headers["Authorization"] = f"Bearer {token['access_token']}"

    def down(self) -> list[int]:
        """Stop it and return the processes that are left all the same."""
        self.type("down")
        return self.processes()

    def store_port(self) -> int:
        """Return where its store listens, also while the stack is being started."""
        return self._loaded().ports["store"]

    def _loaded(self) -> homes.Stack:
        stack = homes.load_stack(self.home)
        if stack is None:
            raise RetryableError(f"[{self.home.stack_file}] is not there yet.")
        return stack

    # --- what the drill puts into it -------------------------------------------------------------

    def furnish(self) -> None:
        """Put the hooks, the reader and its model into the home, before the first start."""
        self.home.make()
        hooks.prepare(self.orders)
        models = self.orders / hooks.MODELS
        models.mkdir(exist_ok=True)
        self.use_model(reader.MODEL)
        command = self.orders / hooks.PROGRAM
        python, script = shlex.quote(sys.executable), shlex.quote(str(reader.__file__))
        command.write_text(f'#!/bin/sh\nexec {python} -I -S {script} "$@"\n', encoding="utf-8")
        command.chmod(0o700)

    def use_model(self, content: bytes) -> None:
        """Change the model that the reader reads with."""
        (self.orders / hooks.MODELS / "eng.traineddata").write_bytes(content)

    @contextlib.contextmanager
    def slow_reader(self) -> Iterator[None]:
        """Let the reader take long, so that it can be caught at work, until the block ends."""
        flag = self.orders / hooks.MODELS / reader.SLOW_FILE
        flag.touch()
        try:
            yield
        finally:
            flag.unlink()

    def readers(self) -> list[int]:
        """Return the readers at work; they carry no marker: their environment is empty."""
        script, ours = str(reader.__file__).encode(), str(self._stack.scratch).encode()
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and all(word in _command_line(entry) for word in (script, ours))
        ]

    # --- the command line ------------------------------------------------------------------------

    def type(
        self, *words: str, settings: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command as a person would, and return what it said."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        return subprocess.run(  # noqa: S603 - our own command
            [_PROGRAM, *words],
            env={**mine, "SCANMILL_HOME": str(self.home.root), **(settings or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )

    def ask(self, *words: str) -> Json:
        """Return what a command printed as JSON for machines."""
        said = self.type(*words, "--json")
        try:
            answer: Json = json.loads(said.stdout)
        except ValueError as error:
            raise RetryableError(f"[{' '.join(words)}] said: {said.stderr[-500:]}") from error
        return answer

    # --- processes -------------------------------------------------------------------------------

    def processes(self) -> list[int]:
        """Return every process of this stack."""
        return marked(environment.marker(self.home), kin=program.kin(self.home))

    def tasks_at_work(self) -> list[int]:
        """Return the processes of this stack in which tasks run."""
        pids = self.processes()
        return [pid for pid in pids if _TASK.search(_command_line(Path(f"/proc/{pid}")))]

    def pid(self, name: str) -> int | None:
        """Return the process of a program, as the supervisor sees it; the supervisor's own too."""
        if name == "supervisor":
            return supervisor.pid(self.home) or None
        try:
            info = supervisor.processes(self.home, self._stack).get(name, {})
        except RetryableError:
            return None
        return info.get("pid") if info.get("state") == "RUNNING" else None

    def send(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process of this stack, and to no other."""
        if pid not in self.processes():
            raise RetryableError(f"Process [{pid}] is none of this stack any more.")
        os.kill(pid, number)

    def send_if_there(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process that was one of this stack a moment ago."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    # --- Airflow ---------------------------------------------------------------------------------

    def get(self, path: str, **params: Any) -> Json:
        """Ask Airflow's REST API."""
        answer: Json = self.api.get(f"/api/v2/{path}", params=params).raise_for_status().json()
        return answer

    def tasks(self, dag_id: str, run_id: str = "~", **wanted: Any) -> list[Json]:
        """Return the task instances of one run, or of all, that are as wanted."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[Json] = self.get(path, limit=100, **wanted)["task_instances"]
        return found

    def pause(self, dag_id: str, *, is_paused: bool) -> None:
        """Pause a DAG, or let it go on."""
        body = {"is_paused": is_paused}
        self.api.patch(f"/api/v2/dags/{dag_id}", json=body).raise_for_status()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Pause every DAG until the block ends."""
        for dag_id in DAGS:
            self.pause(dag_id, is_paused=True)
        try:
            yield
        finally:
            for dag_id in DAGS:
                self.pause(dag_id, is_paused=False)

    def knows_all_dags(self) -> bool:
        """Tell whether Airflow has parsed every DAG of ours."""
        known = {dag["dag_id"] for dag in self.get("dags", limit=100)["dags"]}
        return set(DAGS) <= known

    def is_mail_taken(self) -> bool:
        """Tell whether every alert has been taken by the mail server."""
        unsent = sa.select(t.OUTBOX.c.key).where(t.OUTBOX.c.delivered_at.is_(None))
        return not self.rows(unsent)

    # --- S3 and the books ------------------------------------------------------------------------

    def read(self, key: str) -> bytes:
        """Return an object."""
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def rows(self, query: "sa.Select[Any]") -> list[Json]:
        """Return rows of the ledger."""
        with self.ledger.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def remove(self) -> None:
        """Remove the whole home."""
        shutil.rmtree(self.home.root, ignore_errors=True)


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def wait_until(is_so: Callable[[], Any], *, seconds: float) -> Any:
    """Return the first answer that is true, or the last one when the time is over."""
    deadline = time.monotonic() + seconds
    while not (answer := is_so()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer
