"""A stack of the drill's own: it obeys the drill's orders, and reads with the drill's reader."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from scanmill.drill import hooks, reader
from scanmill.drill.own_stack import DAGS, Json, OwnStack
from scanmill.errors import RetryableError
from scanmill.ledger import tables as t

_TASK = re.compile(rb"airflow worker -- [0-9a-f]{8}-")
_IDLE = re.compile(rb"airflow worker -- LocalExecutor: <idle>")


class Scratch(OwnStack):
    """A stack that obeys the drill's orders."""

    def __init__(self, root: Path, settings: Mapping[str, str]) -> None:
        super().__init__(root, settings)
        self.orders = self.home.root / "drill"
        self.settings["SCANMILL_DRILL_FOLDER"] = str(self.orders)

    def store_port(self) -> int:
        """Return where its store listens, also while the stack is being started."""
        return self._loaded().ports["store"]

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

    def ask(self, *words: str) -> Json:
        """Return what a command printed as JSON for machines."""
        said = self.type(*words, "--json")
        try:
            answer: Json = json.loads(said.stdout)
        except ValueError as error:
            raise RetryableError(f"[{' '.join(words)}] said: {said.stderr[-500:]}") from error
        return answer

    # --- processes -------------------------------------------------------------------------------

    def tasks_at_work(self) -> list[int]:
        """Return the processes of this stack in which tasks run."""
        return self._titled(_TASK)

    def idle_workers(self) -> list[int]:
        """Return the processes of the executor that wait for a task."""
        return self._titled(_IDLE)

    def _titled(self, title: re.Pattern[bytes]) -> list[int]:
        pids = self.processes()
        return [pid for pid in pids if title.search(_command_line(Path(f"/proc/{pid}")))]

    def send_if_there(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process that was one of this stack a moment ago."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    # --- Airflow ---------------------------------------------------------------------------------

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
        return set(DAGS) <= self.known_dags()

    def is_mail_taken(self) -> bool:
        """Tell whether every alert has been taken by the mail server."""
        unsent = sa.select(t.OUTBOX.c.key).where(t.OUTBOX.c.delivered_at.is_(None))
        return not self.rows(unsent)

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
