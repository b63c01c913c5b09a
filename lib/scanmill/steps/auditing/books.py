"""What the ledger says, read in one transaction, and whether it agrees with itself."""

import dataclasses
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill.findings import Finding, FindingKind
from scanmill.ledger import tables as t
from scanmill.models import FINISHED, BatchState, ImageFate, PageFate
from scanmill.steps import Mill

Row = sa.RowMapping

# What the checks look at, and no more: there may be millions of them.
_OF_AN_IMAGE = (
    *("image_id", "collection", "key", "version", "etag", "batch_id", "slice", "fate", "reason"),
    *("sha256", "page_count"),
)
_OF_A_PAGE = (
    *("page_id", "image_id", "batch_id", "slice", "page_number", "fate", "reason"),
    *("other_page_id", "snapshot"),
)
_JUDGED = {BatchState.PASSED, BatchState.HELD, BatchState.RELEASED, BatchState.DISCARDED}
_DECIDED = {BatchState.RELEASED, BatchState.DISCARDED}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Everything the ledger says, read in one transaction."""

    images: dict[str, Row]
    pages: dict[str, Row]
    batches: Sequence[Row]
    parts: dict[tuple[str, int], int]
    """How many rows the part of every slice has."""
    attempts: dict[tuple[str, int], int]
    """How many of them are on record."""
    snapshots: Sequence[Row]
    verdicts: set[tuple[str, int]]
    decisions: set[tuple[str, int]]
    signed: set[str]
    """The pages whose text is found by a signature."""

    def key_of(self, page: Row) -> str:
        """Return the key of a page's image."""
        image = self.images.get(page["image_id"])
        return str(image["key"]) if image else str(page["page_id"])

    def is_published(self, page_id: str | None) -> bool:
        """Tell whether there is such a page in the dataset."""
        page = self.pages.get(page_id or "")
        return page is not None and page["fate"] == PageFate.PUBLISHED

    def latest_verdict(self, batch_id: str) -> int:
        """Return the number of a batch's latest verdict, 0 without any."""
        return max((number for batch, number in self.verdicts if batch == batch_id), default=0)

    def newest_snapshots(self) -> list[Row]:
        """Return the newest snapshot of every collection, by name."""
        ordered = sorted(self.snapshots, key=lambda row: (row["collection"], row["version"]))
        return list({row["collection"]: row for row in ordered}.values())


def read_books(connection: Connection) -> Books:
    """Return everything the ledger says, as of one moment."""

    def rows(table: sa.Table, *names: str) -> Sequence[Row]:
        columns = [table.c[name] for name in names or table.c.keys()]
        return connection.execute(sa.select(*columns)).mappings().all()

    attempts = sa.select(t.ATTEMPTS.c.batch_id, t.ATTEMPTS.c.slice, sa.func.count())
    attempts = attempts.group_by(t.ATTEMPTS.c.batch_id, t.ATTEMPTS.c.slice)
    return Books(
        images={row["image_id"]: row for row in rows(t.IMAGES, *_OF_AN_IMAGE)},
        pages={row["page_id"]: row for row in rows(t.PAGES, *_OF_A_PAGE)},
        batches=rows(t.BATCHES),
        parts={(row["batch_id"], row["slice"]): row["row_count"] for row in rows(t.PARTS)},
        attempts={(batch, number): count for batch, number, count in connection.execute(attempts)},
        snapshots=rows(t.SNAPSHOTS),
        verdicts={(row["batch_id"], row["number"]) for row in rows(t.VERDICTS)},
        decisions={(row["batch_id"], row["number"]) for row in rows(t.DECISIONS)},
        signed=set(connection.scalars(sa.select(t.SIGNATURES.c.page_id).distinct())),
    )


def check_balance(_mill: Mill, books: Books) -> Iterator[Finding]:
    """Name the laws of accounts that do not hold, counted apart from the receipt."""
    for noun, rows, law in (
        ("images", books.images, ImageFate),
        ("pages", books.pages, PageFate),
    ):
        if strange := sorted({row["fate"] for row in rows.values()} - set(law)):
            detail = f"{noun} have the fates {strange}, which are in no law"
            yield Finding(FindingKind.IMBALANCE, "ledger", detail)
    found = sum(image["page_count"] for image in books.images.values())
    if found != len(books.pages):
        detail = f"found is {found}, but the fates add up to {len(books.pages)}"
        yield Finding(FindingKind.IMBALANCE, "ledger", detail)


def check_ledger(_mill: Mill, books: Books) -> Iterator[Finding]:
    """Name what contradicts itself within the ledger."""
    yield from _forgotten(books)
    yield from _published_wrongly(books)
    yield from _decided(books)
    for (batch_id, number), count in sorted(books.parts.items()):
        found = books.attempts.get((batch_id, number), 0)
        if found != count:
            detail = f"slice {number} has {count} rows, {found} of them on record"
            yield Finding(FindingKind.NO_ATTEMPT_ROW, batch_id, detail)
    for page in books.pages.values():
        key = books.key_of(page)
        if page["fate"] == PageFate.PUBLISHED and page["page_id"] not in books.signed:
            detail = f"page [{page['page_id']}] cannot be found as an original"
            yield Finding(FindingKind.NO_SIGNATURE, key, detail)
        if page["fate"] == PageFate.DUPLICATE and not books.is_published(page["other_page_id"]):
            detail = f"left out for page [{page['other_page_id']}], which is not published"
            yield Finding(FindingKind.NO_ORIGINAL, key, detail, is_lost=True)


def _forgotten(books: Books) -> Iterator[Finding]:
    """Name what is open in a batch to which nothing more will happen."""
    finished = {batch["batch_id"] for batch in books.batches if batch["state"] in FINISHED}
    for image in books.images.values():
        if image["fate"] == ImageFate.PENDING and image["batch_id"] in finished:
            detail = f"pending, but batch [{image['batch_id']}] is finished"
            yield Finding(FindingKind.FORGOTTEN, image["key"], detail, is_lost=True)
    for page in books.pages.values():
        if page["fate"] in {PageFate.PENDING, PageFate.HELD} and page["batch_id"] in finished:
            detail = f"page {page['page_number']} is {page['fate']}, but its batch is finished"
            subject = books.key_of(page)
            yield Finding(FindingKind.FORGOTTEN, subject, detail, is_lost=True)


def _published_wrongly(books: Books) -> Iterator[Finding]:
    """Name pages in the dataset that are there beside another version, or of no image any more."""
    images: dict[tuple[str, str, int], str] = {}
    for page in books.pages.values():
        image = books.images.get(page["image_id"])
        if page["fate"] != PageFate.PUBLISHED or image is None:
            continue
        key, number = str(image["key"]), page["page_number"]
        if image["fate"] != ImageFate.DECODED:
            detail = f"page {number} is published, but the image is {image['fate']}"
            yield Finding(FindingKind.STRAY_PAGE, key, detail)
        other = images.setdefault((image["collection"], key, number), page["image_id"])
        if other != page["image_id"]:
            detail = f"page {number} is published of images [{other}] and [{page['image_id']}]"
            yield Finding(FindingKind.TWO_VERSIONS, key, detail)


def _decided(books: Books) -> Iterator[Finding]:
    """Name batches whose state nobody gave them."""
    judged = {batch_id for batch_id, _ in books.verdicts}
    decided = {batch_id for batch_id, _ in books.decisions}
    for batch in books.batches:
        batch_id, state = batch["batch_id"], batch["state"]
        if state in _JUDGED and batch_id not in judged:
            detail = f"it is {state}, but no verdict says why"
            is_held = state == BatchState.HELD
            yield Finding(FindingKind.NO_VERDICT_ROW, batch_id, detail, is_lost=is_held)
        if state in _DECIDED and batch_id not in decided:
            detail = f"it is {state}, but nobody decided so"
            yield Finding(FindingKind.NO_DECISION, batch_id, detail)
