"""Runs the drill: a scratch stack behind a proxy, one fault after the other, and the verdict."""

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from scanmill.drill.fault import Fault, Result
from scanmill.drill.proxy import Proxy
from scanmill.drill.scene import Scene, World
from scanmill.drill.scratch import Scratch, wait_until
from scanmill.drill.witness import Judgement, Witness
from scanmill.errors import ScanmillError
from scanmill.local import ports

SETTLE_SECONDS = 300
"""How long the stack may need until nothing of a fault is on its way any more."""

MEND_SECONDS = 60
"""How long the product may call something wrong that it is about to mend."""

SETTINGS: Mapping[str, str] = {
    "SCANMILL_SWEEP_SECONDS": "10",
    "SCANMILL_AUDIT_SECONDS": "60",
    "SCANMILL_RETRY_SECONDS": "2",
    "SCANMILL_ANNOUNCE_AGAIN_SECONDS": "30",
    "SCANMILL_STALLED_SECONDS": "60",
    "SCANMILL_PENDING_ALERT_SECONDS": "45",
}
"""Shorter intervals than users have: what heals by itself does so while the drill looks on."""

Tell = Callable[[str], None]


@contextlib.contextmanager
def opened(settings: Mapping[str, str], *, seed: int, tell: Tell) -> Iterator[World]:
    """Yield a running scratch stack behind a proxy; nothing of it is left afterwards.

    Raises:
        FatalError: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="scanmill-drill-") as folder:
        port = ports.choose(["proxy"], {})["proxy"]
        wanted = {**SETTINGS, **settings, "SCANMILL_PROXY_PORT": str(port)}
        scratch = Scratch(Path(folder), wanted)
        scratch.furnish()
        with Proxy(port, scratch.store_port, seed=seed) as proxy:
            tell("Starting a scratch stack")
            try:
                scratch.up()
                wait_until(scratch.knows_all_dags, seconds=SETTLE_SECONDS)
                yield World(scratch=scratch, proxy=proxy, witness=Witness(scratch))
            finally:
                tell("Stopping the scratch stack")
                scratch.down()


def run(world: World, faults: Sequence[Fault], *, seed: int, tell: Tell) -> Iterator[Result]:
    """Inject one fault after the other, and yield what came of each."""
    for fault in faults:
        tell(f"{fault.name}: {fault.what}")
        yield run_one(world, fault, seed=seed)


def run_one(world: World, fault: Fault, *, seed: int) -> Result:
    """Inject one fault, wait until nothing is on its way, and hold everything against the books."""
    chance = random.Random(f"{seed} {fault.name}")  # noqa: S311 - no secret
    scene = Scene(world, collection=fault.name.replace("_", "-"), rng=chance)
    if hindrance := fault.hindrance(scene):
        return Result.not_injected(fault, hindrance)
    try:
        fault.inject(scene)
    except (ScanmillError, BotoCoreError, ClientError, httpx.HTTPError) as error:
        scene.fail(f"the fault was too much for the drill itself: {error}")
    has_settled = wait_until(lambda: is_settled(scene), seconds=SETTLE_SECONDS)
    recovered_s = scene.over()
    if not has_settled:
        scene.fail(f"not settled after {SETTLE_SECONDS} s")
    judgement = judge(scene)
    return result_of(
        *(fault.name, fault.what, fault.expected),
        scene=scene,
        judgement=judgement,
        recovered_s=recovered_s,
        airflow=fault.airflow,
    )


def is_settled(scene: Scene) -> bool:
    """Tell whether nothing of a scene is on its way; a ledger out of reach says nothing."""
    try:
        return scene.is_settled()
    except ScanmillError:  # the ledger is locked, or being made again
        return False


def judge(scene: Scene) -> Judgement:
    """Hold everything of a scene against the books, and hear what the product says of itself."""
    judgement = scene.witness.judge(scene.collections)
    patience = MEND_SECONDS if judgement.is_clean else 0
    for sentence in _imbalances(scene.scratch, seconds=patience):
        scene.fail(sentence)
    return judgement


def _imbalances(scratch: Scratch, *, seconds: float) -> Iterator[str]:
    """Yield what the product itself says is wrong, once it had the time to mend it."""
    sums: dict[str, Any] = {}

    def is_balanced() -> bool:
        sums.update(scratch.ask("status"))
        return not (sums["lost"] or sums["imbalances"] or sums["findings"])

    if not wait_until(is_balanced, seconds=seconds):
        yield from sums["imbalances"]
        yield from (f"{f['kind']}: {f['subject']}" for f in sums["findings"][:5])


def result_of(
    name: str,
    what: str,
    expected: str,
    *,
    scene: Scene,
    judgement: Judgement,
    recovered_s: float | None,
    airflow: str = "",
) -> Result:
    """Return the line of the table: good only when the injector has evidence of its deed."""
    return Result(
        name=name,
        what=what,
        expected=expected,
        seen=_seen(scene, judgement),
        uploads=judgement.uploads,
        injected=scene.injected,
        detected_s=_rounded(scene.detected_s),
        recovered_s=_rounded(recovered_s),
        lost=len(judgement.lost),
        twice=len(judgement.twice),
        wrong=len(judgement.wrong),
        ok=bool(scene.injected and judgement.is_clean and not scene.failures),
        airflow=airflow,
    )


def _seen(scene: Scene, judgement: Judgement) -> str:
    """Say what came of it: what is wrong, or that every upload has the fate that it should have."""
    wrong = [*judgement.lost, *judgement.twice, *judgement.wrong]
    if wrong:
        return f"{wrong[0].key} {wrong[0].what}" + (
            f" (and {len(wrong) - 1} more)" * (len(wrong) > 1)
        )
    if scene.failures:
        return "; ".join(scene.failures)
    if not scene.injected:
        return "the fault was not injected"
    points = f", {scene.injected} of {len(scene.points)} failpoints" if scene.points else ""
    return f"{judgement.uploads} uploads, each with its fate{points}"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
