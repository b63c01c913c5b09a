"""Two ways to load a published dataset that give the same rows."""

import pytest

import scanmill
from drivers import drop, objects, rows_published, run_pipeline
from engines.scripted import picture, prose
from scanmill import layout
from scanmill.dataset import manifests
from scanmill.errors import UsageError

DOCUMENTS = 12


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep what `datasets` downloads apart from everybody else's."""
    from datasets import config

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "hf" / "datasets")


@pytest.fixture
def published(new_mill):
    """A mill that has published two snapshots of documents in two classes."""
    mill = new_mill(validation_share=0.3, test_share=0.3)
    for number in range(DOCUMENTS):
        label = ("pump", "valve")[number % 2]
        drop(mill, f"c/{label}/{number}.png", picture(prose(number)))
    run_pipeline(mill)
    drop(mill, "c/boiler/new.png", picture(prose("new")))
    run_pipeline(mill)
    return mill


def address(mill):
    return f"s3://{mill.store.bucket}/datasets/c"


def rows_of(loaded):
    """Return all rows of all splits, in order of their ids."""
    rows = [row | {"split": split} for split, table in loaded.items() for row in table]
    return sorted(rows, key=lambda row: row["page_id"])


def downloaded(mill, folder):
    """Copy the dataset's folder, as `aws s3 sync` does."""
    for key, content in objects(mill, layout.dataset("c")).items():
        path = folder / key.removeprefix(layout.dataset("c"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_a_snapshot_and_a_plain_copy_give_the_same_rows(published, tmp_path):
    from datasets import load_dataset

    loaded = scanmill.load_snapshot(address(published))
    copied = load_dataset(str(downloaded(published, tmp_path / "copy")))

    assert rows_of(loaded) == rows_of(copied)
    assert {split: table.features for split, table in loaded.items()} == {
        split: table.features for split, table in copied.items()
    }


def test_what_is_loaded_is_what_was_published(published):
    loaded = scanmill.load_snapshot(address(published))

    texts = {(row["split"], row["text"]) for row in rows_of(loaded)}
    assert texts == {(row["split"], row["text"]) for row in rows_published(published, "c")}
    assert set(loaded) == {"train", "validation", "test"}
    assert sum(loaded.num_rows.values()) == DOCUMENTS + 1


def test_labels_are_classes_and_a_new_one_comes_last(published):
    loaded = scanmill.load_snapshot(address(published))
    label = loaded["train"].features["label"]

    assert label.names == ["pump", "valve", "boiler"]
    assert all(label.names[row["label"]] == row["label_name"] for row in rows_of(loaded))


def test_an_older_version_can_be_loaded(published):
    old = scanmill.load_snapshot(address(published), version=1)

    assert sum(old.num_rows.values()) == DOCUMENTS
    assert old["train"].features["label"].names == ["pump", "valve"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_address_may_end_in_a_slash(published, slash):
    assert scanmill.load_snapshot(address(published) + slash, version=1)


def test_a_file_left_by_a_build_that_lost_is_in_neither(published, tmp_path):
    from datasets import load_dataset

    manifest, _, _ = manifests.read_latest(published.store, "c")
    shard = published.store.read(layout.dataset("c") + manifest.shards[0].path)
    published.store.create(layout.dataset("c") + "data/train/orphan.parquet", shard)

    loaded = scanmill.load_snapshot(address(published))
    copied = load_dataset(str(downloaded(published, tmp_path / "copy")))

    assert sum(loaded.num_rows.values()) == sum(copied.num_rows.values()) == DOCUMENTS + 1


@pytest.mark.parametrize(
    "uri",
    ["s3://{bucket}/datasets/nobody", "s3://{bucket}", "s3://{bucket}/datasets", "", "c"],
)
def test_a_wrong_address_is_wrong_usage(mill, uri):
    with pytest.raises(UsageError):
        scanmill.load_snapshot(uri.format(bucket=mill.store.bucket))


def test_a_bucket_that_does_not_exist_is_wrong_usage(aws):
    with pytest.raises(UsageError):
        scanmill.load_snapshot("s3://nobody-has-this-bucket/datasets/c")


def test_a_version_that_never_was_is_wrong_usage(published):
    with pytest.raises(UsageError, match=r"\[7\]"):
        scanmill.load_snapshot(address(published), version=7)


def test_metadata_gives_labels_and_keeps_documents_together(new_mill):
    mill = new_mill(validation_share=0.3, test_share=0.3)
    lines = ["file_name,label,document_id"]
    for number in range(DOCUMENTS):
        drop(mill, f"c/scans/{number}.png", picture(prose(number)))
        lines.append(f"{number}.png,even or odd {number % 2},document {number // 4}")
    drop(mill, "c/scans/metadata.csv", "\n".join(lines).encode())
    run_pipeline(mill)

    rows = rows_of(scanmill.load_snapshot(address(mill)))
    splits = {}
    for row in rows:
        splits.setdefault(row["document_id"], set()).add(row["split"])

    assert {row["label_name"] for row in rows} == {"even or odd 0", "even or odd 1"}
    assert set(splits) == {"document 0", "document 1", "document 2"}
    assert all(len(names) == 1 for names in splits.values())


def test_bad_metadata_is_set_aside_and_the_folder_is_the_label(mill):
    drop(mill, "c/pump/a.png", picture(prose(1)))
    drop(mill, "c/pump/metadata.csv", b"no,such,column\na,b,c\n")
    run_pipeline(mill)

    (row,) = rows_of(scanmill.load_snapshot(address(mill)))

    assert row["label_name"] == "pump"
    assert [key.split("/")[2] for key in objects(mill, "quarantine/")] == ["bad_metadata"] * 2
