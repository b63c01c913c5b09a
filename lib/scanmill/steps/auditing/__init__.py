"""Audits the books: listing x ledger x parts x quarantine x snapshot, and names what is off.

It reads and never writes but its own result, and shares nothing with the steps that write but the
schema, the addresses and the tables. It compares one unchanging state of the ledger with objects
that are never changed, so that it may run in the middle of a batch: objects are written before the
transaction that names them, and whatever the ledger names has to be there.
"""

import dataclasses
import datetime as dt
import time

import sqlalchemy as sa

from scanmill.findings import Finding
from scanmill.ledger import tables as t
from scanmill.steps import Mill
from scanmill.steps.auditing.batches import check_batches, check_landing, check_parts
from scanmill.steps.auditing.books import check_balance, check_ledger, read_books
from scanmill.steps.auditing.datasets import check_quarantine, check_snapshots
from scanmill.steps.auditing.versions import check_versions

_CHECKS = (
    check_balance,
    check_ledger,
    check_landing,
    check_batches,
    check_parts,
    check_quarantine,
    check_snapshots,
)


def audit(mill: Mill) -> list[Finding]:
    """Return everything that is off, what is lost first, and enter the result in the ledger."""
    start = time.monotonic()
    with mill.ledger.reading() as connection:
        books = read_books(connection)
    findings = [finding for check in _CHECKS for finding in check(mill, books)]
    blamed = {finding.address for finding in findings if finding.address}
    findings += check_versions(mill, blamed)
    findings.sort(key=lambda finding: (not finding.is_lost, finding.kind, finding.subject))
    result = {
        "finished_at": dt.datetime.now(dt.UTC),
        "seconds": time.monotonic() - start,
        "lost": sum(finding.is_lost for finding in findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    with mill.ledger.writing() as connection:
        connection.execute(sa.insert(t.AUDITS), [result])
    return findings
