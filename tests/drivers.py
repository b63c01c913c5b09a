"""Drives the steps as Airflow would, and reads the books in a form that two runs share."""

import contextlib
import dataclasses
import threading

import sqlalchemy as sa

from engines.scripted import ScriptedEngine, blank, picture, prose, volume
from scanmill import layout
from scanmill.dataset import manifests
from scanmill.errors import GateFailed
from scanmill.ledger import Ledger, receipts
from scanmill.ledger import tables as t
from scanmill.models import BatchState
from scanmill.quality import Verdict
from scanmill.quality.verdicts import Check
from scanmill.steps import building, judging, planning, recognizing
from scanmill.steps.auditing import audit
from scanmill.steps.receipting import is_balanced, receipt
from scanmill.store import Store
from unit.ministack_server import client_options

ENGINE = ScriptedEngine()


def point_at(endpoint, monkeypatch):
    """Name the store in the AWS environment."""
    options = client_options(endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", options["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options["aws_secret_access_key"])
    monkeypatch.setenv("AWS_REGION", options["region_name"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", options["region_name"])


# --- uploads -------------------------------------------------------------------------------------


def drop(mill, key, content):
    """Upload bytes to a key below `landing/`, as a user does; return the version."""
    answer = s3(mill).put_object(Bucket=mill.store.bucket, Key=layout.LANDING + key, Body=content)
    return answer.get("VersionId")


def delete(mill, key, version=None):
    """Delete an object, or one version of it for good."""
    wanted = {"VersionId": version} if version else {}
    s3(mill).delete_object(Bucket=mill.store.bucket, Key=key, **wanted)


def delete_for_good(mill, key):
    """Delete every version of an object: nothing is left to put back."""
    for one in list(mill.store.list_versions(key)):
        delete(mill, one.key, one.version)


def s3(mill):
    """Return the client of the mill's bucket."""
    return mill.store._s3.client


# --- the steps -----------------------------------------------------------------------------------


def read_batch(mill, batch_id, engine=ENGINE):
    """Read every slice of a batch."""
    for number in recognizing.list_slices(mill, batch_id):
        asked = recognizing.for_batch(mill, batch_id)
        recognizing.recognize_slice(asked, engine, batch_id=batch_id, slice_number=number)


def read_anew(mill, engine, batch_id):
    """Read every slice of a batch as if nobody had read the same bytes before."""
    archive, recognizing.Archive = recognizing.Archive, lambda *_: None
    try:
        for number in recognizing.list_slices(mill, batch_id):
            recognizing.recognize_slice(mill, engine, batch_id=batch_id, slice_number=number)
    finally:
        recognizing.Archive = archive


def finish_batch(mill, batch_id, engine=ENGINE):
    """Read, judge and build one batch; one that a gate holds stays as it is."""
    read_batch(mill, batch_id, engine)
    with contextlib.suppress(GateFailed):
        judging.judge_batch(mill, batch_id)
        if state(mill, batch_id) in {BatchState.PASSED, BatchState.RELEASED}:
            building.build_snapshot(mill, batch_id)


def run_pipeline(mill, engine=ENGINE):
    """Plan what landed and finish every batch that waits; return the batches planned."""
    planned = planning.plan_batches(mill)
    with mill.ledger.reading() as connection:
        waiting = [row["batch_id"] for row in receipts.unfinished_batches(connection)]
    for batch_id in waiting:
        if state(mill, batch_id) != BatchState.HELD:
            finish_batch(mill, batch_id, engine)
    return planned


def stubbed_judge(*, is_held=lambda _run_name, _gate: False):
    """Return a judge that costs nothing: it lets every batch pass but those that are to be held."""

    def judge(_table, *, gate, docs_dir, run_name, **_):
        (docs_dir / "index.html").write_text("<p>Data Docs</p>")
        checks = (_FAILED,) if is_held(run_name, gate) else ()
        return Verdict(gate=gate, suite="stub", suite_sha256="0" * 64, checks=checks)

    return judge


_FAILED = Check(
    expectation="expect_column_values_to_not_be_null",
    column="text",
    what="rows",
    why="for a test",
    severity="critical",
    success=False,
    raised=False,
    is_judged=True,
    observed="100 %",
    limit="none",
    failing_count=1,
    failing_ids=(),
)


def drop_every_kind(mill):
    """Upload to one collection every kind of file that there is, but none to be judged badly."""
    drop(mill, "c/x/a.png", picture(prose(1)))
    drop(mill, "c/x/a copy.png", picture(prose(1)))
    drop(mill, "c/x/old.png", picture(prose(2)))
    drop(mill, "c/x/blank.png", blank())
    drop(mill, "c/x/book.tif", volume(prose(3), prose(4)))
    drop(mill, "c/x/broken.png", b"no image")
    drop(mill, "c/x/.keep", b"")
    drop(mill, "c/metadata.csv", b"file_name,label\nx/a.png,y\n")


# --- the books -----------------------------------------------------------------------------------


def rows_of(mill, table):
    """Return a table of the ledger."""
    with mill.ledger.reading() as connection:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def state(mill, batch_id):
    """Return how far a batch has come."""
    with mill.ledger.reading() as connection:
        return receipts.batch(connection, batch_id)["state"]


def page_counts(mill, batch_id=None):
    """Return the non-zero terms of the law of pages."""
    with mill.ledger.reading() as connection:
        counts = receipts.page_counts(connection, batch_id)
    return {name: count for name, count in counts.items() if count}


def image_counts(mill, batch_id=None):
    """Return the non-zero terms of the law of images."""
    with mill.ledger.reading() as connection:
        counts = receipts.image_counts(connection, batch_id)
    return {name: count for name, count in counts.items() if count}


def images_at(mill, key):
    """Return the images of a key, in the order of their batches."""
    rows = [row for row in rows_of(mill, t.IMAGES) if row["key"] == layout.LANDING + key]
    return sorted(rows, key=lambda row: (row["batch_id"], row["slice"] is not None))


def pages_at(mill, key):
    """Return the pages of every image of a key."""
    images = [row["image_id"] for row in images_at(mill, key)]
    rows = [row for row in rows_of(mill, t.PAGES) if row["image_id"] in images]
    return sorted(rows, key=lambda row: (images.index(row["image_id"]), row["page_number"]))


def assert_books_are_closed(mill):
    """The law holds, nothing is pending, and an audit that shares no code finds nothing."""
    findings = audit(mill)
    sums = receipt(mill)

    assert findings == []
    assert is_balanced(sums)
    assert sums["lost"] == 0
    assert sums["images"]["pending"] == sums["pages"]["pending"] == 0


def accounts(mill):
    """Return the whole ledger without what differs between two runs: ids, versions and times."""
    images = {row["image_id"]: row for row in rows_of(mill, t.IMAGES)}
    pages = {row["page_id"]: row for row in rows_of(mill, t.PAGES)}
    names = {
        image_id: (image["key"], image["batch_id"], image["sha256"])
        for image_id, image in images.items()
    }
    titles = {
        page_id: (*names[page["image_id"]], page["page_number"]) for page_id, page in pages.items()
    }
    bands = {(titles[row["page_id"]], row["band"]) for row in rows_of(mill, t.SIGNATURES)}
    return {
        "images": _chosen(images, names, "fate reason page_count slice", successor_id=names),
        "pages": _chosen(pages, titles, "fate reason split snapshot", other_page_id=titles),
        "signatures": sorted(bands),
        "sketches": len(rows_of(mill, t.SKETCHES)),
        "batches": _listed(mill, t.BATCHES, "batch_id state image_count slice_count"),
        "parts": _listed(mill, t.PARTS, "batch_id slice row_count"),
        "verdicts": _listed(mill, t.VERDICTS, "batch_id number gate passed severity"),
        "decisions": _listed(mill, t.DECISIONS, "batch_id number verb gate because"),
        "snapshots": _listed(mill, t.SNAPSHOTS, "collection version batch_id train validation"),
        "outbox": _listed(mill, t.OUTBOX, "key kind text"),
    }


def _chosen(rows, names, columns, **references):
    chosen = []
    for row_id, row in rows.items():
        values = [row[column] for column in columns.split()]
        others = [known.get(row[column]) for column, known in references.items()]
        chosen.append((names[row_id], *values, *others))
    return sorted(chosen, key=repr)


def _listed(mill, table, columns):
    return sorted(tuple(row[name] for name in columns.split()) for row in rows_of(mill, table))


def rows_published(mill, collection):
    """Return the rows of the current snapshot, in order of key and page, without ids and times."""
    manifest, _, _ = manifests.read_latest(mill.store, collection)
    folder = layout.dataset(collection)
    rows = []
    for shard in manifest.shards if manifest else ():
        for row in mill.store.read_table(folder + shard.path).to_pylist():
            for name in ("page_id", "image_id", "source_version", "seconds", "reused_from"):
                del row[name]
            rows.append(row | {"split": shard.split})
    return sorted(rows, key=lambda row: (row["source_key"], row["page_number"]))


def texts_published(mill, collection):
    """Return the words of every published page, by key below `landing/`, in order of pages."""
    texts = {}
    for row in rows_published(mill, collection):
        words = " ".join(row["text"].split())
        texts.setdefault(row["source_key"].removeprefix(layout.LANDING), []).append(words)
    return texts


def objects(mill, prefix=""):
    """Return the bytes of every current object below a prefix."""
    return {key: mill.store.read(key) for key, _ in mill.store.list_keys(prefix)}


def tamper(mill, key, content):
    """Put other bytes in the place of an object, as nobody may."""
    s3(mill).put_object(Bucket=mill.store.bucket, Key=key, Body=content)


def forget(mill, table, *conditions):
    """Delete rows of the ledger by hand, as nobody may."""
    with mill.ledger.writing() as connection:
        connection.execute(sa.delete(table).where(*conditions))


# --- sudden ends ---------------------------------------------------------------------------------


class Killed(BaseException):
    """The end of a process: no handler of the product may catch it."""


class Fuse:
    """Burns through at the n-th durable write; what is to be written then is not."""

    def __init__(self, burns_at):
        self.writes = 0
        self._burns_at = burns_at
        self._lock = threading.Lock()

    def before_write(self):
        with self._lock:
            self.writes += 1
            if self.writes == self._burns_at:
                raise Killed


class FragileStore(Store):
    """A store whose writer is killed just before its n-th write."""

    def __init__(self, bucket, fuse):
        super().__init__(bucket)
        self._fuse = fuse

    def _put(self, key, body, content_type, **condition):
        self._fuse.before_write()
        super()._put(key, body, content_type, **condition)


class FragileLedger(Ledger):
    """A ledger whose writer is killed in its n-th transaction, just before the commit."""

    def __init__(self, url, fuse):
        super().__init__(url)
        self._fuse = fuse

    @contextlib.contextmanager
    def writing(self):
        with super().writing() as connection:
            yield connection
            self._fuse.before_write()


def fragile(mill, fuse):
    """Return the same mill, run by a process that ends when the fuse burns through."""
    store = FragileStore(mill.store.bucket, fuse)
    store._s3 = mill.store._s3  # a client of its own costs more than the step
    return dataclasses.replace(
        mill,
        store=store,
        ledger=FragileLedger(mill.settings.ledger_url, fuse),
    )
