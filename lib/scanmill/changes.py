"""What was written once and is gone or another now, proven from the versions of the bucket.

Where the bucket keeps no versions, nothing can be proven.
"""

import dataclasses
import operator
from collections.abc import Iterator, Sequence

from scanmill import layout, listing
from scanmill.errors import ObjectDeniedError, ObjectGoneError
from scanmill.listing import Listed
from scanmill.store import Store, Written


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """An object as we wrote it last, and whether it is gone now or another."""

    written: Written
    is_gone: bool


def list_changes(store: Store, prefix: str) -> Iterator[Change]:
    """Yield every change below a prefix.

    Raises:
        RetryableError: the store failed.
    """
    ours = (entry for entry in store.list_versions(prefix) if layout.is_written_once(entry.key))
    for versions in listing.by_key(ours):
        # Equal bytes, whoever put them there, are no change, and are not read.
        if len({entry.etag for entry in versions}) > 1 and (change := _change(store, versions)):
            yield change


def _change(store: Store, versions: Sequence[Listed]) -> Change | None:
    # In the listing the newest is the first; a sort keeps that where seconds are equal.
    newest_first = sorted(versions, key=operator.attrgetter("modified_at"), reverse=True)
    current = next((entry for entry in newest_first if entry.is_latest), None)
    if current is None or store.read_written(current):
        return None
    earlier = (entry for entry in newest_first if entry is not current)
    written = next((one for entry in earlier if (one := store.read_written(entry))), None)
    if written is None:
        return None
    if current.is_delete_marker:
        return Change(written, is_gone=True)
    try:
        is_the_same = store.read(current.key) == written.body
    except (ObjectGoneError, ObjectDeniedError):
        return None  # nobody can tell what it is
    return None if is_the_same else Change(written, is_gone=False)
