"""Commands about the local stack: demo, up, down, test, watchdog."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import click

from scanmill.cli import uploads
from scanmill.cli.opening import enter_stack
from scanmill.cli.showing import people, show_receipt
from scanmill.cli.watching import watch_until_settled
from scanmill.errors import FatalError
from scanmill.local import home, stack
from scanmill.local.reaper import PROGRAM_MARKER
from scanmill.steps import Mill, auditing, receipting, watching

_SAMPLES = "samples"
# One process more than cores: tests of running stacks wait, too. Four on two cores were slower.
_PROCESSES = min(4, (os.cpu_count() or 1) + 1)
_ALL_CORES = (f"-n={_PROCESSES}", "--no-loadscope-reorder", "--durations=20")


@click.command()
def up() -> int:
    """Start the whole local stack in the background: S3, queue, mail, Airflow, watchdog."""
    show_addresses(stack.up(_report))
    return 0


@click.command()
def down() -> int:
    """Stop the local stack, every process of it."""
    stack.down(_report)
    return 0


@click.command()
@click.option("--timeout", type=click.FloatRange(min=1), default=900, help="Seconds to wait.")
def demo(*, timeout: float) -> int:
    """Start the stack, drop the samples, wait, and print the receipt and where to look."""
    clock = _Clock()
    people.print("Starting the local stack", style="bold")
    addresses = stack.up(_report)
    clock.lap("start the stack")
    enter_stack()
    mill = Mill.from_settings()
    people.print("Dropping data_samples/", style="bold")
    new = uploads.upload(mill, _samples())
    clock.lap("upload")
    if not new:
        people.print("  Nothing new to do: every sample has landed before.")
    people.print("Reading, judging, publishing", style="bold")
    if not watch_until_settled(mill, deadline=time.monotonic() + timeout):
        raise FatalError(f"Not settled after {timeout:g} s. See: ./scanmill doctor")
    clock.lap("read, judge, publish")
    auditing.audit(mill)
    sums = receipting.receipt(mill)
    clock.lap("audit")
    people.print("\nThe receipt", style="bold")
    show_receipt(sums)
    show_addresses(addresses)
    clock.show()
    _show_next_steps()
    return 0 if receipting.is_balanced(sums) else 1


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> int:
    """Run the linters and the test suite; arguments go to pytest."""
    root = _root()
    tools = Path(sys.executable).parent
    linters = (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"], ["lint-imports"])
    commands = [["pytest", *arguments]] if arguments else [*linters, ["pytest", *_ALL_CORES]]
    codes = [_run(root, [str(tools / tool), *words]) for tool, *words in commands]
    return 1 if any(codes) else 0


def _run(root: Path, command: list[str]) -> int:
    return subprocess.run(command, cwd=root, check=False).returncode  # noqa: S603 - our tools


@click.command(hidden=True)
@click.option("--once", is_flag=True, help="Look once and end.")
def watchdog(*, once: bool) -> int:
    """Watch the stack from outside Airflow and deliver alerts until they have arrived."""
    mill = Mill.from_settings()
    supervisor = os.getppid() if PROGRAM_MARKER in os.environ else 0
    watching.watch(mill, forever=not once, supervisor=supervisor)
    return 0


def show_addresses(addresses: stack.Addresses) -> None:
    """Print where everything of the stack is."""
    people.print("\nWhere to look", style="bold")
    env_file = shlex.quote(f"{addresses.home}/env")
    login = f"user {addresses.airflow_user}, password {addresses.airflow_password}"
    rows = {
        "Airflow": f"{addresses.airflow_url}   {login}",
        "mail inbox": addresses.inbox_url,
        "reports": addresses.reports_url,
        "S3": f"{addresses.s3_endpoint}   bucket {addresses.bucket}",
        "logs": addresses.logs,
        "shell": f". {env_file}   then aws, airflow, python find all of this",
    }
    for name, value in rows.items():
        people.print(f"  {name:<11} {value}")


def _show_next_steps() -> None:
    people.print("\nTry next", style="bold")
    for command, words in {
        "./scanmill drop FOLDER": "your own scans; folders inside become labels",
        "./scanmill status": "the receipt, at any moment",
        "./scanmill trace KEY": "one image's whole story",
        "./scanmill down": "stop everything",
    }.items():
        people.print(f"  {command:<24} {words}")


def _samples() -> list[tuple[Path, str]]:
    folder = _root() / "data_samples"
    files = (path for path in sorted(folder.glob("*/*")) if path.is_file())
    return [
        (path, f"landing/{_SAMPLES}/{path.relative_to(folder).as_posix()}")
        for path in files
        if path.parent.name != "__pycache__"
    ]


def _root() -> Path:
    return home.REPOSITORY


def _report(words: str) -> None:
    people.print(f"  {words}")


class _Clock:
    """Says where the time went."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._laps: list[tuple[str, float]] = []

    def lap(self, name: str) -> None:
        """Note the end of a stage."""
        now = time.monotonic()
        self._laps.append((name, now - self._last))
        self._last = now

    def show(self) -> None:
        """Print every stage and the sum."""
        people.print("\nWhere the time went", style="bold")
        for name, seconds in [*self._laps, ("in all", self._last - self._began)]:
            people.print(f"  {name:<22} {seconds:6.1f} s")


COMMANDS = (demo, up, down, test, watchdog)
