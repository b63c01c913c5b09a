"""Run an untrusted native program so that it can neither hurt nor stall its caller."""

import contextlib
import dataclasses
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from scanmill.errors import RetryableError
from scanmill.sandbox import walls
from scanmill.sandbox.scratch import end_strays, marked, scratch

__all__ = ["scratch"]

WALL_FACTOR = 6
"""Wall clock per CPU second: on a loaded machine 5 CPU seconds were seen to take 18.5 s."""

CPU_SIGNALS = frozenset({signal.SIGXCPU, signal.SIGPROF, signal.SIGVTALRM})
"""Deaths that mean "too slow": the CPU limit, and timers that a child set for itself."""

_ERROR_BYTES = 4096
_ROOM_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a child may use; the CPU limit gives the verdict, the wall clock is the back-stop."""

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int = 64 << 20
    open_files: int = 64

    @property
    def wall_seconds(self) -> float:
        """When to stop waiting for a child that uses no CPU."""
        return WALL_FACTOR * self.cpu_seconds


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a child ended; `status` is its exit status, or the negative number of its signal."""

    status: int
    is_timeout: bool
    output: bytes
    errors: str


def require_room(folder: Path) -> None:
    """Refuse to blame a program for what it could not do on a full disk.

    Raises:
        RetryableError: the disk that this folder lies on is full.
    """
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < _ROOM_BYTES:
        raise RetryableError(f"The disk under [{folder}] is full. Make room; it goes on by itself.")


def run(
    program: Sequence[str],
    *,
    limits: Limits,
    environment: Mapping[str, str] | None = None,
    reads: Sequence[Path] = (),
) -> Outcome:
    """Run a program to its end behind walls; nothing it started is left alive.

    It sees the system, Python, `reads` and a folder of its own, where it starts.

    Raises:
        RetryableError: it failed, and the disk is full.
    """
    with scratch() as home:
        argv = wrapped(
            program,
            limits=limits,
            environment=environment or {},
            home=home,
            reads=reads,
        )
        # Files, not pipes: a flood hits the file limit, never our memory.
        with (home / "output").open("wb") as output, (home / "errors").open("wb") as errors:
            child = subprocess.Popen(  # noqa: S603 - running others' programs is the job
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=home,
                env=marked(home),
                start_new_session=True,
            )
            is_late = _wait(child, limits.wall_seconds)
        sweep(home)
        status = walls.ended_as(child.returncode)
        if status:
            require_room(home)
        return Outcome(
            status=status,
            is_timeout=is_late or is_cpu_death(status),
            output=(home / "output").read_bytes(),
            errors=tail(home / "errors"),
        )


def wrapped(
    program: Sequence[str],
    *,
    limits: Limits,
    environment: Mapping[str, str],
    home: Path,
    reads: Sequence[Path] = (),
) -> list[str]:
    """Return the command that runs a program behind walls, bound to its parent's life.

    Its environment is a fresh one: what is not passed here, secrets above all, is not in it.
    """
    return walls.command(
        program,
        limits=limits,
        environment={"LC_ALL": "C.UTF-8", **environment, "TMPDIR": str(home), **marked(home)},
        reads=reads,
        home=home,
    )


def sweep(home: Path) -> None:
    """End what a call with this home left alive; behind bubblewrap it took all that with it."""
    if walls.bubblewrap() is None:
        end_strays(home)


def is_cpu_death(status: int) -> bool:
    """Tell whether a child was ended because it used up its CPU time."""
    return -status in CPU_SIGNALS


def ending(status: int) -> str:
    """Say in words how a child ended."""
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-status).name}"
    return f"killed by signal {-status}"


def tail(path: Path) -> str:
    """Return the end of what a child wrote to a file."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _ERROR_BYTES))
        return file.read().decode("utf-8", "replace").strip()


def _wait(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a child, end its whole group, reap it; tell whether it was late.

    The group is killed before the child is reaped: until then nobody else can get its number.
    """
    descriptor = os.pidfd_open(child.pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(descriptor)
    return not ended
