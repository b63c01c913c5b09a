"""The command that breaks a stack of its own and counts what was lost: drill."""

import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from scanmill.cli.showing import people, print_json, safe
from scanmill.drill.fault import Fault, Result


@click.command()
@click.option("--quick", is_flag=True, help="Only six faults, in under four minutes.")
@click.option("--fault", "names", multiple=True, metavar="NAME", help="Only this fault; repeat it.")
@click.option("--list", "is_list", is_flag=True, help="Name all faults and end.")
@click.option("--seed", type=int, default=1, help="What chance is made from.")
@click.option("--dags", metavar="DIR", default="", help="Drill these DAG files instead of ours.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def drill(
    *, quick: bool, names: tuple[str, ...], is_list: bool, seed: int, dags: str, as_json: bool
) -> int:
    """Break a scratch stack in every known way, and prove that no page is lost, doubled or wrong."""
    from scanmill.drill import faults, running  # noqa: PLC0415 - only this command needs it

    chosen = _chosen(faults.ALL, names, is_quick=quick)
    if is_list:
        _show_faults(chosen)
        return 0
    # Whoever ends the drill ends its stack: the usual signal must not leave it behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    settings = {"AIRFLOW__CORE__DAGS_FOLDER": dags} if dags else {}
    began = time.monotonic()
    results = []
    with running.opened(settings, seed=seed, tell=_tell) as world:
        for result in running.run(world, chosen, seed=seed, tell=_tell):
            results.append(result)
            _show_result(result)
    is_ok = all(result.ok for result in results)
    if as_json:
        print_json({"faults": [result.to_json() for result in results], "ok": is_ok})
    _show_results(results)
    people.print(f"{len(results)} faults in {running.elapsed(began)}.")
    return 0 if is_ok else 1


def _chosen(known: Sequence[Fault], names: Sequence[str], *, is_quick: bool) -> list[Fault]:
    by_name = {fault.name: fault for fault in known}
    for name in names:
        if name not in by_name:
            raise click.UsageError(f"There is no fault [{name}]. See: ./scanmill drill --list")
    if names:
        return [by_name[name] for name in names]
    return [fault for fault in known if fault.is_quick or not is_quick]


def _tell(words: str) -> None:
    people.print(f"  {words}")


def _show_faults(chosen: Sequence[Fault]) -> None:
    table = Table("fault", "what is broken", "what is expected", box=None, header_style="bold")
    for fault in chosen:
        table.add_row(fault.name, fault.what, fault.expected)
    people.print(table)


def _show_result(result: Result) -> None:
    style = "yellow" if result.hindrance else "green" if result.ok else "bold red"
    people.print(Text("    ") + Text(_verdict(result), style=style) + safe(f"  {result.seen}"))


def _show_results(results: Sequence[Result]) -> None:
    names = ("fault", "injected", "detected", "recovered", "lost", "twice", "wrong text", "seen")
    table = Table(*names, box=None, header_style="bold")
    for result in results:
        style = "yellow" if result.hindrance else "" if result.ok else "bold red"
        cells: list[Any] = [Text(result.name, style=style), str(result.injected)]
        cells += [_seconds(result.detected_s), _seconds(result.recovered_s)]
        cells += [str(result.lost), str(result.twice), str(result.wrong), safe(result.seen)]
        table.add_row(*cells)
    people.print(table)


def _verdict(result: Result) -> str:
    if result.hindrance:
        return "not injected"
    return "ok" if result.ok else "FAILED"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


COMMANDS = (drill,)
