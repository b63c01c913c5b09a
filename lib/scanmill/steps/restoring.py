"""Puts back what was written once and is gone or altered, from the versions that the bucket keeps.

The pipeline never writes twice to an address that an audit can blame, so the first version is the
truth, whatever came after it. Later versions stay where they are: who wants an object gone for good
deletes all its versions.
"""

import logging
from collections.abc import Iterable

from scanmill.findings import Finding
from scanmill.inert import inert
from scanmill.steps import Mill

log = logging.getLogger(__name__)


def put_back(mill: Mill, findings: Iterable[Finding]) -> None:
    """Make the first version of every object that is to blame the current one.

    Raises:
        ObjectGoneError, ObjectDeniedError: a version cannot be read.
        RetryableError: the store failed.
    """
    for address in sorted({finding.address for finding in findings if finding.address}):
        for first, _ in mill.store.list_changed(address):
            mill.store.put_back(first.key, first.version)
            log.warning("put_back=%s version=%s", inert(first.key), inert(first.version))
