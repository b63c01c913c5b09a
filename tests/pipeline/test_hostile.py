"""Files that are made to break decoders: one verdict for each, and good files are unharmed."""

from pathlib import Path

import pytest

from drivers import (
    ENGINE,
    assert_books_are_closed,
    drop,
    images_at,
    pages_at,
    read_anew,
    run_pipeline,
)
from engines.scripted import picture, prose
from scanmill import layout
from scanmill.drill import hostile
from scanmill.steps import planning

DIFFER = {"seconds", "attempts", "image_id", "page_id", "source_version", "batch_id", "source_key"}

pytestmark = pytest.mark.usefixtures("open_gates")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Every hostile file, in a folder."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, body in hostile.files().items():
        (folder / name).write_bytes(body)
    return sorted(folder.iterdir())


def test_every_hostile_file_has_one_verdict_and_none_that_is_broken_counts_as_read(mill, files):
    for path in files:
        drop(mill, f"c/x/{path.name}", path.read_bytes())
    run_pipeline(mill)
    rejected = {path.name for path in hostile.rejected(files)}
    read = {path.name for path in files if is_wholly_read(mill, f"c/x/{path.name}")}

    assert len(files) >= 100
    assert len(rejected) >= 70
    assert read & rejected == set()
    assert len(read) >= 10
    for path in files:
        (image,) = images_at(mill, f"c/x/{path.name}")
        assert image["fate"] in {"decoded", "quarantined"}
        assert image["reason"] != "internal_error"
    assert_books_are_closed(mill)


def is_wholly_read(mill, key):
    (image,) = images_at(mill, key)
    fates = [page["fate"] for page in pages_at(mill, key)]
    return image["fate"] == "decoded" and "quarantined" not in fates


def test_good_files_among_hostile_ones_are_as_without_them(mill, files):
    goods = {f"{number:03}.png": picture(prose(number)) for number in range(len(files) // 9)}
    for name, body in goods.items():
        drop(mill, f"alone/x/{name}", body)
        drop(mill, f"mixed/x/{name}", body)
    for number, path in enumerate(files):
        drop(mill, f"mixed/x/{number % len(goods):03} {path.name}", path.read_bytes())
    batches = planning.plan_batches(mill)
    for batch_id in batches:
        read_anew(mill, ENGINE, batch_id)

    alone, mixed = (good_rows(mill, batch_id, goods) for batch_id in batches)
    assert len(alone) == len(goods)
    assert mixed == alone


def good_rows(mill, batch_id, names):
    """Return the rows of the good files, in order, without what must differ."""
    rows = mill.store.read_table(layout.part(batch_id, 0)).to_pylist()
    good = {Path(row["source_key"]).name: row for row in rows}
    return [{k: v for k, v in good[name].items() if k not in DIFFER} for name in sorted(names)]
