"""A real SeaweedFS for the tests: S3 with signatures, on free ports, gone afterwards."""

import contextlib
import os
import subprocess
import time

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from scanmill.local import home as homes
from scanmill.local import ports, seaweedfs
from scanmill.local.home import Home, Secrets, Stack
from unit.ministack_server import client_options

START_SECONDS = 60


@contextlib.contextmanager
def running_seaweedfs(folder):
    """Yield the endpoint of a SeaweedFS that keeps its objects under a folder."""
    home = Home(folder)
    home.make()
    stack = Stack(
        ports=ports.choose(("store", *seaweedfs.PORTS), {}),
        settings={"SCANMILL_LOCAL_STORE": homes.SEAWEEDFS},
        scratch=str(home.tmp),
    )
    endpoint = f"http://127.0.0.1:{stack.ports['store']}"
    seaweedfs.prepare(home, _secrets(client_options(endpoint)))
    command, extra = seaweedfs.command(home, stack)
    # Each test has a bucket of its own, and each bucket volumes of its own.
    command = [word.replace("-volume.max=200", "-volume.max=2000") for word in command]
    with (home.logs / "seaweedfs.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            env={**os.environ, **extra},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_it_serves(endpoint)
        yield endpoint
    finally:
        server.kill()
        server.wait()
        seaweedfs.tidy(stack)


def _secrets(options):
    blank = dict.fromkeys(("admin_password", "jwt_secret", "api_secret", "fernet_key"), "")
    keys = ("access_key_id", "secret_access_key")
    return Secrets(**blank, **{key: options[f"aws_{key}"] for key in keys})


def _wait_until_it_serves(endpoint):
    """Wait for the first bucket: it listens before it can serve."""
    s3 = boto3.client("s3", **client_options(endpoint))
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            s3.create_bucket(Bucket="first")
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
