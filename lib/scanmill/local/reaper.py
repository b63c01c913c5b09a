"""Finds the processes of one stack by a marker in their environment, and ends them.

A supervisor does not end the children of a program that died, and after kill -9 nobody does.
Standard library only: it runs before every start of every program.
"""

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Collection, Mapping
from pathlib import Path

STACK_MARKER = "SCANMILL_STACK"
PROGRAM_MARKER = "SCANMILL_PROGRAM"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """By what a process counts as ours that hides its environment.

    Airflow hides it, from everybody but root, for whoever runs tasks. But such a process stays in
    the session of the supervisor, whatever became of its parents.
    """

    session: int = 0
    group: int | None = None
    """Only this process group, its children, and orphans; None: the whole session."""

    def holds(self, pid: int, found: Collection[int]) -> bool:
        """Tell whether a hidden process is one of ours; `found` are those known to be."""
        if not self.session or _stat(pid, "session") != self.session or not _is_hidden(pid):
            return False
        parent = _stat(pid, "parent")
        group = _stat(pid, "group")
        return self.group in {None, group} or parent == 1 or parent in found


def marked(markers: Mapping[str, str], *, kin: Kin = Kin()) -> list[int]:
    """Return our own user's processes that carry all markers, without us and our ancestors."""
    spared = _ancestors()
    wanted = {f"{name}={value}".encode() for name, value in markers.items()}
    pids = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()} - spared
    found = {pid for pid in pids if wanted <= _environment(pid)}
    while more := {pid for pid in pids - found if kin.holds(pid, found)}:
        found |= more
    return sorted(found)


def reap(
    markers: Mapping[str, str],
    *,
    kin: Kin = Kin(),
    grace_seconds: float = 5,
) -> list[int]:
    """End every process that carries all markers, and return their ids.

    They are asked first; who is still there after the grace is killed, again and again until a
    look at the process table finds none, because a dying process may still start another.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + grace_seconds
    while found := marked(markers, kin=kin):
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


def _is_hidden(pid: int) -> bool:
    """Tell whether a process of our own user hides its environment from us."""
    try:
        Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return _user(pid) == os.getuid()
    except OSError:
        pass
    return False


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
        pid = _stat(pid, "parent")
    return found


_FIELDS = {"parent": 1, "group": 2, "session": 3}


def _stat(pid: int, name: str) -> int:
    """Return the parent, group or session of a process; 0 when it is gone."""
    try:
        # The name stands in brackets and may hold anything: fields count from the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[_FIELDS[name]])
    except (OSError, ValueError, IndexError):
        return 0


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
