"""A real ministack for one test: S3, SQS and notifications on a free port, gone afterwards."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from scanmill.local.program import STORE_COMMAND

START_SECONDS = 20


@contextlib.contextmanager
def running_ministack(tmp_path: Path) -> Iterator[str]:
    """Yield the endpoint of a ministack that keeps its objects under `tmp_path`.

    Any access key is accepted; `client_options(endpoint)` has all that boto3 needs. Entering it
    again with the same folder finds the objects of the last time.
    """
    port = _free_port()
    folder = tmp_path / "ministack"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ministack.log").open("ab") as log:
        server = subprocess.Popen(
            STORE_COMMAND,
            env=_environment(folder, port),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_it_listens(server, port, folder / "ministack.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        _stop(server)


def client_options(endpoint: str) -> dict[str, str]:
    """Return the keyword arguments with which `boto3.client("s3", ...)` reaches the server."""
    return {
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }


def _environment(folder: Path, port: int) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
    return inherited | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
        "SERVICES": "s3,sqs",
        "TMPDIR": str(folder),
        "LOG_LEVEL": "WARNING",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_listens(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"Ministack did not start on port [{port}]: {log.read_text()[-2000:]}")


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(timeout=10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
