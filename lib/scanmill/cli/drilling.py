"""The command that breaks a stack of its own and counts what was lost: drill."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from scanmill.cli.showing import people, print_json, safe
from scanmill.local.home import STORES

if TYPE_CHECKING:
    from scanmill.drill.drilling import Outcome
    from scanmill.drill.fault import Fault, Result


@click.command()
@click.option("--quick", is_flag=True, help="Only six faults, in a few minutes.")
@click.option("--fault", "names", multiple=True, metavar="NAME", help="Only this fault; repeat it.")
@click.option("--list", "is_list", is_flag=True, help="Name all faults and end.")
@click.option(
    "--corpus", metavar="DIR", default="", help="Upload these files too, as hostile ones."
)
@click.option("--storms", type=click.IntRange(0), help="Rounds of many faults at once; 1 if all.")
@click.option("--uploads", type=click.IntRange(1), default=300, help="Uploads of one storm.")
@click.option("--seed", type=int, default=1, help="What chance is made from.")
@click.option("--store", type=click.Choice(STORES), default=STORES[0], help="The S3 server.")
@click.option("--dags", metavar="DIR", default="", help="Drill these DAG files instead of ours.")
@click.option("--report", metavar="FILE", default="", help="Write what was seen as Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def drill(
    *,
    quick: bool,
    names: tuple[str, ...],
    is_list: bool,
    corpus: str,
    storms: int | None,
    uploads: int,
    seed: int,
    store: str,
    dags: str,
    report: str,
    as_json: bool,
) -> int:
    """Break a stack of its own in every known way; prove that no page is lost, doubled or wrong."""
    # A second of imports, which no other command should pay for.
    from scanmill.drill import faults  # noqa: PLC0415
    from scanmill.drill.drilling import Wish, perform  # noqa: PLC0415
    from scanmill.drill.report import page  # noqa: PLC0415

    chosen = _chosen(faults.ALL, names, is_quick=quick)
    if is_list:
        _show_faults(chosen)
        return 0
    if corpus:
        chosen = [*(chosen if quick or names else ()), faults.corpus(corpus)]
    is_whole = not (quick or names or corpus)
    # Whoever ends the drill ends its stack: the usual signal must not leave it behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    wish = Wish(
        faults=chosen,
        storms=int(is_whole) if storms is None else storms,
        uploads=uploads,
        seed=seed,
        store=store,
        dags=dags,
    )

    def show(seen: "Outcome") -> None:
        _show_result(seen.results[-1])
        if report:  # whole after every fault: a drill takes long, and may be ended early
            Path(report).write_text(page(seen), encoding="utf-8")

    outcome = perform(wish, tell=_tell, show=show)
    if as_json:
        print_json(outcome.to_json())
    _show_outcome(outcome)
    return 0 if outcome.ok else 1


def _chosen(known: "Sequence[Fault]", names: Sequence[str], *, is_quick: bool) -> "list[Fault]":
    by_name = {fault.name: fault for fault in known}
    for name in names:
        if name not in by_name:
            raise click.UsageError(f"There is no fault [{name}]. See: ./scanmill drill --list")
    if names:
        return [by_name[name] for name in names]
    return [fault for fault in known if fault.is_quick or not is_quick]


def _tell(words: str) -> None:
    people.print(f"  {words}")


def _show_faults(chosen: "Sequence[Fault]") -> None:
    table = Table("fault", "what is broken", "what is expected", box=None, header_style="bold")
    for fault in chosen:
        table.add_row(fault.name, fault.what, fault.expected)
    people.print(table)


def _show_result(result: "Result") -> None:
    style = "yellow" if result.hindrance else "green" if result.ok else "bold red"
    people.print(Text("    ") + Text(_verdict(result), style=style) + safe(f"  {result.seen}"))


def _show_outcome(outcome: "Outcome") -> None:
    names = ("fault", "injected", "detected", "recovered", "lost", "twice", "wrong text", "seen")
    table = Table(*names, box=None, header_style="bold")
    for result in outcome.results:
        style = "yellow" if result.hindrance else "" if result.ok else "bold red"
        cells: list[Any] = [Text(result.name, style=style), str(result.injected)]
        cells += [_seconds(result.detected_s), _seconds(result.recovered_s)]
        cells += [str(result.lost), str(result.twice), str(result.wrong), safe(result.seen)]
        table.add_row(*cells)
    people.print(table)
    for result, tally in outcome.storms:
        people.print(f"  {result.name}: a naive loop misses {tally.missing} of {tally.pages} pages")
    count, verdict = len(outcome.injected), "all ok" if outcome.ok else "NOT ok"
    people.print(f"{count} faults in {outcome.seconds:.0f} s: {verdict}")
    if outcome.not_injected:
        skipped = ", ".join(result.name for result in outcome.not_injected)
        people.print(f"Not injected, and not counted: {skipped}")


def _verdict(result: "Result") -> str:
    if result.hindrance:
        return "not injected"
    return "ok" if result.ok else "FAILED"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


COMMANDS = (drill,)
