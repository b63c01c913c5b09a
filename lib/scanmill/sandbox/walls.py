"""The command that a program is wrapped in: limits always, and bubblewrap where it works.

Traps of the parent-death signal, for whoever changes this: it follows the *thread* that started the
child, so that thread has to wait for it; a fork does not inherit it (hence the marker of
`scratch`); a set-user-id program clears it; a parent that dies before `setpriv` ran is not noticed,
and then only the CPU limit is left.
"""

import functools
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scanmill.errors import FatalError

if TYPE_CHECKING:
    from scanmill.sandbox import Limits

_TOOLS = ("prlimit", "setpriv", "env")
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache")
_PACKAGE = Path(__file__).parents[2]
_PROBE_SECONDS = 10
_SIGNAL_BASE = 128


@functools.cache
def bubblewrap() -> str | None:
    """Return the path of bubblewrap if it works here: user namespaces may be refused."""
    path = shutil.which("bwrap")
    if path is None:
        return None
    probe = [path, *_namespaces(), *_mounts(()), "--", "/usr/bin/env", "true"]
    try:
        done = subprocess.run(probe, capture_output=True, timeout=_PROBE_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return None
    return path if done.returncode == 0 else None


def command(
    program: Sequence[str],
    *,
    limits: "Limits",
    environment: Mapping[str, str],
    reads: Sequence[Path],
    home: Path,
) -> list[str]:
    """Return the command that runs a program behind the walls that there are."""
    prlimit, setpriv, env = _tools()
    cpu = _attainable(limits.cpu_seconds, resource.RLIMIT_CPU)
    limited = [
        prlimit,
        f"--as={_attainable(limits.memory_bytes, resource.RLIMIT_AS)}",
        # With one number for both, the kernel sends SIGKILL instead of the telling SIGXCPU.
        f"--cpu={cpu}:{_attainable(cpu + 2, resource.RLIMIT_CPU)}",
        f"--fsize={_attainable(limits.file_bytes, resource.RLIMIT_FSIZE)}",
        f"--nofile={_attainable(limits.open_files, resource.RLIMIT_NOFILE)}",
        "--core=0",
        "--",
    ]
    clean = [env, "-i", *(f"{name}={value}" for name, value in environment.items())]
    bwrap = bubblewrap()
    if bwrap is None:
        return [*limited, setpriv, "--no-new-privs", "--pdeathsig", "KILL", *clean, *program]
    walled = [bwrap, *_namespaces(), *_mounts(reads), "--bind", str(home), str(home)]
    walled += ["--chdir", str(home), "--"]
    return [*limited, setpriv, "--pdeathsig", "KILL", *walled, *clean, *program]


def ended_as(status: int) -> int:
    """Return an exit status, or the negative number of the signal that bubblewrap tells of."""
    is_signal = bubblewrap() is not None and status > _SIGNAL_BASE
    return _SIGNAL_BASE - status if is_signal else status


def _namespaces() -> list[str]:
    """Return what cuts a program off: no network, no other processes, nothing left when it ends."""
    return ["--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]


def _mounts(reads: Sequence[Path]) -> list[str]:
    """Return all that a program can see: the system, Python, and what the call is about."""
    python = {Path(sys.prefix), Path(sys.base_prefix), _PACKAGE}
    seen = [*_SYSTEM, *sorted(map(str, python)), *map(str, reads)]
    words = ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 - theirs alone
    for path in dict.fromkeys(seen):
        words += ["--ro-bind-try", path, path]
    return words


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
