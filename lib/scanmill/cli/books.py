"""Commands that ask the books and decide: status, trace, audit, review, reprocess, wait."""

import getpass
import time

import click

from scanmill.cli.opening import open_mill
from scanmill.cli.showing import people, print_json, show_findings, show_receipt, show_story
from scanmill.cli.watching import watch_until_settled
from scanmill.findings import explained
from scanmill.models import EngineName
from scanmill.steps import (
    auditing,
    healing,
    orphans,
    planning,
    rebuilding,
    receipting,
    reprocessing,
    reviewing,
    ringing,
    tracing,
)

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


@click.command()
@_json
def status(*, as_json: bool) -> int:
    """Print the receipt: where every image and page is, and whether the numbers add up."""
    sums = receipting.receipt(open_mill())
    print_json(sums) if as_json else show_receipt(sums)
    return 0 if receipting.is_balanced(sums) else 1


@click.command()
@click.argument("name", metavar="KEY|ROW_ID")
@_json
def trace(name: str, *, as_json: bool) -> int:
    """Tell one image's whole story: its versions, pages, verdicts and rows; and back from a row."""
    story = tracing.trace(open_mill(), name)
    print_json(story) if as_json else show_story(story)
    return 0


@click.command()
@_json
def audit(*, as_json: bool) -> int:
    """Hold listing, ledger, parts, quarantine and snapshots against each other, now."""
    mill = open_mill()
    findings = auditing.audit(mill)
    entries = [explained(finding) for finding in findings]
    lost = sum(finding.is_lost for finding in findings)
    if as_json:
        print_json({"lost": lost, "findings": entries})
    elif findings:
        show_findings(entries)
        people.print(f"{len(findings)} findings, {lost} lost.", style="bold red")
    else:
        people.print("The audit found nothing: lost 0.", style="bold green")
    return 1 if findings else 0


@click.command()
def heal() -> int:
    """Put back, finish and enter what can be, then audit again; deletes nothing."""
    mill = open_mill()
    auditing.audit(mill)
    people.print(f"Mended {healing.heal(mill)} findings.")
    objects, size_bytes = orphans.count(mill)
    people.print(f"{objects} objects of killed builds lie there, {size_bytes} bytes: no harm.")
    return 0


@click.group()
def ledger() -> None:
    """Look after the ledger itself."""


@ledger.command()
def rebuild() -> int:
    """Make the ledger again from the bucket; what is entered already stays as it is."""
    mill = open_mill()
    people.print(f"Entered {rebuilding.rebuild(mill)} batches.")
    findings = auditing.audit(mill)
    show_findings([explained(finding) for finding in findings])
    return 1 if findings else 0


@click.command()
@click.argument("batch_id", metavar="BATCH")
@click.option("--release", is_flag=True, help="Publish it after all.")
@click.option("--discard", is_flag=True, help="Leave it out for good.")
@click.option("--because", default="", help="Why; it stands in the books.")
def review(batch_id: str, *, release: bool, discard: bool, because: str) -> int:
    """Decide on a batch that a gate holds."""
    if release == discard:
        raise click.UsageError("Say what to do: either --release or --discard.")
    mill = open_mill()
    decided: reviewing.Verb = "release" if release else "discard"
    reviewing.decide(mill, batch_id, verb=decided, because=because, decided_by=getpass.getuser())
    if decided == "discard":
        people.print(f"Batch {batch_id} is discarded; its pages are withdrawn.")
    elif ringing.ring(mill, "pages", [batch_id]):
        people.print(f"Batch {batch_id} is released and on its way. See: ./scanmill wait")
    else:
        seconds = round(mill.settings.audit_seconds)
        people.print(f"Batch {batch_id} is released; it is built within {seconds} s.")
    return 0


@click.command()
@click.option("--reason", default="", help="Set aside for this reason, as a whole or a page.")
@click.option("--key", metavar="GLOB", default="", help="A pattern of keys: 'receipts/*/00?.tif'.")
@click.option("--batch", default="", help="Landed with this batch.")
@click.option("--stale", is_flag=True, help="Read by another engine, or with other settings.")
@click.option("--engine", type=click.Choice([*map(str, EngineName)]), help="Engine that reads.")
@click.option("--psm", type=click.IntRange(0, 13), help="Tesseract page segmentation mode.")
@click.option("--lang", metavar="L", help="Tesseract languages, joined by `+`.")
@click.option("--because", default="", help="Why; it stands in the books.")
def reprocess(
    *,
    reason: str,
    key: str,
    batch: str,
    stale: bool,
    engine: str | None,
    psm: int | None,
    lang: str | None,
    because: str,
) -> int:
    """Read images of the books again, with other settings; a better result is published."""
    mill = open_mill()
    batch_ids = reprocessing.reprocess(
        mill,
        reprocessing.Choice(reason=reason, key=key, batch=batch, is_stale=stale),
        settings={"ocr_engine": engine, "ocr_psm": psm, "ocr_languages": lang},
        asked_by=getpass.getuser(),
        because=because,
    )
    if not batch_ids:
        people.print("Nothing in the books is like that: there is nothing to read again.")
    elif ringing.ring(mill, "image_batches", batch_ids):
        planning.note_announced(mill, batch_ids)
        people.print(f"Reading again: {', '.join(batch_ids)}. See: ./scanmill wait")
    else:
        seconds = round(mill.settings.sweep_seconds)
        people.print(f"Planned: {', '.join(batch_ids)}; the next sweep begins, within {seconds} s.")
    return 0


@click.command()
@click.option("--timeout", type=click.FloatRange(min=0), default=600, help="Seconds to wait.")
def wait(*, timeout: float) -> int:
    """Wait until nothing is pending, what is listed and not planned included."""
    mill = open_mill()
    if watch_until_settled(mill, deadline=time.monotonic() + timeout):
        return 0
    left = ", ".join(f"{count} {name}" for name, count in receipting.pending(mill).items() if count)
    people.print(f"scanmill: Not settled after {timeout:g} s: {left}. See: ./scanmill doctor")
    return 1


COMMANDS = (status, trace, audit, heal, ledger, review, reprocess, wait)
