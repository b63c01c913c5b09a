"""The other S3 server: SeaweedFS, with real authentication and without any events.

It opens a port for each of its parts, all of them on loopback.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from scanmill.errors import FatalError
from scanmill.local import home as homes
from scanmill.local.home import Home, Secrets, Stack
from scanmill.local.ports import LOOPBACK

PROGRAM = homes.REPOSITORY / ".venv-seaweedfs" / "bin" / "weed"
PORTS = ("master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc", "store_grpc")

_VOLUME_MB = 1024
_MOST_VOLUMES = 200


def prepare(home: Home, secrets: Secrets) -> None:
    """Write who may come in.

    Raises:
        FatalError: the program is not installed; says how.
    """
    if not PROGRAM.exists():
        raise FatalError(
            "SeaweedFS is not installed. Type: SCANMILL_LOCAL_STORE=seaweedfs ./scanmill up"
        )
    key = {"accessKey": secrets.access_key_id, "secretKey": secrets.secret_access_key}
    identity = {
        "name": "scanmill",
        "credentials": [key],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    homes.write_private(home.store / "s3.json", json.dumps({"identities": [identity]}))


def command(home: Home, stack: Stack) -> tuple[list[str], Mapping[str, str]]:
    """Return the command and what it needs in its environment."""
    (home.store / "seaweedfs").mkdir(exist_ok=True)
    options = {
        "ip": LOOPBACK,
        "ip.bind": LOOPBACK,
        "dir": str(home.store / "seaweedfs"),
        "volume.max": _MOST_VOLUMES,
        "master.volumeSizeLimitMB": _VOLUME_MB,
        "master.telemetry": "false",
        # 10 s by default, of which it elects itself: nothing is served before.
        "master.electionTimeout": "1s",
        "master.port": stack.ports["master"],
        "master.port.grpc": stack.ports["master_grpc"],
        "volume.port": stack.ports["volume"],
        "volume.port.grpc": stack.ports["volume_grpc"],
        "volume.preStopSeconds": 0,
        "filer": "true",
        "filer.port": stack.ports["filer"],
        "filer.port.grpc": stack.ports["filer_grpc"],
        "filer.localSocket": f"{stack.scratch}/filer.sock",
        "s3": "true",
        "s3.port": stack.ports["store"],
        "s3.port.grpc": stack.ports["store_grpc"],
        # What nobody asked for stays shut.
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.iam": "false",
        # As S3 has it; an upload to a bucket that is not there would make one without versions.
        "s3.autoCreateBucket": "false",
        "s3.allowDeleteBucketNotEmpty": "false",
        "s3.config": str(home.store / "s3.json"),
        "s3.localSocket": f"{stack.scratch}/s3.sock",
    }
    words = [f"-{name}={value}" for name, value in options.items()]
    # By default a bucket begins with seven volumes.
    growth = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    return [str(PROGRAM), "-logtostderr=true", "server", *words], growth


def tidy(stack: Stack) -> None:
    """Remove the sockets that a killed one leaves in the only folder that it knows for them."""
    for part in ("master", "volume", "filer", "store"):
        if port := stack.ports.get(f"{part}_grpc"):
            name = "s3" if part == "store" else part
            Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108
