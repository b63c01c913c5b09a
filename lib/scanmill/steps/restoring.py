"""Puts back what was written once and is gone or altered, from the versions that the bucket keeps.

Whatever we write once carries the hash of its bytes, so that a version of ours can be told from
what others put there; the newest of ours is put back. What cannot be proven is left alone. No
version is deleted: who wants an object gone for good deletes all its versions.
"""

import logging
from collections.abc import Iterable

from scanmill.changes import list_changes
from scanmill.errors import ObjectDeniedError
from scanmill.findings import Finding
from scanmill.inert import inert
from scanmill.steps import Mill

log = logging.getLogger(__name__)


def put_back(mill: Mill, findings: Iterable[Finding]) -> None:
    """Put every object that is to blame back as we wrote it; what may not be written stays named.

    Raises:
        RetryableError: the store failed.
    """
    for address in sorted({finding.address for finding in findings if finding.address}):
        for change in list_changes(mill.store, address):
            try:
                mill.store.put_back(change.written)
            except ObjectDeniedError as error:
                log.warning("not put back: %s", inert(str(error), limit=300))
            else:
                log.warning("put_back=%s", inert(change.written.key))
