"""Holds what is written once against its own first version."""

from collections.abc import Iterator

from scanmill.findings import Finding, FindingKind
from scanmill.steps import Mill
from scanmill.steps.auditing.books import Books

_TOPS = ("batches/", "quarantine/", "datasets/")


def check_versions(mill: Mill, _books: Books) -> Iterator[Finding]:
    """What was put over something of ours: no count and no id need be wrong for that.

    What is gone is the business of those who miss it.
    """
    for top in _TOPS:
        for first, is_gone in mill.store.list_changed(top):
            if not is_gone:
                detail = f"its first version is [{first.version}]"
                yield Finding(FindingKind.ALTERED_OBJECT, first.key, detail, address=first.key)
