"""Scratch folders that do not outlive their process, and strays that do not outlive their call."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

MARKER = "SCANMILL_SCRATCH"
"""Every sandboxed process, and whatever it starts, has its scratch folder's name in this."""

_JANITOR = Path(__file__).with_name("janitor.sh")

_open: dict[int, tuple[Path, int, "subprocess.Popen[bytes]"]] = {}
"""By process id: a fork is another process, and gets a folder and a janitor of its own."""


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Yield a new folder that is gone afterwards, also when this process is killed in between."""
    with tempfile.TemporaryDirectory(dir=_folder()) as folder:
        yield Path(folder)


def marked(home: Path) -> dict[str, str]:
    """Return the environment to start a sandboxed process with, so that it is known at once."""
    return {"PATH": "/usr/bin:/bin", MARKER: str(home)}


def end_strays(folder: Path) -> None:
    """Kill whatever a call has left alive, such as a grandchild in a session of its own."""
    mark = f"{MARKER}={folder}".encode()
    while strays := [pid for pid in _pids() if mark in _environment(pid)]:
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _folder() -> Path:
    """Return this process's folder, watched over by a janitor who waits for its death."""
    pid = os.getpid()
    if pid not in _open:
        _open.clear()
        folder = Path(tempfile.mkdtemp(prefix="scanmill-"))
        theirs, ours = os.pipe()  # ours closes when this process ends: nothing else has it
        janitor = subprocess.Popen(  # noqa: S603 - our own program
            ["/bin/sh", str(_JANITOR), str(folder)],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"},
            start_new_session=True,
        )
        os.close(theirs)
        _open[pid] = (folder, ours, janitor)
    return _open[pid][0]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - hot


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or is somebody else's
        return []
