"""Starts, asks and stops the supervisor that restarts whatever of the stack dies."""

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scanmill.errors import FatalError, RetryableError
from scanmill.local import environment, program
from scanmill.local import home as homes
from scanmill.local.home import Home, Stack
from scanmill.local.program import AIRFLOW, SERVICES, STORE
from scanmill.local.reaper import is_marked, reap

STOP_SECONDS = 25
ANSWER_SECONDS = 20
# The kernel takes 108 bytes for the path of a socket; what programs append to the folder is theirs.
_LONGEST_FOLDER = 60

_MAIN = """\
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
logfile={logs}/supervisor.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile={tmp}/supervisord.pid
directory={directory}
umask=077
nocleanup=true

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

# startretries: the supervisor must never give up, or one bad minute ends the stack for good.
_PROGRAM = """
[program:{name}]
command="{python}" -m scanmill.local.program {name}
priority={priority}
autorestart=true
startsecs=1
startretries=1000000
stopasgroup=true
killasgroup=true
stopwaitsecs={patience}
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""

_GROUP = "\n[group:airflow]\nprograms={programs}\npriority=20\n"


def start(home: Home, stack: Stack, variables: Mapping[str, str]) -> None:
    """Start the supervisor and with it all programs, in the background."""
    configuration = home.tmp / "supervisord.conf"
    homes.write_private(configuration, configure(home, stack))
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
        env=environment.for_processes(home, stack, variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FatalError(
            f"The supervisor did not start [{(done.stderr or done.stdout).strip()[-500:]}]; "
            f"see {home.logs}/supervisor.log"
        )


def configure(home: Home, stack: Stack) -> str:
    """Return the supervisor's configuration."""
    main = _MAIN.format(
        socket=_plain(socket_path(stack)),
        logs=_plain(home.logs),
        tmp=_plain(home.tmp),
        directory=_plain(homes.REPOSITORY),
    )
    sections = [
        _PROGRAM.format(
            name=name,
            python=_plain(sys.executable),
            priority=10 if name in SERVICES else 20,
            # It needs 15 s to end when it is asked, and loses nothing when it is not.
            patience=1 if name == STORE and stack.store == homes.SEAWEEDFS else 8,
            logs=_plain(home.logs),
        )
        for name in (*SERVICES, *AIRFLOW)
    ]
    return main + "".join(sections) + _GROUP.format(programs=",".join(AIRFLOW))


def make_scratch(home: Home) -> Path:
    """Return a new folder for sockets and temporary files, elsewhere if home lies too deep."""
    folder = home.tmp / "scratch"
    if len(os.fsencode(folder)) > _LONGEST_FOLDER:
        return Path(tempfile.mkdtemp(prefix="scanmill-"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def socket_path(stack: Stack) -> Path:
    """Return where the supervisor listens: a socket only its owner can open."""
    return Path(stack.scratch) / "supervisor.sock"


def pid(home: Home) -> int:
    """Return the supervisor's process id, or 0 when there is none of this stack alive."""
    try:
        found = int((home.tmp / "supervisord.pid").read_text())
    except (OSError, ValueError):
        return 0
    return found if is_marked(found, environment.marker(home)) else 0


def processes(home: Home, stack: Stack) -> dict[str, dict[str, Any]]:
    """Return state and process id of every program, as the supervisor sees them."""
    if not pid(home):
        return {}
    try:
        answer: Any = _rpc(stack).getAllProcessInfo()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
        raise RetryableError(
            f"The supervisor does not answer: {error}. Type: ./scanmill down, then ./scanmill up"
        ) from error
    return {
        info["name"]: {"state": info["statename"], "pid": info["pid"] or None} for info in answer
    }


def start_missing(home: Home, stack: Stack) -> list[str]:
    """Start the programs that a person stopped, and return their names."""
    idle = [
        name
        for name, info in processes(home, stack).items()
        if info["state"] in {"STOPPED", "EXITED", "FATAL"}
    ]
    rpc = _rpc(stack)
    for name in idle:
        # One that comes up in this moment is what was wanted.
        with contextlib.suppress(xmlrpc.client.Fault):
            rpc.startProcess(f"airflow:{name}" if name in AIRFLOW else name, False)  # noqa: FBT003
    return idle


def stop(home: Home) -> list[int]:
    """Stop the supervisor and everything, then end whoever is left; return the left ones."""
    found, kin = pid(home), program.kin(home)  # the supervisor takes its note along
    if found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found, 15)
        deadline = time.monotonic() + STOP_SECONDS
        while pid(home) and time.monotonic() < deadline:
            time.sleep(0.1)
    return reap(environment.marker(home), kin=kin)


def _rpc(stack: Stack) -> Any:
    transport = _Transport(socket_path(stack))
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


class _Transport(xmlrpc.client.Transport):
    """Goes through the supervisor's socket; its own transport would wait for ever."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _Connection(str(host), path=self._path)


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, *, path: Path) -> None:
        super().__init__(host, timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _plain(path: Path | str) -> str:
    """Return a path as the configuration reads it back: percent signs doubled."""
    return str(path).replace("%", "%%")
