"""The machine under the stack: full disks, a wrong clock, a mail server that is away."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from scanmill.drill import paper
from scanmill.drill.fault import Fault
from scanmill.drill.hooks import Order
from scanmill.drill.scene import Scene
from scanmill.drill.scratch import wait_until

_DAY_SECONDS = 86_400
_MAIL_AWAY_SECONDS = 60
_FULL_SECONDS = 10


def _fill_ledger(scene: Scene) -> None:
    """Leave the ledger's database no room for another page, in two processes one after another."""
    with scene.ordered(Order(do="fill_ledger", times=2), sign=scene.retried):
        scene.drop()


def _fill_disk(scene: Scene) -> None:
    """Give the first task that works on our batch a disk for its scratch files that is full."""
    with _tiny_disk(scene) as folder:
        order = Order(do="small_disk", folder=str(folder), times=2)
        with scene.ordered(order, sign=scene.retried):
            scene.drop()
        time.sleep(_FULL_SECONDS)


@contextlib.contextmanager
def _tiny_disk(scene: Scene) -> Iterator[Path]:
    """Mount a disk that is full already."""
    folder = scene.scratch.orders / "disk"
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)  # noqa: S603 - our own folder
    try:
        with contextlib.suppress(OSError):
            (folder / "ballast").write_bytes(bytes(1 << 20))
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)  # noqa: S603, S607


def _cannot_mount(_: Scene) -> str:
    return "" if os.geteuid() == 0 else "only root may mount a small disk"


def _change_clock(scene: Scene, seconds: float = _DAY_SECONDS) -> None:
    """Put the clock of every process that works on our batch a day off."""
    with scene.ordered(Order(do="clock", seconds=seconds, times=3)):
        scene.drop()


def _take_mail_away(scene: Scene) -> None:
    """Stop the mail server for a minute, while a batch is held that a mail has to tell of."""
    pid = scene.scratch.pid("mail")
    if pid is None:
        return
    scene.scratch.send(pid, signal.SIGSTOP)
    try:
        volume = scene.put_volume(paper.gibberish)
        is_told = scene.mailed("is held")
        scene.began(1, sign=lambda: not scene.scratch.is_mail_taken())
        scene.wait_until_held()
        time.sleep(_MAIL_AWAY_SECONDS)
    finally:
        scene.scratch.send(pid, signal.SIGCONT)
    scene.witness.amend(volume, is_held=True)
    if not wait_until(is_told, seconds=60):
        scene.fail("the mail about the held batch never came")


FAULTS = (
    Fault(
        name="ledger_full",
        what="there is no room for another row in the ledger's database, twice",
        expected="tried again; no page is blamed for it",
        inject=_fill_ledger,
    ),
    Fault(
        name="disk_full",
        what="the disk for scratch files is full, twice",
        expected="tried again; no page is blamed for it",
        inject=_fill_disk,
        hindrance=_cannot_mount,
    ),
    Fault(
        name="clock_off",
        what="the clock of the tasks is a day off",
        expected="nothing depends on it; every page published",
        inject=_change_clock,
    ),
    Fault(
        name="mail_away",
        what=f"the mail server does not answer for {_MAIL_AWAY_SECONDS} s",
        expected="`status` counts the alert that waits; it arrives once",
        inject=_take_mail_away,
    ),
)
