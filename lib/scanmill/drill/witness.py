"""Knows every upload by itself, and holds the books and the dataset against that.

It shares nothing with the pipeline but the ledger's tables, and reads the snapshot by hand.
"""

import dataclasses
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal

import pyarrow.parquet as pq
import sqlalchemy as sa

from scanmill.drill.scratch import Scratch
from scanmill.ledger import tables as t

_UNFINISHED = ("planned", "recognized", "passed", "released")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One version that the store acknowledged, and what has to become of it.

    `texts`: the text of every page, none where no page can be read. `is_last`: no newer version
    of the key and no deletion came after it. `is_foreign`: nobody knows what stands on its pages,
    or whether it has any; `is_rejected`: a strict decoder does not read it to its end.
    """

    key: str
    version: str
    collection: str
    sha256: str
    texts: tuple[str, ...] = ()
    fates: frozenset[str] = frozenset({"decoded"})
    is_last: bool = True
    is_held: bool = False
    is_foreign: bool = False
    is_rejected: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Something that must not be: which upload, and what is wrong with it."""

    key: str
    version: str
    what: str


@dataclasses.dataclass(slots=True)
class Judgement:
    """What the witness found: nothing at all is what is wanted."""

    uploads: int = 0
    lost: list[Wrong] = dataclasses.field(default_factory=list)
    twice: list[Wrong] = dataclasses.field(default_factory=list)
    wrong: list[Wrong] = dataclasses.field(default_factory=list)

    def about(self, upload: Upload) -> Callable[[Literal["lost", "twice", "wrong"], str], None]:
        """Return what notes that something is wrong with an upload."""

        def say(where: Literal["lost", "twice", "wrong"], what: str) -> None:
            wrong = Wrong(key=upload.key, version=upload.version, what=what)
            {"lost": self.lost, "twice": self.twice, "wrong": self.wrong}[where].append(wrong)

        return say

    @property
    def is_clean(self) -> bool:
        """Tell whether there is nothing to say."""
        return not (self.lost or self.twice or self.wrong)


class Witness:
    """Every upload of the drill, by collection."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._uploads: dict[tuple[str, str], Upload] = {}

    def note(self, upload: Upload) -> None:
        """Remember an upload that the store has acknowledged."""
        self._uploads[upload.key, upload.version] = upload

    def amend(self, upload: Upload, **changes: Any) -> None:
        """Remember that something happened to an upload since."""
        self.note(dataclasses.replace(self._uploads[upload.key, upload.version], **changes))

    def of(self, collections: Collection[str]) -> list[Upload]:
        """Return the uploads to some collections."""
        return [one for one in self._uploads.values() if one.collection in collections]

    def is_settled(self, collections: Collection[str]) -> bool:
        """Tell whether nothing that was uploaded there is on its way any more."""
        images = self._images(collections)
        pages = self._pages(collections)
        batches = t.BATCHES.c
        open_batches = self._scratch.rows(
            sa.select(batches.batch_id).where(
                batches.collection.in_(collections), batches.state.in_(_UNFINISHED)
            )
        )
        known = {(row["key"], row["version"]) for row in images if row["fate"] != "pending"}
        landed = {(one.key, one.version) for one in self.of(collections)}
        return landed <= known and not open_batches and all(p["fate"] != "pending" for p in pages)

    def judge(self, collections: Collection[str]) -> Judgement:
        """Hold books and dataset against what was uploaded to some collections."""
        uploads = self.of(collections)
        found = Judgement(uploads=len(uploads))
        images = {(row["key"], row["version"]): row for row in self._images(collections)}
        pages: dict[str, list[dict[str, Any]]] = {}
        for page in self._pages(collections):
            pages.setdefault(page["image_id"], []).append(page)
        rows = [row for name in sorted(collections) for row in self._published(name)]
        published = {(row["image_id"], row["page_number"]) for row in rows}
        for upload in uploads:
            image = images.get((upload.key, upload.version))
            mine = pages.get(image["image_id"], []) if image else []
            _judge_upload(found, upload, image, mine, published)
        _judge_rows(found, uploads, rows)
        return found

    def _images(self, collections: Collection[str]) -> list[dict[str, Any]]:
        images = t.IMAGES.c
        return self._scratch.rows(sa.select(t.IMAGES).where(images.collection.in_(collections)))

    def _pages(self, collections: Collection[str]) -> list[dict[str, Any]]:
        joined = t.PAGES.join(t.IMAGES, t.IMAGES.c.image_id == t.PAGES.c.image_id)
        query = sa.select(t.PAGES).select_from(joined)
        return self._scratch.rows(query.where(t.IMAGES.c.collection.in_(collections)))

    def _published(self, collection: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of the current snapshot, read by hand from `LATEST` on."""
        folder = f"datasets/{collection}/"
        try:
            path = self._scratch.read(f"{folder}_snapshots/LATEST").decode()
        except self._scratch.s3.exceptions.NoSuchKey:
            return
        for shard in json.loads(self._scratch.read(folder + path))["shards"]:
            body = self._scratch.read(folder + shard["path"])
            if hashlib.sha256(body).hexdigest() != shard["sha256"]:
                raise AssertionError(f"[{shard['path']}] has other bytes than its manifest says")
            yield from pq.read_table(io.BytesIO(body)).to_pylist()


def _judge_upload(
    found: Judgement,
    upload: Upload,
    image: dict[str, Any] | None,
    pages: list[dict[str, Any]],
    published: Collection[tuple[str, int]],
) -> None:
    """Say what is wrong with the fate of one upload and of its pages."""
    say = found.about(upload)
    if image is None or image["fate"] == "pending":
        say("lost", "has no fate" if image else "is not in the books")
    elif image["fate"] not in upload.fates:
        say("wrong", f"is {image['fate']} ({image['reason']}): {image['detail']}")
    elif image["fate"] == "decoded":
        if image["sha256"] != upload.sha256:
            say("wrong", "other bytes were read than were uploaded")
        if not upload.is_foreign:
            _judge_pages(found, upload, pages, published)
        elif upload.is_rejected and all(page["fate"] != "quarantined" for page in pages):
            say("wrong", "a strict decoder rejects it, and every page of it counts as read")


def _judge_pages(
    found: Judgement,
    upload: Upload,
    pages: list[dict[str, Any]],
    published: Collection[tuple[str, int]],
) -> None:
    say = found.about(upload)
    if len(pages) != len(upload.texts):
        say("lost", f"has {len(pages)} pages in the books, not {len(upload.texts)}")
    for page in pages:
        number, fate = page["page_number"], page["fate"]
        if fate == "published" and (page["image_id"], number) not in published:
            say("lost", f"page {number} is called published and is not in the snapshot")
        if fate not in _page_fates(upload, number):
            say("wrong", f"page {number} is {fate} ({page['reason']}): {page['detail']}")


def _page_fates(upload: Upload, number: int) -> Collection[str]:
    if upload.is_held:
        return ("held", "withdrawn")
    if 0 < number <= len(upload.texts) and not upload.texts[number - 1]:
        return ("rejected",)
    return ("published", "duplicate", *(() if upload.is_last else ("superseded",)))


def _judge_rows(
    found: Judgement, uploads: Collection[Upload], rows: Collection[dict[str, Any]]
) -> None:
    """Say which texts are in the dataset without a source or twice, and which are missing."""
    by_version = {(one.key, one.version): one for one in uploads}
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        key, version = row["source_key"], str(row["source_version"])
        upload = by_version.get((key, version))
        if upload is None:
            what = "is in the dataset, and nobody uploaded it"
            found.wrong.append(Wrong(key=key, version=version, what=what))
        elif not upload.is_foreign:
            _judge_row(found, upload, row, counts)
    for upload in uploads:
        for number, text in enumerate(upload.texts, start=1):
            is_wanted = text and upload.is_last and not upload.is_held
            if is_wanted and not counts[upload.collection, text]:
                found.about(upload)("lost", f"the text of page {number} is not in the dataset")


def _judge_row(
    found: Judgement, upload: Upload, row: dict[str, Any], counts: Counter[tuple[str, str]]
) -> None:
    say, number, text = found.about(upload), row["page_number"], _words(row["text"])
    if not 0 < number <= len(upload.texts) or text != upload.texts[number - 1]:
        return say("wrong", f"its row for page {number} has a text that the page has not")
    if "decoded" not in upload.fates:
        say("wrong", f"its row for page {number} is still there, although it was replaced")
    counts[upload.collection, text] += 1
    if counts[upload.collection, text] == 2:
        say("twice", f"the text of page {number} is in the dataset more than once")
    return None


def _words(text: str) -> str:
    return " ".join(text.split())
