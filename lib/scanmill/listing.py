"""Every version below a prefix, also of a store whose own listing leaves some out.

SeaweedFS 4.48 walks folder by folder, but begins its next page behind the greatest key of the
last one: of `inv/` and `inv-2024/`, together more than a page, the second is skipped, because `-`
comes before `/`. And what XML cannot hold stands in its answers as U+FFFD.
"""

import dataclasses
import datetime as dt
import itertools
import operator
import re
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from scanmill.errors import RetryableError

PAGE = 1000
_ONE_ANSWER = 10_000
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_STAND_IN = "\ufffd"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One entry of a listing of versions; a delete marker has no bytes."""

    key: str
    version: str
    etag: str
    size_bytes: int
    modified_at: dt.datetime
    is_latest: bool
    is_delete_marker: bool


def by_key(entries: Iterable[Listed]) -> Iterator[list[Listed]]:
    """Yield the versions and delete markers of one key after the other."""
    key = operator.attrgetter("key")
    for _, versions in itertools.groupby(sorted(entries, key=key), key):
        yield list(versions)


class Pages(Protocol):
    """Asks the store page by page."""

    def __call__(self, verb: str, prefix: str, **options: Any) -> Iterator[dict[str, Any]]:
        """Yield the answers to one question."""
        ...


def versions(pages: Pages, prefix: str, *, page_size: int = PAGE) -> Iterator[Listed]:
    """Yield every version and delete marker below a prefix, as the store orders those of a key."""
    for page in pages("list_object_versions", prefix, PaginationConfig={"PageSize": page_size}):
        entries = list(_entries(page))
        if _may_leave_out(page, entries):
            yield from _by_folder(pages, prefix, page_size)
            return
        yield from entries


def _may_leave_out(page: dict[str, Any], entries: list[Listed]) -> bool:
    server = page["ResponseMetadata"]["HTTPHeaders"].get("server", "")
    return "SeaweedFS" in server and (
        page["IsTruncated"] or any(_STAND_IN in entry.key for entry in entries)
    )


def _by_folder(pages: Pages, prefix: str, page_size: int) -> Iterator[Listed]:
    """List each folder for itself, then ask for each key of which something may be missing."""
    told: set[tuple[str, str]] = set()
    doubtful: list[Listed] = []
    cut: set[str] = set()
    for page in _pages_of_folders(pages, prefix, page_size):
        for entry in _entries(page):
            if _STAND_IN in entry.key:
                doubtful.append(entry)
            elif _may_be_cut(entry.key, page.get("NextKeyMarker", "")):
                cut.add(entry.key)
            else:
                told.add((entry.key, entry.version))
                yield entry
    whole = {key for key, _ in told} - cut
    for key in sorted(cut.union(_current_keys(pages, prefix)) - whole):
        for entry in _of_key(pages, key):
            if (key, entry.version) not in told:
                told.add((key, entry.version))
                yield entry
    # Whose key was deleted: no other listing has it.
    versions_told = {version for _, version in told}
    yield from (entry for entry in doubtful if entry.version not in versions_told)


def _pages_of_folders(pages: Pages, prefix: str, page_size: int) -> Iterator[dict[str, Any]]:
    folders = [prefix]
    options = {"Delimiter": "/", "PaginationConfig": {"PageSize": page_size}}
    while folders:
        for page in pages("list_object_versions", folders.pop(), **options):
            folders += [folder["Prefix"] for folder in page.get("CommonPrefixes", ())]
            yield page


def _may_be_cut(key: str, marker: str) -> bool:
    """Tell whether a page may end amid the versions of a key, and the next one skip the others."""
    folder = marker.removesuffix("/")
    return bool(marker) and key != marker and (marker.startswith(key) or key.startswith(folder))


def _current_keys(pages: Pages, prefix: str) -> Iterator[str]:
    for page in pages("list_objects_v2", prefix, PaginationConfig={"PageSize": _ONE_ANSWER}):
        for entry in page.get("Contents", ()):
            yield entry["Key"]


def _of_key(pages: Pages, key: str) -> Iterator[Listed]:
    """Yield the versions of one key, under its true name.

    Raises:
        RetryableError: there are none; what was listed must have been deleted for good meanwhile.
    """
    shown = _UNSPEAKABLE.sub(_STAND_IN, key)
    is_there = False
    for page in pages("list_object_versions", key, Delimiter="/"):
        for entry in _entries(page):
            if entry.key == shown:
                is_there = True
                yield dataclasses.replace(entry, key=key)
    if not is_there:
        raise RetryableError(
            f"The store lists [{key}], but no version of it; rename it if it stays"
        )


def _entries(page: dict[str, Any]) -> Iterator[Listed]:
    for entry in page.get("Versions", ()):
        yield _listed(entry, is_delete_marker=False)
    for entry in page.get("DeleteMarkers", ()):
        yield _listed(entry, is_delete_marker=True)


def _listed(entry: dict[str, Any], *, is_delete_marker: bool) -> Listed:
    return Listed(
        key=entry["Key"],
        version=entry["VersionId"],
        etag=entry.get("ETag", "").strip('"'),
        size_bytes=entry.get("Size", 0),
        modified_at=entry["LastModified"],
        is_latest=entry["IsLatest"],
        is_delete_marker=is_delete_marker,
    )
