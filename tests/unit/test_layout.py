"""Addresses, and what an upload's key means."""

import pytest

from scanmill import layout
from scanmill.models import Reason

HOSTILE = ["a b", "a_b?", "../etc", "_root", ".hidden", "ö", "{{ 7*7 }}", "a\nb", "-x", "x" * 64]


@pytest.mark.parametrize("folder", ["samples", "A", "x-1", "2026.11", "a-000001", "x" * 63])
def test_a_plain_folder_is_the_collection(folder):
    assert layout.collection_of(f"landing/{folder}/label/a.png") == folder


@pytest.mark.parametrize("folder", HOSTILE)
def test_an_odd_folder_gets_a_name_that_is_safe_in_addresses(folder):
    name = layout.collection_of(f"landing/{folder}/a.png")

    assert name != layout.ROOT_COLLECTION
    assert layout.collection_of(f"landing/{name}/a.png") != layout.ROOT_COLLECTION
    assert name.isascii()
    assert not set(name) & set(" /?{}*\n.")


def test_no_two_odd_folders_share_a_collection():
    folders = [*HOSTILE, "a-b", "a  b", "a*b", "a/b", "?", "??", "a_b!"]
    names = {folder: layout.collection_of(f"landing/{folder}/a.png") for folder in folders}
    names["a/b"] = names.pop("a/b")  # the folder here is `a`

    assert len(set(names.values())) == len(names)


def test_a_folder_named_like_the_name_of_an_odd_one_is_another_collection():
    odd = layout.collection_of("landing/a b/1.png")

    assert layout.collection_of(f"landing/{odd}/1.png") != odd


@pytest.mark.parametrize("key", ["landing/a.png", "landing//a.png", "landing/metadata.csv"])
def test_a_file_beside_the_collections_belongs_to_none(key):
    assert layout.collection_of(key) == layout.ROOT_COLLECTION


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("landing/c/invoice/a.png", "invoice"),
        ("landing/c/invoice/deep/a.png", "invoice"),
        ("landing/c/Stückliste 7/a.png", "Stückliste 7"),
        ("landing/c/a.png", None),
        ("landing/c//a.png", None),
    ],
)
def test_the_first_folder_of_a_collection_is_the_label(key, label):
    assert layout.folder_label(key) == label


@pytest.mark.parametrize("name", [".keep", ".gitkeep", "deep/.keep", "folder/"])
def test_placeholders_are_ignored_by_name(name):
    assert layout.ignored_by(f"landing/c/{name}") == Reason.PLACEHOLDER


@pytest.mark.parametrize("name", ["keep", "a.keep", "keep.png", "metadata.csv", "Thumbs.db"])
def test_nothing_else_is_ignored(name):
    assert layout.ignored_by(f"landing/c/{name}") is None


def test_metadata_is_known_by_its_exact_name_inside_a_collection():
    names = ["c/metadata.csv", "c/x/metadata.jsonl", "metadata.csv", "c/my-metadata.csv", "c/m.csv"]
    are_metadata = [layout.is_metadata(f"landing/{name}") for name in names]

    assert are_metadata == [True, True, False, False, False]


@pytest.mark.parametrize("collection", ["samples", "a-000001", "a-b-c", "_root", "2026"])
def test_a_batch_id_gives_back_what_it_was_made_of(collection):
    assert layout.split_batch_id(layout.batch_id(collection, 42)) == (collection, 42)


@pytest.mark.parametrize("name", ["", "samples", "samples-1", "-000001", "samples-00000x"])
def test_what_is_no_batch_id_is_told_apart(name):
    assert layout.split_batch_id(name) is None


def test_batch_ids_of_a_collection_sort_by_number():
    names = [layout.batch_id("c", number) for number in (1, 2, 9, 10, 99, 100, 99_999)]

    assert names == sorted(names)


def test_no_two_objects_share_an_address():
    batch = "c-000001"
    addresses = [
        layout.plan(batch),
        *[layout.part(batch, number) for number in (0, 1, 10)],
        *[layout.verdict(batch, number) for number in (1, 2)],
        *[layout.decision(batch, number) for number in (1, 2)],
        *[layout.report(batch, gate) for gate in ("pages_gate", "dataset_gate")],
        *[layout.quarantine("c", reason, "1" * 32) for reason in Reason],
        *[layout.dataset("c") + layout.shard(split, batch, "a" * 64) for split in ("train", "x")],
        layout.dataset("c") + layout.fates(batch, "a" * 64),
        layout.dataset("c") + layout.manifest(1, "a" * 64),
        layout.dataset("c") + layout.LATEST,
    ]

    assert len(set(addresses)) == len(addresses)
    assert not any(address.startswith(layout.LANDING) for address in addresses)
