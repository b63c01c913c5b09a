"""Holds what is written once against the versions of it that we wrote."""

from collections.abc import Collection, Iterator

from scanmill.changes import list_changes
from scanmill.findings import Finding, FindingKind
from scanmill.steps import Mill

_TOPS = ("batches/", "quarantine/", "datasets/")


def check_versions(mill: Mill, blamed: Collection[str]) -> Iterator[Finding]:
    """What was put over something of ours, and was not blamed yet: no count need be wrong for that.

    What is gone is the business of those who miss it.
    """
    for top in _TOPS:
        for change in list_changes(mill.store, top):
            key = change.written.key
            if not (change.is_gone or key.startswith(tuple(blamed))):
                detail = "it is not as it was written"
                yield Finding(FindingKind.ALTERED_OBJECT, key, detail, address=key)
