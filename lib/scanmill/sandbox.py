"""Run an untrusted native program so that it can neither hurt nor stall its caller.

Traps of the parent-death signal, for whoever changes this: it follows the *thread* that started the
child, so that thread has to wait for it; a fork does not inherit it (hence the kill of the group);
a set-user-id program clears it; a parent that dies before `setpriv` ran is not noticed, and then
only the CPU limit is left.
"""

import contextlib
import dataclasses
import functools
import os
import resource
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from scanmill.errors import FatalError, RetryableError

WALL_FACTOR = 6
"""Wall clock per CPU second: on a loaded machine 5 CPU seconds were seen to take 18.5 s."""

CPU_SIGNALS = frozenset({signal.SIGXCPU, signal.SIGPROF})
"""Deaths that mean "too slow": the CPU limit, and a timer that a child set for itself."""

_TOOLS = ("prlimit", "setpriv", "env")
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
    program: Sequence[str], *, limits: Limits, environment: Mapping[str, str] | None = None
) -> Outcome:
    """Run a program to its end under limits; nothing it started is left alive.

    Raises:
        RetryableError: it failed, and the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="scanmill-") as work:
        home = Path(work)
        argv = wrapped(program, limits=limits, environment={"TMPDIR": work, **(environment or {})})
        # Files, not pipes: a flood hits the file limit, never our memory.
        with (home / "output").open("wb") as output, (home / "errors").open("wb") as errors:
            child = subprocess.Popen(  # noqa: S603 - running others' programs is the job
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=work,
                start_new_session=True,
            )
            is_late = _wait(child, limits.wall_seconds)
        if child.returncode:
            require_room(home)
        return Outcome(
            status=child.returncode,
            is_timeout=is_late or is_cpu_death(child.returncode),
            output=(home / "output").read_bytes(),
            errors=tail(home / "errors"),
        )


def wrapped(program: Sequence[str], *, limits: Limits, environment: Mapping[str, str]) -> list[str]:
    """Return the command that runs a program under limits, bound to its parent's life.

    Its environment is a fresh one: what is not passed here, secrets above all, is not in it.
    """
    prlimit, setpriv, env = _tools()
    variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **environment}
    cpu = _attainable(limits.cpu_seconds, resource.RLIMIT_CPU)
    return [
        prlimit,
        f"--as={_attainable(limits.memory_bytes, resource.RLIMIT_AS)}",
        # With one number for both, the kernel sends SIGKILL instead of the telling SIGXCPU.
        f"--cpu={cpu}:{_attainable(cpu + 2, resource.RLIMIT_CPU)}",
        f"--fsize={_attainable(limits.file_bytes, resource.RLIMIT_FSIZE)}",
        f"--nofile={_attainable(limits.open_files, resource.RLIMIT_NOFILE)}",
        "--core=0",
        "--",
        *(setpriv, "--no-new-privs", "--pdeathsig", "KILL"),
        *(env, "-i", *(f"{name}={value}" for name, value in variables.items())),
        *program,
    ]


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


def _attainable(wanted: int, limit: int) -> int:
    """Return the limit that we may set: an unprivileged process cannot go above its own."""
    hard = resource.getrlimit(limit)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


@functools.cache
def _tools() -> tuple[str, ...]:
    paths = tuple(shutil.which(tool) for tool in _TOOLS)
    found = tuple(path for path in paths if path)
    if len(found) < len(_TOOLS):
        missing = [tool for tool, path in zip(_TOOLS, paths, strict=True) if not path]
        raise FatalError(
            f"Programs {missing} not found: they keep broken images from stalling a run. "
            "Install them: apt-get install util-linux"
        )
    return found
