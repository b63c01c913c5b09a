"""Runs readers in processes of their own and finds the pages; shared by the benchmarks."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from readers import HERE, PEERS
from rich.console import Console
from rich.table import Table

ROOT = HERE.parent
KINDS = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".jp2"}
_PEER_PYTHON = ROOT / ".venv-peers" / "bin" / "python"

sys.path.insert(0, str(ROOT / "tests"))
from unit.ministack_server import client_options, running_ministack  # noqa: E402 - found by the line above


def pages_in(folder):
    """Return the images of a folder, in the order of their names."""
    pages = sorted(path for path in folder.rglob("*") if path.suffix.lower() in KINDS)
    if not pages:
        sys.exit(f"No images in [{folder}]. Known: {' '.join(sorted(KINDS))}")
    return [path.absolute() for path in pages]


@contextlib.contextmanager
def a_store():
    """Have an S3 server for the readers that need one, as long as this lasts."""
    with tempfile.TemporaryDirectory() as folder, running_ministack(Path(folder)) as endpoint:
        options = client_options(endpoint)
        os.environ |= {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": options["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": options["aws_secret_access_key"],
            "AWS_REGION": options["region_name"],
        }
        yield


def run(name, paths, times=0):
    """Return what a reader took, or the last line it said when it cannot run here."""
    python = _PEER_PYTHON if name in PEERS else sys.executable
    if not Path(python).exists():
        return "not installed: see benchmarks/README.md"
    done = subprocess.run(  # noqa: S603 - our own program
        [str(python), str(HERE / "readers.py"), name, str(times)],
        input="".join(f"{path}\n" for path in paths),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it died"])[-1]
    return json.loads(done.stdout)


def print_table(title, rows):
    """Print rows of equal keys as a table for people."""
    table = Table(title=title)
    for number, name in enumerate(rows[0]):
        table.add_column(name, justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            *(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values())
        )
    Console(width=150).print(table)
