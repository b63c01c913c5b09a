"""Labels, splits, near duplicates, manifests and the card."""

import dataclasses
import json
import random

import pytest

from engines.scripted import prose
from scanmill import layout, schema
from scanmill.dataset import card, duplicates, labels, splits
from scanmill.dataset.manifests import Manifest, MetadataFile, Shard, history, publish, read_latest
from scanmill.errors import FatalError, LostRaceError, PageError
from scanmill.models import Reason

# --- labels --------------------------------------------------------------------------------------

KEY = "landing/c/metadata.csv"


def test_metadata_names_files_beside_it():
    notes = labels.read_metadata(
        "landing/c/deep/metadata.csv", b"file_name,label,document_id\na.png,invoice,d1\nb/c.png,,\n"
    )

    assert notes == {
        "landing/c/deep/a.png": labels.Note(label="invoice", document_id="d1"),
        "landing/c/deep/b/c.png": labels.Note(),
    }


def test_both_forms_of_metadata_say_the_same():
    as_csv = labels.read_metadata(KEY, 'file_name,label\n"a, b.png",Größe\n'.encode("utf-8-sig"))
    as_jsonl = labels.read_metadata(
        "landing/c/metadata.jsonl", '\n{"file_name": "a, b.png", "label": "Größe"}\n\n'.encode()
    )

    assert as_csv == as_jsonl == {"landing/c/a, b.png": labels.Note(label="Größe")}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", b""),
        ("metadata.csv", b"name,label\na.png,x\n"),
        ("metadata.csv", b"\xff\xfe\x00broken"),
        ("metadata.csv", b'file_name,label\n"a.png,x\n'),
        ("metadata.jsonl", b'{"file_name": "a.png"'),
        ("metadata.jsonl", b'{"label": "x"}\n'),
        ("metadata.jsonl", b'["a.png", "x"]\n'),
        ("metadata.jsonl", b"7\n"),
        ("metadata.jsonl", b'{"file_name": 7}\n'),
        ("metadata.jsonl", b'{"file_name": null}\n'),
    ],
)
def test_metadata_that_cannot_be_understood_is_named(name, content):
    with pytest.raises(PageError) as raised:
        labels.read_metadata(f"landing/c/{name}", content)

    assert raised.value.reason == Reason.BAD_METADATA


def test_a_short_row_of_a_table_is_no_label():
    notes = labels.read_metadata(KEY, b"file_name,label\na.png\n")

    assert notes == {"landing/c/a.png": labels.Note()}


def test_metadata_wins_over_the_folder_and_the_folder_over_nothing():
    notes = {
        "landing/c/x/told.png": labels.Note(label="y"),
        "landing/c/x/silent.png": labels.Note(),
    }
    keys = ["x/told.png", "x/silent.png", "x/other.png", "bare.png"]

    assert [labels.label_of(f"landing/c/{key}", notes) for key in keys] == ["y", "x", "x", None]


def test_pages_belong_together_by_metadata_else_by_image():
    notes = {"landing/c/a.png": labels.Note(document_id="d1")}
    documents = [labels.document_of(f"landing/c/{name}.png", notes) for name in "ab"]

    assert documents == ["d1", "c/b.png"]


def test_new_labels_are_appended_and_old_ones_never_move():
    first = labels.extended((), ["pump", "valve", None, "pump"])
    second = labels.extended(first, ["boiler", "valve"])

    assert first == ("pump", "valve")
    assert second == ("pump", "valve", "boiler")


# --- splits --------------------------------------------------------------------------------------


def split(document, **changes):
    usual = {"salt": "s", "validation_share": 0.1, "test_share": 0.1}
    return splits.split_of(document, **usual | changes)


def test_a_document_is_always_in_the_same_split():
    # Written down: if these change, every published dataset is split anew by the next build.
    assert "".join(split(f"c/{number}.png")[0] for number in range(24)) == (
        "tttttttttttttttttttttvtt"
    )


def test_splits_have_about_the_shares_that_were_asked_for():
    documents = [split(f"document {number}") for number in range(10_000)]

    assert 900 < documents.count("test") < 1100
    assert 900 < documents.count("validation") < 1100


def test_another_salt_splits_otherwise():
    documents = [f"document {number}" for number in range(200)]

    assert [split(d) for d in documents] != [split(d, salt="other") for d in documents]


def test_without_shares_everything_is_for_training():
    names = {split(f"{n}", validation_share=0, test_share=0) for n in range(500)}

    assert names == {"train"}


# --- near duplicates -----------------------------------------------------------------------------


def misread(text, share, seed):
    """Return a text of which this share of the words came out wrong."""
    chance = random.Random(seed)
    words = text.split()
    for index in chance.sample(range(len(words)), round(share * len(words))):
        words[index] = words[index][:-1] + chance.choice("qxzjv") + "i"
    return " ".join(words)


def are_found(one, other):
    """Tell whether two texts share a band and are alike enough to be one."""
    ours, theirs = duplicates.sign(one), duplicates.sign(other)
    if not set(ours.bands) & set(theirs.bands):
        return False
    return duplicates.similarity(ours.sketch, theirs.sketch) >= 0.5


@pytest.mark.parametrize("share", [0.01, 0.05, 0.10])
def test_a_page_read_again_with_wrong_words_is_found(share):
    texts = [prose(seed, words=200) for seed in range(40)]
    found = sum(are_found(text, misread(text, share, seed)) for seed, text in enumerate(texts))

    assert found >= {0.01: 40, 0.05: 39, 0.10: 30}[share]


def test_different_texts_are_not_found():
    texts = [prose(seed, words=200) for seed in range(40)]

    assert not any(are_found(texts[n], texts[n + 1]) for n in range(39))


def test_two_sheets_from_one_form_are_not_one_page():
    form = prose("form", words=60)
    sheets = [f"{form} {prose(seed, words=120)}" for seed in range(20)]

    assert not any(are_found(sheets[n], sheets[n + 1]) for n in range(19))


def test_case_punctuation_and_line_breaks_do_not_count():
    one = duplicates.sign("Pump, centrifugal:\n  DN 80 / PN 16")
    other = duplicates.sign("pump centrifugal DN 80 PN 16!")

    assert one == other


def test_a_short_text_is_the_same_or_another_never_nearly_the_same():
    one, other = duplicates.sign("spring washer M8"), duplicates.sign("spring washer M10")

    assert one.sketch is other.sketch is None
    assert not set(one.bands) & set(other.bands)


# --- manifests -----------------------------------------------------------------------------------


def a_manifest(**changes):
    shard = Shard(
        path="data/train/c-000001-ab.parquet",
        split="train",
        rows=3,
        size_bytes=9,
        sha256="ab",
        batch_id="c-000001",
    )
    manifest = Manifest(
        collection="c",
        version=1,
        parent=None,
        batch_id="c-000001",
        fates="_snapshots/fates/x.parquet",
        shards=(
            shard,
            dataclasses.replace(shard, path="data/test/y.parquet", split="test", rows=1),
        ),
        metadata=(MetadataFile(key="landing/c/metadata.csv", version="v1"),),
        labels=("no", "1.0", 'quote " and é'),
        salt="s",
        validation_share=0.1,
        test_share=0.1,
        signature_algorithm=duplicates.ALGORITHM,
        scanmill_version="0",
    )
    return dataclasses.replace(manifest, **changes)


def test_a_manifest_comes_back_as_it_was_stored(mill):
    manifest = a_manifest()
    path = publish(mill.store, manifest, etag=None)

    found, found_path, etag = read_latest(mill.store, "c")

    assert (found, found_path) == (manifest, path)
    assert etag


def test_a_manifest_counts_its_rows_by_split():
    assert a_manifest().rows == {"train": 3, "validation": 0, "test": 1}
    assert a_manifest().to_json()["rows"] == {"train": 3, "validation": 0, "test": 1}


def test_a_manifest_of_another_schema_is_refused():
    content = a_manifest().to_json() | {"schema_version": 99}

    with pytest.raises(FatalError, match=r"\[99\]"):
        Manifest.from_json(content)


def test_nothing_is_published_before_the_first_swap(mill):
    assert read_latest(mill.store, "c") == (None, "", None)
    assert list(history(mill.store, "c")) == []


def test_the_second_of_two_publishers_loses_and_leaves_no_trace_in_the_history(mill):
    first = publish(mill.store, a_manifest(), etag=None)
    _, _, etag = read_latest(mill.store, "c")
    second = publish(mill.store, a_manifest(version=2, parent=first), etag=etag)

    with pytest.raises(LostRaceError):
        publish(mill.store, a_manifest(version=2, parent=first, batch_id="c-000009"), etag=etag)

    assert [path for path, _ in history(mill.store, "c")] == [second, first]


# --- the card ------------------------------------------------------------------------------------


def metadata_of(text):
    _, block, words = text.split("---\n", 2)
    return json.loads(block), words


def test_the_card_lists_shard_files_by_name():
    metadata, _ = metadata_of(card.card(a_manifest()))

    assert metadata["configs"][0]["data_files"] == [
        {"split": "train", "path": ["data/train/c-000001-ab.parquet"]},
        {"split": "test", "path": ["data/test/y.parquet"]},
    ]
    assert "*" not in json.dumps(metadata)


def test_the_card_keeps_labels_in_their_order_whatever_they_are_called():
    metadata, _ = metadata_of(card.card(a_manifest()))
    (label,) = [f for f in metadata["dataset_info"]["features"] if f["name"] == "label"]

    names = {"0": "no", "1": "1.0", "2": 'quote " and é'}
    assert label["dtype"] == {"class_label": {"names": names}}


def test_the_card_explains_every_column():
    _, words = metadata_of(card.card(a_manifest()))

    assert all(f"| `{name}` |" in words for name in schema.DATASET.names)


def test_the_card_is_the_same_for_the_same_manifest():
    assert card.card(a_manifest()) == card.card(a_manifest())
    assert card.card(a_manifest()) != card.card(a_manifest(version=2))


def test_the_dataset_lives_below_one_folder():
    assert layout.dataset("c").startswith("datasets/")
