"""A program behind walls that stays, and answers one question after the other."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scanmill import sandbox
from scanmill.errors import PAGE_NOTE
from scanmill.sandbox import walls
from scanmill.sandbox.scratch import marked, scratch

_ANSWER_BYTES = 64 << 20
_PIECE_BYTES = 1 << 16
_START_SECONDS = 120
_LAST_SECONDS = 5  # to end by itself after it closed its channel, so that its status tells why


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a worker ended that gave no answer."""

    status: int
    is_timeout: bool
    errors: str
    note: str = ""
    """The number of the page that it was at, where it left that behind."""


class Worker:
    """One child, alive until it dies, is ended, or the thread that started it ends.

    It sees its own program and models, and of the files it is asked about an open descriptor: not
    a path, and not the files of other questions.
    """

    def __init__(
        self,
        program: Sequence[str],
        *,
        limits: sandbox.Limits,
        environment: Mapping[str, str],
        reads: Sequence[Path],
    ) -> None:
        """Start the program; `greet` waits until it is ready."""
        stack = contextlib.ExitStack()
        self.home = stack.enter_context(scratch())
        """Where it may write; gone when it ends."""
        self._channel, theirs = socket.socketpair()
        stack.enter_context(self._channel)
        argv = sandbox.wrapped(
            program, limits=limits, environment=environment, home=self.home, reads=reads
        )
        with theirs, (self.home / "errors").open("wb") as errors:
            self._child = subprocess.Popen(  # noqa: S603 - running others' programs is the job
                argv,
                stdin=theirs.fileno(),
                stdout=errors,
                stderr=errors,
                cwd=self.home,
                env=marked(self.home),
                start_new_session=True,
            )
        self._unread = b""
        self.questions = 0
        """How many it was asked."""
        self.end = weakref.finalize(self, _end, os.getpid(), self._child, self.home, stack)

    def greet(self) -> dict[str, Any] | Death:
        """Return what the program says when it is ready."""
        return self._answer(_START_SECONDS)

    def ask(
        self, question: Mapping[str, Any], *, file: Path, cpu_seconds: int
    ) -> dict[str, Any] | Death:
        """Return the answer to a question about a file, or how the program died of it."""
        self.questions += 1
        message = json.dumps({**question, "cpu_seconds": cpu_seconds}).encode() + b"\n"
        with file.open("rb") as opened, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self._channel, [message], [opened.fileno()])
        return self._answer(sandbox.WALL_FACTOR * cpu_seconds)

    def _answer(self, seconds: float) -> dict[str, Any] | Death:
        deadline = time.monotonic() + seconds
        pieces = [self._unread]
        size = 0
        while b"\n" not in pieces[-1]:
            self._channel.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                piece = self._channel.recv(_PIECE_BYTES)
            except TimeoutError:
                return self._death(is_late=True)
            except ConnectionResetError:
                piece = b""
            size += len(piece)
            if not piece or size > _ANSWER_BYTES:
                return self._death(is_late=False)
            pieces.append(piece)
        line, _, self._unread = b"".join(pieces).partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _death(self, *, is_late: bool) -> Death:
        if not is_late:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_LAST_SECONDS)
        _kill(self._child)
        status = walls.ended_as(self._child.returncode)
        death = Death(
            status=status,
            is_timeout=is_late or sandbox.is_cpu_death(status),
            errors=sandbox.tail(self.home / "errors"),
            note=sandbox.tail(self.home / PAGE_NOTE),
        )
        self.end()
        sandbox.require_room(self.home.parent)
        return death


def _end(
    owner: int, child: "subprocess.Popen[bytes]", home: Path, stack: contextlib.ExitStack
) -> None:
    if os.getpid() != owner:  # a fork of the process that has the worker, and uses it still
        return
    _kill(child)
    sandbox.sweep(home)
    stack.close()


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """End a child and its group, and reap it: until then nobody else can get its number."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
