"""Finds the processes of one stack by a marker in their environment, and ends them.

A supervisor does not end the children of a program that died, and after kill -9 nobody does.
Standard library only: it runs before every start of every program.
"""

import contextlib
import os
import signal
import time
from collections.abc import Collection, Mapping
from pathlib import Path

STACK_MARKER = "SCANMILL_STACK"
PROGRAM_MARKER = "SCANMILL_PROGRAM"


def marked(markers: Mapping[str, str], *, groups: Collection[int] = ()) -> list[int]:
    """Return our own user's processes that carry all markers, without us and our ancestors.

    Airflow hides the environment of whoever runs its tasks, from everybody but root. Such a
    process counts when it is in one of these process groups: those that our programs were given.
    """
    spared = _ancestors()
    wanted = {f"{name}={value}".encode() for name, value in markers.items()}
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return sorted(
        pid
        for pid in pids
        if pid not in spared and (wanted <= _environment(pid) or _is_hidden_in(pid, groups))
    )


def reap(
    markers: Mapping[str, str], *, groups: Collection[int] = (), grace_seconds: float = 5
) -> list[int]:
    """End every process that carries all markers, and return their ids.

    They are asked first; who is still there after the grace is killed, again and again until a
    look at the process table finds none, because a dying process may still start another.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + grace_seconds
    while found := marked(markers, groups=groups):
        late = time.monotonic() > deadline
        for pid in found:
            if late or pid not in ended:
                _send(pid, signal.SIGKILL if late else signal.SIGTERM)
        ended.update(found)
        time.sleep(0.05)
    return sorted(ended)


def is_marked(pid: int, markers: Mapping[str, str]) -> bool:
    """Tell whether this process is alive and carries all markers."""
    return {f"{name}={value}".encode() for name, value in markers.items()} <= _environment(pid)


def _environment(pid: int) -> set[bytes]:
    try:
        if Path(f"/proc/{pid}").stat().st_uid != os.geteuid():
            return set()
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def _is_hidden_in(pid: int, groups: Collection[int]) -> bool:
    """Tell whether a process of ours hides its environment, and is in one of these groups."""
    if not groups:
        return False
    try:
        Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return _group(pid) in groups and _user(pid) == os.getuid()
    except OSError:
        pass
    return False


def _group(pid: int) -> int:
    return _stat(pid, field=2)


def _user(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return -1
    (line,) = (line for line in status.splitlines() if line.startswith("Uid:"))
    return int(line.split()[1])


def _ancestors() -> set[int]:
    pid, found = os.getpid(), set()
    while pid > 0 and pid not in found:
        found.add(pid)
        pid = _parent(pid)
    return found


def _parent(pid: int) -> int:
    return _stat(pid, field=1)


def _stat(pid: int, *, field: int) -> int:
    """Return a number of a process: 1 its parent, 2 its group; 0 when it is gone."""
    try:
        # The name stands in brackets and may hold anything: fields count from the last bracket.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[field])
    except (OSError, ValueError, IndexError):
        return 0


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
