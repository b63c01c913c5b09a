"""The command that looks whether everything is there and works: `doctor`."""

import dataclasses

import click
from rich.text import Text

from scanmill.cli.opening import open_mill
from scanmill.cli.showing import people, print_json, safe
from scanmill.steps import examining


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def doctor(*, as_json: bool) -> int:
    """Look whether everything that Scanmill needs is there and works."""
    results = examining.examine(open_mill())
    is_well = all(result.is_well for result in results)
    if as_json:
        print_json({"ok": is_well, "checks": [dataclasses.asdict(result) for result in results]})
        return 0 if is_well else 1
    for result in results:
        mark = Text("ok  ", style="green") if result.is_well else Text("BAD ", style="bold red")
        people.print(mark + Text(f"{result.name:<22} ") + safe(result.detail))
        if result.remedy and not result.is_well:
            people.print(Text("    -> ", style="bold") + safe(result.remedy))
    return 0 if is_well else 1


COMMANDS = (doctor,)
