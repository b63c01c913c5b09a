"""Puts back what was written once and is gone or altered, from the versions that the bucket keeps.

The pipeline never writes twice to an address that an audit can blame, so the first version is the
truth, whatever came after it. Later versions stay where they are: who wants an object gone for good
deletes all its versions.
"""

import itertools
import logging
import operator
from collections.abc import Iterable, Sequence

from scanmill.findings import Finding
from scanmill.inert import inert
from scanmill.listing import Listed
from scanmill.steps import Mill

log = logging.getLogger(__name__)


def put_back(mill: Mill, findings: Iterable[Finding]) -> int:
    """Make the first version of every object that is to blame the current one; return how many.

    Raises:
        RetryableError: the store failed.
    """
    addresses = {finding.address for finding in findings if finding.address}
    return sum(_put_back(mill, address) for address in sorted(addresses))


def _put_back(mill: Mill, address: str) -> int:
    by_key = operator.attrgetter("key")
    entries = sorted(mill.store.list_versions(address), key=by_key)
    return sum(_restore(mill, list(versions)) for _, versions in itertools.groupby(entries, by_key))


def _restore(mill: Mill, versions: Sequence[Listed]) -> bool:
    """Make the first of an object's versions the current one; tell whether it was not."""
    written = [entry for entry in versions if not entry.is_delete_marker]
    # Within one second the order of the listing decides: the newest comes first.
    first = min(reversed(written), key=operator.attrgetter("modified_at"), default=None)
    if first is None or any(entry.is_latest and entry.etag == first.etag for entry in written):
        return False
    mill.store.put_back(first.key, first.version)
    log.warning("put_back=%s version=%s", inert(first.key), inert(first.version))
    return True
