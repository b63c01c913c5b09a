"""Writes what the drill saw as a page of documentation."""

import datetime as dt
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version

from scanmill import __version__
from scanmill.drill.drilling import Outcome
from scanmill.drill.fault import Result
from scanmill.drill.faults import ALL
from scanmill.drill.naive import Tally

_HEAD = """\
# What survives

`./scanmill drill --report docs/reliability.md` wrote this page, on {date}, in {minutes:.0f} \
minutes: {faults} of the {known} faults it knows, one by one, then {storms} storms of at least \
{uploads} uploads each. It runs the real pipeline, in real Airflow processes, \
over a real S3 API, on a stack of its own; only the recognition of letters is a stand-in, which \
reads texts that the drill put into the pixels. The drill keeps its own record of what it \
uploaded, and holds books and dataset against that.

Scanmill {scanmill}, Airflow {airflow}, store {store}, Python {python}, {cores} cores. \
Times are of this one machine.
"""

_STORMS = """
## Storms

Kills of Airflow's components, of idle workers of its executor, of the store and of tasks every \
few seconds, and a network that answers 503 to 3 % of the requests and 500 to 1 %, resets 1 %, \
loses the answer to 2 % of the writes, breaks off 2 % of the downloads, stalls 0.4 % for 4 s, and \
loses or doubles the events of 60 % of the queue's answers. Beside it, a loop with `try` and \
`except` reads the same uploads through the same network, and no process of it is killed.

| seed | uploads | injected | lost | twice | wrong | settled after | naive loop: missing |
|---|---|---|---|---|---|---|---|
"""

_SUM = """
**{lost} of {uploads} uploads lost**, over {seeds} seeds and {injected} injected faults. With 95 % \
confidence the pipeline loses less than {bound:.2g} % of what lands under such faults (three \
divided by the number of uploads: what follows from seeing none lost). The naive loop misses \
{missing} of {pages} pages ({share:.1f} %), and says nothing of it.
"""

_FAULTS = """
## Faults, one by one

*Detected* is when the product reacted or told of it: a process started again, a task tried again, \
a red command, a mail. A dash: nothing had to be noticed, what failed was tried again on the spot. \
*Airflow alone* is when plain Airflow 3.3 would have told somebody ([watchdog](watchdog.md)); a \
dash: it has no part in it. *Recovered* is when every upload had its fate. All in seconds from the \
first breakage on, the length of the outage included.

| fault | what is broken | expected | injected | detected | Airflow alone | recovered \
| lost | twice | wrong |
|---|---|---|---|---|---|---|---|---|---|
"""

_NOT_INJECTED = """
## Not injected

Power loss under a disk that lies about having written; throttling and outages of Amazon's own S3 \
and SQS; the loss of a zone; several machines with PostgreSQL; a malicious author of DAGs.\
"""


def page(outcome: Outcome) -> str:
    """Return the page, in Markdown."""
    faults = [result for result in outcome.faults if not result.hindrance]
    head = _HEAD.format(
        storms=len(outcome.storms),
        faults=len(faults),
        known=len(ALL),
        uploads=outcome.wish.uploads,
        date=dt.datetime.now(dt.UTC).date(),
        minutes=outcome.seconds / 60,
        scanmill=__version__,
        airflow=version("apache-airflow"),
        store=outcome.wish.store,
        python=platform.python_version(),
        cores=os.cpu_count(),
    )
    parts = [head]
    if outcome.storms:
        rows = (_storm_row(*one) for one in outcome.storms)
        parts += [_STORMS, *rows, _sum(outcome.storms)]
    if faults:
        parts += [_FAULTS, *map(_fault_row, faults)]
    skipped = (f" {one.name}: {one.hindrance}." for one in outcome.not_injected)
    return "".join([*parts, _NOT_INJECTED, *skipped, "\n"])


def _storm_row(result: Result, tally: Tally) -> str:
    cells = [result.name.rpartition("_")[2], result.uploads, result.injected, result.lost]
    cells += [result.twice, result.wrong, _seconds(result.recovered_s)]
    return _row(*cells, f"{tally.missing} of {tally.pages}")


def _sum(storms: Sequence[tuple[Result, Tally]]) -> str:
    uploads = sum(result.uploads for result, _ in storms)
    pages, missing = (
        sum(getattr(tally, name) for _, tally in storms) for name in ("pages", "missing")
    )
    return _SUM.format(
        lost=sum(result.lost for result, _ in storms),
        uploads=uploads,
        seeds=len(storms),
        injected=sum(result.injected for result, _ in storms),
        bound=100 * 3 / uploads,
        missing=missing,
        pages=pages,
        share=100 * missing / pages,
    )


def _fault_row(result: Result) -> str:
    times = (_seconds(result.detected_s), result.airflow or "-", _seconds(result.recovered_s))
    counts = (result.lost, result.twice, result.wrong)
    name = f"`{result.name}`"
    return _row(name, result.what, result.expected, result.injected, *times, *counts)


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} s"
