"""A stack in a home of its own, started and asked through the doors that users have.

The drill breaks such a stack; the tests of the running stack ask one.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
import tenacity

from scanmill.errors import FatalError, RetryableError
from scanmill.ledger import Ledger
from scanmill.local import environment, program, supervisor
from scanmill.local import home as homes
from scanmill.local.home import Home
from scanmill.local.provision import Store
from scanmill.local.reaper import marked

DAGS = ("ingest_images", "recognize_pages", "build_dataset", "audit_ledger", "reprocess_images")
_PROGRAM = str(Path(sys.executable).with_name("scanmill"))
_FOREIGN = ("SCANMILL_", "AWS_", "AIRFLOW")
Json = dict[str, Any]


class OwnStack:
    """One stack, from `up` to `down`."""

    command_seconds = 300
    """How long a command may take."""

    def __init__(self, root: Path, settings: Mapping[str, str]) -> None:
        self.home = Home(root.resolve())
        self.settings = dict(settings)

    def up(self) -> None:
        """Start it, or what of it is not running, and open our own doors to it."""
        said = self.type("up", settings=self.settings)
        if said.returncode:
            raise FatalError(f"The stack does not start: {said.stderr[-2000:]}")
        self.connect()

    def connect(self) -> None:
        """Open our own doors to it; to the store itself, whatever stands before that."""
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

    def _loaded(self) -> homes.Stack:
        stack = homes.load_stack(self.home)
        if stack is None:
            raise RetryableError(f"[{self.home.stack_file}] is not there yet.")
        return stack

    # --- the command line ------------------------------------------------------------------------

    def type(
        self, *words: str, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a person would, and return what it said."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        return subprocess.run(  # noqa: S603 - our own command
            [_PROGRAM, *words],
            env={**mine, "SCANMILL_HOME": str(self.home.root), **(settings or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=self.command_seconds,
        )

    # --- processes -------------------------------------------------------------------------------

    def processes(self) -> list[int]:
        """Return every process of this stack."""
        return marked(environment.marker(self.home), kin=program.kin(self.home))

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

    # --- Airflow ---------------------------------------------------------------------------------

    def get(self, path: str, **params: Any) -> Json:
        """Ask Airflow's REST API."""
        answer: Json = self.api.get(f"/api/v2/{path}", params=params).raise_for_status().json()
        return answer

    def known_dags(self) -> set[str]:
        """Return the DAGs that Airflow has parsed."""
        return {dag["dag_id"] for dag in self.get("dags", limit=100)["dags"]}

    def tasks(self, dag_id: str, run_id: str = "~", **wanted: Any) -> list[Json]:
        """Return the task instances of one run, or of all, that are as wanted."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[Json] = self.get(path, limit=100, **wanted)["task_instances"]
        return found

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(httpx.HTTPStatusError),
        wait=tenacity.wait_fixed(1),
        stop=tenacity.stop_after_attempt(5),
        reraise=True,
    )
    def pause(self, dag_id: str, *, is_paused: bool) -> None:
        """Pause a DAG, or let it go on.

        On SQLite, Airflow answers 500 when others wrote while it was at it.
        """
        body = {"is_paused": is_paused}
        self.api.patch(f"/api/v2/dags/{dag_id}", json=body).raise_for_status()

    # --- S3 and the books ------------------------------------------------------------------------

    def read(self, key: str) -> bytes:
        """Return an object."""
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def rows(self, query: sa.Select[Any]) -> list[Json]:
        """Return rows of the ledger."""
        with self.ledger.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]
