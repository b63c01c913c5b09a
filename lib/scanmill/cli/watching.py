"""A live view of what is happening, until nothing is pending any more."""

import time

from rich.live import Live
from rich.table import Table

from scanmill.cli.showing import people
from scanmill.errors import RetryableError
from scanmill.ledger import receipts
from scanmill.steps import Mill, receipting

_POLL_SECONDS = 1.0


def watch_until_settled(mill: Mill, *, deadline: float) -> bool:
    """Show what is on its way until nothing is; return whether that came before the deadline.

    On a terminal the view changes in place; elsewhere a line is printed for every change.
    """
    shown: dict[str, int] = {}
    with Live(console=people, transient=True, auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            waiting = _pending(mill)
            if waiting is not None and waiting != shown:
                shown = waiting
                _show(mill, live, waiting)
            if waiting is not None and not any(waiting.values()):
                return True
            if time.monotonic() >= deadline:
                return False
            # Looking lists the bucket: a large one is looked at less often.
            time.sleep(max(_POLL_SECONDS, 4 * (time.monotonic() - began)))


def _pending(mill: Mill) -> dict[str, int] | None:
    """Return what is pending; None while the store or the ledger is being started again."""
    try:
        return receipting.pending(mill)
    except RetryableError as error:
        people.print(f"  {error}", style="yellow")
        return None


def _show(mill: Mill, live: Live, waiting: dict[str, int]) -> None:
    if not people.is_terminal:
        line = ", ".join(f"{count} {name}" for name, count in waiting.items() if count)
        people.print(f"  on its way: {line or 'nothing'}")
        return
    with mill.ledger.reading() as connection:
        batches = receipts.unfinished_batches(connection)
        pages = receipts.page_counts(connection)
    table = Table("on its way", "", box=None, header_style="bold")
    for name, count in waiting.items():
        table.add_row(f"  {name}", str(count))
    for batch in batches:
        table.add_row(f"  {batch['batch_id']}", f"{batch['state']}, {batch['image_count']} images")
    table.add_row("  published", str(pages["published"]))
    live.update(table, refresh=True)
