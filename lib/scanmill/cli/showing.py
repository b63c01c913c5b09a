"""How results look on a terminal: tables and bars for people on stderr, JSON alone on stdout."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scanmill.inert import inert

people = Console(stderr=True, highlight=False, soft_wrap=True)
"""Words for people."""

_COLORS = {
    "decoded": "green",
    "published": "green",
    "pending": "yellow",
    "held": "red",
    "quarantined": "magenta",
    "rejected": "magenta",
}


def print_json(content: Any) -> None:
    """Print JSON for machines."""
    json.dump(content, sys.stdout, indent=2, ensure_ascii=True, default=str)
    sys.stdout.write("\n")


def safe(text: object) -> Text:
    """Return foreign text so that the terminal shows it and obeys nothing in it."""
    return Text(inert(str(text)))


def show_receipt(sums: Mapping[str, Any]) -> None:
    """Print the receipt: both laws of accounts, reasons, datasets, and whether it all adds up."""
    people.print(_law("images", "landed", sums["images"]))
    people.print(_law("pages", "found", sums["pages"]))
    for kind, reasons in sums["quarantine"].items():
        for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
            people.print(f"  quarantined {kind}: {count:>6}  {reason}", style="magenta")
    for name, dataset in sums["datasets"].items():
        rows = dataset["rows"]
        total = f"{sum(rows.values())} rows"
        parts = ", ".join(f"{split} {count}" for split, count in rows.items())
        people.print(f"  dataset {name}, snapshot {dataset['version']}: {total} ({parts})")
        people.print(f"    {dataset['uri']}", style="cyan")
    for batch_id in sums["held"]:
        people.print(f"  held: {batch_id} waits for you: ./scanmill review {batch_id} --help")
    _show_stale(sums["stale"])
    _show_alerts(sums["alerts"])
    _show_balance(sums)


def _show_balance(sums: Mapping[str, Any]) -> None:
    age = f"audited {sums['audited_seconds_ago']} s ago"
    if sums["audit_is_overdue"]:
        words = f"  The books are not audited any more ({age}): ./scanmill doctor"
        people.print(words, style="bold red")
    if sums["lost"] or sums["imbalances"] or sums["findings"]:
        people.print(f"  lost: {sums['lost']}   ({age})", style="bold red")
        show_findings(sums["findings"])
        for sentence in sums["imbalances"]:
            people.print(f"  {sentence}", style="red")
    elif not sums["audit_is_overdue"]:
        people.print(f"  lost: 0   The books balance ({age}).", style="bold green")


def _show_stale(stale: Mapping[str, Any]) -> None:
    if stale["pages"]:
        words = (
            f"  stale: {stale['pages']} pages were read by another engine or with other settings"
        )
        people.print(f"{words}: ./scanmill reprocess --stale", style="yellow")
    elif stale["detail"]:
        people.print(Text("  stale: unknown. ", style="yellow") + safe(stale["detail"]))


def _show_alerts(alerts: Mapping[str, Any]) -> None:
    for alert in alerts["open"]:
        since = f"{alert['created_at']:%Y-%m-%d %H:%M} UTC"
        what = alert["subject"].removeprefix("[scanmill] ")
        people.print(Text("  alert: ", style="yellow") + safe(what) + Text(f" (since {since})"))
    if alerts["watchdog"]:
        words = f"  the watchdog is away: {alerts['watchdog']} What to do: ./scanmill doctor"
        people.print(words, style="yellow")
    if alerts["undelivered"]:
        words = f"  alerts that have not arrived: {alerts['undelivered']}; why: ./scanmill doctor"
        people.print(words, style="yellow")


def _law(noun: str, total: str, counts: Mapping[str, int]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text(f"{noun} {total}", style="bold"), Text(str(counts[total]), style="bold"))
    for fate, count in counts.items():
        if fate != total and count:
            style = _COLORS.get(fate, "")
            bar = "█" * max(1, round(30 * count / max(1, counts[total])))
            table.add_row(Text(f"  {fate}", style=style), str(count), Text(bar, style=style))
    return table


def show_findings(findings: Sequence[Mapping[str, Any]]) -> None:
    """Print what an audit found, kind by kind: what it means, about what, and what to do."""
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for finding in findings:
        by_kind.setdefault(finding["kind"], []).append(finding)
    for kind, found in by_kind.items():
        people.print(Text(kind, style="bold") + f": {found[0]['meaning']}")
        for finding in found:
            is_lost = finding["is_lost"]
            mark = Text("LOST ", style="bold red") if is_lost else Text("off  ", style="yellow")
            people.print(mark + safe(finding["subject"]) + ": " + safe(finding["detail"]))
        people.print(Text("  -> ", style="bold") + found[0]["remedy"])


def show_story(story: Mapping[str, Any]) -> None:
    """Print one image's whole story, oldest version first."""
    people.print(Text("key  ", style="bold") + safe(story["key"]))
    for version in story["versions"]:
        people.print()
        fate = f"{version['fate']}" + (f" ({version['reason']})" if version["reason"] else "")
        people.print(Text(f"version {version['version']}: {fate}", style="bold"))
        for name in ("image_id", "batch_id", "landed_at", "sha256", "detail", "successor_id"):
            _line(name, version.get(name))
        _line("quarantine", version.get("quarantine"))
        _line("log", version.get("log"))
        for verdict in version.get("verdicts", ()):
            outcome = "passed" if verdict["passed"] else "failed"
            _line(verdict["gate"], f"{outcome} ({verdict['severity']}), {verdict['report']}")
            if verdict["verb"]:
                _line(verdict["verb"], f"by {verdict['decided_by']}: {verdict['because']}")
        for page in version["pages"]:
            _show_page(page)
        for attempt in _later(version.get("attempts", ())):
            _show_attempt(attempt)


def _show_page(page: Mapping[str, Any]) -> None:
    fate = page["fate"] + (f" ({page['reason']})" if page["reason"] else "")
    people.print(f"  page {page['page_number']}: {fate}", style=_COLORS.get(page["fate"], ""))
    names = ("page_id", "detail", "other_page_id", "snapshot", "split", "shard")
    for name in names:
        _line(f"  {name}", page[name])


def _later(attempts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the attempts after the first batch: what that found stands with the pages."""
    return [attempt for attempt in attempts if attempt["batch_id"] != attempts[0]["batch_id"]]


def _show_attempt(attempt: Mapping[str, Any]) -> None:
    confidence = attempt["mean_confidence"]
    what = attempt["reason"] or (f"confidence {confidence:.0f}" if confidence else "no words")
    _line("read again", f"page {attempt['page_number']} in {attempt['batch_id']}: {what}")


def _line(name: str, value: object) -> None:
    if value not in {None, ""}:
        people.print(Text(f"  {name:<14}", style="dim") + safe(value))
