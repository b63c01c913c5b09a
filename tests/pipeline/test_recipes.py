"""The same bytes are read once by one recipe; what another recipe read is stale."""

import dataclasses

import pytest

from drivers import (
    assert_books_are_closed,
    delete,
    drop,
    finish_batch,
    pages_at,
    read_batch,
    rows_of,
    run_pipeline,
    tamper,
)
from engines.scripted import ScriptedEngine, picture, prose, volume
from scanmill import layout, ocr
from scanmill.ledger import Ledger
from scanmill.ledger import tables as t
from scanmill.models import EngineInfo, Reason, SetAside
from scanmill.ocr.recipe import recipe
from scanmill.settings import Settings
from scanmill.steps import planning, receipting
from scanmill.steps.rebuilding import rebuild
from scanmill.steps.reprocessing import Choice, reprocess
from scanmill.store import Store

pytestmark = pytest.mark.usefixtures("open_gates")

OURS = {"page_id", "image_id", "batch_id", "slice", "source_key", "source_version"}
"""What a reading that is used again does not share."""


class CountingEngine(ScriptedEngine):
    """Counts the pages that it is given."""

    def __init__(self, version="1"):
        self.info = EngineInfo(name="counting", version=version, model_sha256="4" * 64)
        self.pages = 0

    def recognize(self, rasters, *, psm=None, languages=None):
        self.pages += len(rasters)
        return super().recognize(rasters, psm=psm, languages=languages)


def planned(mill):
    (batch_id,) = planning.plan_batches(mill)
    return batch_id


def rows_in(mill, batch_id):
    part = mill.store.read_table(layout.part(batch_id, 0)).to_pylist()
    return {
        (row["source_key"].removeprefix(layout.LANDING), row["page_number"]): row for row in part
    }


def shared(row):
    return {name: value for name, value in row.items() if name not in OURS | DIFFERENT}


DIFFERENT = {"seconds", "reused_from"}


@pytest.fixture
def engine():
    return CountingEngine()


@pytest.fixture
def choose(monkeypatch):
    """Make an engine the one that today's settings ask for."""

    def make(engine):
        for module in (ocr, receipting.stale_pages.__globals__):
            if isinstance(module, dict):
                monkeypatch.setitem(module, "choose_engine", lambda _settings: engine)
            else:
                monkeypatch.setattr(module, "choose_engine", lambda _settings: engine)

    return make


def test_bytes_that_another_batch_read_are_not_read_again(mill, engine):
    content = volume(prose(1), prose(2))
    drop(mill, "c/first.tif", content)
    first = planned(mill)
    finish_batch(mill, first, engine)
    drop(mill, "d/second.tif", content)
    drop(mill, "d/other.png", picture(prose(3)))
    second = planned(mill)
    finish_batch(mill, second, engine)

    assert engine.pages == 3
    origin, copy = rows_in(mill, first), rows_in(mill, second)
    image_id = origin["c/first.tif", 1]["image_id"]
    for number in (1, 2):
        row = copy["d/second.tif", number]
        assert shared(row) == shared(origin["c/first.tif", number])
        assert row["reused_from"] == image_id != row["image_id"]
        assert row["seconds"] == 0
    assert copy["d/other.png", 1]["reused_from"] is None
    assert_books_are_closed(mill)


def test_a_part_is_read_once_for_all_the_copies_in_a_slice(mill, engine, monkeypatch):
    for number in range(30):
        drop(mill, f"c/{number}.png", picture(prose(number)))
    first = planned(mill)
    read_batch(mill, first, engine)
    for number in range(30):
        drop(mill, f"d/{number}.png", picture(prose(number)))
    second = planned(mill)
    parts = []
    read_table = Store.read_table

    def noted(store, key, **options):
        parts.append(key)
        return read_table(store, key, **options)

    monkeypatch.setattr(Store, "read_table", noted)
    read_batch(mill, second, engine)

    assert engine.pages == 30
    assert parts.count(layout.part(first, 0)) <= 2  # two threads may begin at once


def test_bytes_that_land_twice_at_once_are_read_once(mill, engine):
    for number in range(40):  # more than one group of images
        drop(mill, f"c/{number:02}.png", picture(prose(number % 3)))
    batch_id = planned(mill)

    finish_batch(mill, batch_id, engine)

    assert engine.pages == 3
    rows = rows_in(mill, batch_id)
    assert sum(row["reused_from"] is None for row in rows.values()) == 3
    assert len({row["page_id"] for row in rows.values()}) == 40
    assert_books_are_closed(mill)


def test_a_copy_of_a_copy_names_the_image_that_was_read(mill, engine):
    names = ("c/a.png", "c/b.png", "c/c.png")
    rows = []
    for name in names:
        drop(mill, name, picture(prose(1)))
        batch_id = planned(mill)
        read_batch(mill, batch_id, engine)
        rows.append(rows_in(mill, batch_id)[name, 1])

    assert [row["reused_from"] for row in rows] == [None, rows[0]["image_id"], rows[0]["image_id"]]


@pytest.mark.parametrize(
    "change", [{"ocr_languages": "deu"}, {"rescue_confidence": 0}, {"word_languages": "en"}]
)
def test_other_settings_read_again(mill, engine, change):
    drop(mill, "c/a.png", picture(prose(1)))
    read_batch(mill, planned(mill), engine)
    drop(mill, "c/b.png", picture(prose(1)))

    changed = dataclasses.replace(mill, settings=mill.settings.model_copy(update=change))
    read_batch(changed, planned(mill), engine)

    assert engine.pages == 2


def test_another_version_of_the_engine_reads_again(mill, engine):
    newer = CountingEngine(version="2")
    drop(mill, "c/a.png", picture(prose(1)))
    read_batch(mill, planned(mill), engine)
    drop(mill, "c/b.png", picture(prose(1)))
    read_batch(mill, planned(mill), newer)

    assert newer.pages == 1


def test_what_an_engine_failed_on_is_tried_again(mill, engine):
    class FailingEngine(CountingEngine):
        def _read(self, pgm):
            return SetAside(reason=Reason.ENGINE_TIMEOUT, detail="", stage="recognize")

    failing = FailingEngine()
    drop(mill, "c/a.png", picture(prose(1)))
    read_batch(mill, planned(mill), failing)
    drop(mill, "c/b.png", picture(prose(1)))
    read_batch(mill, planned(mill), engine)

    assert engine.pages == 1
    assert pages_at(mill, "c/b.png")[0]["fate"] == "pending"


@pytest.mark.parametrize("content", [None, b"no table"])
def test_a_reading_whose_part_is_damaged_is_made_again(mill, engine, content):
    drop(mill, "c/a.png", picture(prose(1)))
    first = planned(mill)
    read_batch(mill, first, engine)
    address = layout.part(first, 0)
    if content is None:
        delete(mill, address)
    else:
        tamper(mill, address, content)
    drop(mill, "c/b.png", picture(prose(1)))

    read_batch(mill, planned(mill), engine)

    assert engine.pages == 2


def test_reading_again_on_request_reads(mill, engine):
    drop(mill, "c/a.png", picture(prose(1)))
    run_pipeline(mill, engine)
    (again,) = reprocess(mill, Choice(key="*"), settings={}, asked_by="a test")
    read_batch(mill, again, engine)

    assert engine.pages == 2


def test_the_ledger_made_again_knows_what_was_used_again(mill, engine, tmp_path):
    for name in ("c/a.png", "c/b.png"):
        drop(mill, name, picture(prose(1)))
        run_pipeline(mill, engine)
    fresh = dataclasses.replace(mill, ledger=Ledger(f"sqlite:///{tmp_path}/again.db"))
    rebuild(fresh)

    attempts = rows_of(mill, t.ATTEMPTS)
    assert [attempt["reused_from"] for attempt in attempts].count(None) == 1
    assert rows_of(fresh, t.ATTEMPTS) == attempts


def test_status_counts_what_another_version_read_until_it_is_read_again(mill, engine, choose):
    newer = CountingEngine(version="2")
    for number in range(3):
        drop(mill, f"c/{number}.png", picture(prose(number)))
    run_pipeline(mill, engine)

    choose(engine)
    assert receipting.receipt(mill)["stale"] == {"pages": 0, "detail": ""}
    choose(newer)
    assert receipting.receipt(mill)["stale"] == {"pages": 3, "detail": ""}
    (again,) = reprocess(mill, Choice(is_stale=True), settings={}, asked_by="a test")
    finish_batch(mill, again, newer)

    # No better than before, so that the old readings stay; but they have been tried.
    assert receipting.receipt(mill)["stale"] == {"pages": 0, "detail": ""}
    assert reprocess(mill, Choice(is_stale=True), settings={}, asked_by="a test") == []


def test_a_collection_of_other_languages_is_not_stale_by_those_of_the_rest(mill, engine, choose):
    choose(engine)
    drop(mill, "c/a.png", picture(prose(1)))
    run_pipeline(mill, engine)

    changed = mill.settings.model_copy(update={"collection_languages": {"d": "deu"}})
    assert receipting.receipt(dataclasses.replace(mill, settings=changed))["stale"]["pages"] == 0
    changed = mill.settings.model_copy(update={"collection_languages": {"c": "deu"}})
    assert receipting.receipt(dataclasses.replace(mill, settings=changed))["stale"]["pages"] == 1


def test_status_says_why_it_cannot_tell_what_is_stale(mill, engine):
    drop(mill, "c/a.png", picture(prose(1)))
    run_pipeline(mill, engine)

    settings = mill.settings.model_copy(update={"ocr_languages": "xyz"})
    stale = receipting.receipt(dataclasses.replace(mill, settings=settings))["stale"]

    assert stale["pages"] is None
    assert "[xyz]" in stale["detail"]


def test_limits_are_no_part_of_a_recipe(engine):
    assert recipe(engine, Settings()) == recipe(engine, Settings(max_frames=7))
    assert recipe(engine, Settings()) != recipe(engine, Settings(pdf_dpi=200))
