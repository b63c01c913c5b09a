"""Many faults at once, at moments that a seed decides, while uploads of every kind land."""

import contextlib
import random
import signal
import threading
from collections import Counter

from scanmill.drill import naive
from scanmill.drill.fault import Result
from scanmill.drill.proxy import Rule
from scanmill.drill.running import SETTLE_SECONDS, Tell, is_settled, judge, result_of
from scanmill.drill.scene import Scene, World
from scanmill.drill.scratch import Scratch, wait_until
from scanmill.errors import RetryableError

COLLECTIONS = 4
LONGEST_SECONDS = 25
"""How long the storm goes on after the last upload, if everything does not arrive before."""

RULES = (
    Rule(kind="error_503", share=0.03),
    Rule(kind="error_500", share=0.01),
    Rule(kind="reset", share=0.01),
    Rule(kind="lose_answer", match="^PUT", share=0.02),
    Rule(kind="truncate", match="^GET", share=0.02),
    Rule(kind="stall", share=0.004, seconds=4),
    Rule(kind="lose_message", plane="queue", share=0.3),
    Rule(kind="double_message", plane="queue", share=0.3),
)
"""What happens to the requests of a storm, and to those of the naive loop."""

_PROGRAMS = ("scheduler", "triggerer", "dag-processor", "api-server", "store", "watchdog")
_IDLE_WORKER = "idle worker"


def run(world: World, *, seed: int, uploads: int, tell: Tell) -> tuple[Result, naive.Tally]:
    """Let uploads land in a storm of faults, and hold everything against the books afterwards.

    Returns what came of it, and what a loop with try and except makes of the same uploads, behind
    the same proxy, while no process is killed.
    """
    chance = random.Random(f"storm {seed}")  # noqa: S311 - no secret
    first, *others = scenes = [
        Scene(world, collection=f"storm-{seed}-{number}", rng=chance)
        for number in range(COLLECTIONS)
    ]
    first.twins += others
    tell(f"storm {seed}: {uploads} uploads, kills and a broken network at random")
    wreck = _Wreck(world.scratch, random.Random(f"wreck {seed}"))  # noqa: S311 - no secret
    with first.broken(*RULES), wreck:
        first.began()
        _upload(scenes, uploads, chance)
        wait_until(lambda: is_settled(first), seconds=LONGEST_SECONDS)
    first.injected += wreck.kills.total()
    settled = wait_until(lambda: is_settled(first), seconds=2 * SETTLE_SECONDS)
    recovered_s = first.over()
    if not settled:
        first.fail(f"not settled after {2 * SETTLE_SECONDS} s")
    judgement = judge(first)
    result = result_of(
        f"storm_{seed}",
        "kills and a broken network at random, while uploads of every kind land",
        "every upload has its fate, nothing is lost, doubled or wrong",
        scene=first,
        judgement=judgement,
        recovered_s=recovered_s,
    )
    return result, _compare(world, first)


def _compare(world: World, scene: Scene) -> naive.Tally:
    """Let the naive loop read what the pipeline has read, through the same broken network."""
    world.proxy.obey(*RULES)
    try:
        return naive.read(world, scene.collections)
    finally:
        world.proxy.obey()


def _upload(scenes: list[Scene], uploads: int, chance: random.Random) -> None:
    """Upload pages, copies, volumes, blank pages, junk, corrected scans, and delete some."""
    for _ in range(uploads):
        scene = chance.choice(scenes)
        mine = [one for one in scene.uploads() if one.is_last and len(one.texts) == 1]
        kind = chance.random()
        if kind < 0.06 and mine:
            scene.overwrite(chance.choice(mine))
        elif kind < 0.10 and mine:
            scene.put(chance.choice(mine).texts[0])
            scene.delete(scene.put(scene.text()))
        elif kind < 0.15:
            scene.put(scene.text(), scene.text())
        elif kind < 0.18:
            scene.put("")
        elif kind < 0.22:
            scene.put_junk()
        else:
            scene.put(scene.text())


class _Wreck:
    """Kills something of a stack every few seconds, from a thread of its own."""

    def __init__(self, scratch: Scratch, chance: random.Random) -> None:
        self.kills: Counter[str] = Counter()
        self._scratch, self._chance = scratch, chance
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wreck")

    def __enter__(self) -> "_Wreck":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(self._chance.uniform(3.0, 9.0)):
            with contextlib.suppress(RetryableError, ProcessLookupError):
                self._kill_something()

    def _kill_something(self) -> None:
        tasks = self._scratch.tasks_at_work()
        if tasks and self._chance.random() < 0.6:
            name, pids = "task", tasks
        else:
            name = self._chance.choice((*_PROGRAMS, _IDLE_WORKER))
            pids = self._processes(name)
        if pids:  # else it is being started again
            self._scratch.send(self._chance.choice(pids), signal.SIGKILL)
            self.kills[name] += 1

    def _processes(self, name: str) -> list[int]:
        if name == _IDLE_WORKER:
            return self._scratch.idle_workers()
        pid = self._scratch.pid(name)
        return [] if pid is None else [pid]
