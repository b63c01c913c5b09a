"""Becomes one program of the stack: `python -m scanmill.local.program NAME`, under the supervisor.

Before that it ends what the program's last life left behind. Standard library only: it stands in
the way of every start.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from scanmill.local import home as homes
from scanmill.local import seaweedfs
from scanmill.local.home import SEAWEEDFS, Home
from scanmill.local.ports import LOOPBACK
from scanmill.local.reaper import PROGRAM_MARKER, STACK_MARKER, Kin, reap

STORE = "store"
AIRFLOW = ("api-server", "dag-processor", "scheduler", "triggerer")
SERVICES = (STORE, "mail", "keeper", "watchdog")

STORE_COMMAND = (
    str(homes.REPOSITORY / ".venv-ministack" / "bin" / "python"),
    str(Path(__file__).with_name("ministack_main.py")),
)
"""The S3 server, in an environment of its own: it needs another botocore than Airflow does."""


def main() -> None:
    """Clear the ground, then become the program."""
    name = sys.argv[1]
    os.environ[PROGRAM_MARKER] = name
    home = homes.locate()
    markers = {STACK_MARKER: os.environ[STACK_MARKER], PROGRAM_MARKER: name}
    if left := reap(markers, kin=kin(home, name)):
        sys.stderr.write(f"ended what the last {name} left behind: {left}\n")
    home.make()
    pid_file(home, name).write_text(str(os.getpid()))
    command, extra = _command(name)(home)
    os.execve(command[0], command, {**os.environ, **extra})  # noqa: S606 - our own table


def pid_file(home: Home, name: str) -> Path:
    """Return where the program's process id is noted at each start."""
    return home.tmp / f"{name}.pid"


def kin(home: Home, name: str = "") -> Kin:
    """Return by what hidden processes of the stack are known, or of one program's last life.

    The supervisor is the leader of a session in which everything stays, and makes each program
    the leader of a group.
    """
    session = _noted(home.tmp / "supervisord.pid")
    return Kin(session=session, group=_noted(pid_file(home, name)) if name else None)


def _noted(file: Path) -> int:
    text = file.read_text().strip() if file.exists() else ""
    return int(text) if text.isdigit() else 0


_Command = tuple[list[str], dict[str, str]]


def _command(name: str) -> Callable[[Home], _Command]:
    return {STORE: _store, "mail": _module, "keeper": _module, "watchdog": _watchdog}.get(
        name, _airflow
    )


def _store(home: Home) -> _Command:
    # Not from AWS_ENDPOINT_URL: something may stand between the store and its clients.
    stack = homes.load_stack(home)
    assert stack is not None  # noqa: S101 - whoever starts programs has saved it
    if stack.store == SEAWEEDFS:
        command, extra = seaweedfs.command(home, stack)
        return command, dict(extra)
    return [*STORE_COMMAND], {
        "GATEWAY_PORT": str(stack.ports[STORE]),
        "BIND_HOST": LOOPBACK,
        "MINISTACK_HOST": LOOPBACK,
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home.store / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home.store / "s3"),
        "SERVICES": "s3,sqs",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }


def _module(_: Home) -> _Command:
    return [sys.executable, "-m", f"scanmill.local.{os.environ[PROGRAM_MARKER]}"], {}


def _watchdog(_: Home) -> _Command:
    return [str(Path(sys.executable).with_name("scanmill")), "watchdog"], {}


def _airflow(_: Home) -> _Command:
    name = os.environ[PROGRAM_MARKER]
    # The log servers listen on every interface and cannot be told not to; on one machine the
    # api-server reads the files itself.
    quiet = ["--skip-serve-logs"] if name in {"scheduler", "triggerer"} else []
    return [sys.executable, "-m", "airflow", name, *quiet], {}


if __name__ == "__main__":
    main()
