"""The verbs of the store, on a real local S3 and on one that fails."""

import concurrent.futures
import dataclasses
import hashlib
import socket
import types

import botocore.endpoint
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drivers import delete, drop, s3, tamper
from engines.faulty_s3 import answering
from scanmill.changes import Change, list_changes
from scanmill.errors import (
    AlteredError,
    FatalError,
    LostRaceError,
    ObjectDeniedError,
    ObjectGoneError,
    RetryableError,
)
from scanmill.models import generation
from scanmill.store import Store, Written, json_bytes, parquet_bytes, table_of

ON_BOTH_STORES = True


@pytest.fixture
def store(mill):
    return mill.store


@pytest.fixture
def impatient(monkeypatch):
    """Let the client try again at once."""
    monkeypatch.setattr(botocore.endpoint, "time", types.SimpleNamespace(sleep=lambda _: None))


@pytest.fixture
def store_that_fails(aws, impatient, monkeypatch):
    """Return a context with a store that answers everything with one fault."""

    def make(address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        return Store("bucket")

    return make


# --- writing -------------------------------------------------------------------------------------


def test_an_object_is_created_once_and_read_back(store):
    assert store.create("a/ö b", b"first", content_type="text/plain") is True
    assert store.read("a/ö b") == b"first"


def test_an_object_is_never_created_over_another(store):
    store.create("a", b"first")

    with pytest.raises(LostRaceError):
        store.create("a", b"second")

    assert store.read("a") == b"first"


def test_the_same_bytes_count_as_ours(store):
    store.create("a", b"first")

    assert store.create("a", b"first") is False


def test_the_bytes_that_won_come_back(store):
    assert store.create_first("a", b"first") == b"first"
    assert store.create_first("a", b"second") == b"first"


def test_of_many_creators_one_wins(store):
    def create(number):
        try:
            return store.create("a", b"%d" % number)
        except LostRaceError:
            return False

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(create, range(8)))

    assert results.count(True) == 1
    assert store.read("a") == b"%d" % results.index(True)


def test_a_swap_needs_the_etag_that_was_read(store):
    store.swap("LATEST", b"one", etag=None)
    _, etag = store.read_tagged("LATEST")

    store.swap("LATEST", b"two", etag=etag)
    with pytest.raises(LostRaceError):
        store.swap("LATEST", b"three", etag=etag)

    assert store.read("LATEST") == b"two"


def test_a_first_swap_finds_that_somebody_was_there(store):
    store.swap("LATEST", b"one", etag=None)

    with pytest.raises(LostRaceError):
        store.swap("LATEST", b"two", etag=None)


def test_of_many_swaps_of_one_version_one_wins(store):
    store.swap("LATEST", b"start", etag=None)
    _, etag = store.read_tagged("LATEST")

    def swap(number):
        try:
            store.swap("LATEST", b"%d" % number, etag=etag)
        except LostRaceError:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(swap, range(8)))

    assert results.count(True) == 1
    assert store.read("LATEST") == b"%d" % results.index(True)


def test_a_derived_object_is_written_by_whoever_comes_last(store):
    store.put_derived("README.md", b"one", content_type="text/markdown")
    store.put_derived("README.md", b"two", content_type="text/markdown")

    assert store.read("README.md") == b"two"


# --- reading and listing -------------------------------------------------------------------------


def test_each_version_is_read_by_its_name(mill, store):
    first, second = drop(mill, "a", b"first"), drop(mill, "a", b"second")

    assert store.read_version("landing/a", first) == b"first"
    assert store.read_version("landing/a", second) == b"second"


def test_a_version_that_is_gone_is_told_apart_from_a_fault(mill, store):
    version = drop(mill, "a", b"first")
    drop(mill, "a", b"second")
    delete(mill, "landing/a", version)

    with pytest.raises(ObjectGoneError):
        store.read_version("landing/a", version)


def test_a_deleted_object_is_gone_and_its_versions_are_not(mill, store):
    version = drop(mill, "a", b"first")
    delete(mill, "landing/a")

    with pytest.raises(ObjectGoneError):
        store.read("landing/a")

    assert not store.exists("landing/a")
    assert store.read_version("landing/a", version) == b"first"


def test_what_others_put_over_ours_is_known_and_put_back(mill, store):
    key = "batches/é 100%+?#-000001/plan.parquet"
    store.create(key, b"ours", content_type="text/plain")
    untouched = list(list_changes(store, "batches/"))
    tamper(mill, key, b"theirs")
    (altered,) = list_changes(store, "batches/")
    delete(mill, key)
    (gone,) = list_changes(store, "batches/")
    store.put_back(gone.written)

    assert untouched == []
    assert altered == dataclasses.replace(gone, is_gone=False)
    assert gone == Change(Written(key=key, body=b"ours", content_type="text/plain"), is_gone=True)
    assert store.read(key) == b"ours"
    assert list(list_changes(store, "batches/")) == []


@pytest.mark.parametrize("key", ["datasets/c/_snapshots/LATEST", "datasets/c/README.md"])
def test_what_is_written_often_never_counts_as_changed(mill, store, key):
    store.create(key, b"ours")
    tamper(mill, key, b"theirs")

    assert list(list_changes(store, "datasets/")) == []


def test_a_generation_that_was_overwritten_is_not_read_as_the_old_one(new_mill):
    mill = new_mill(is_versioned=False)
    drop(mill, "a", b"first")
    (listed,) = mill.store.list_versions("landing/")
    version = generation(listed.etag, listed.size_bytes, 1)
    first = mill.store.read_version("landing/a", version)
    drop(mill, "a", b"other")

    with pytest.raises(LostRaceError):
        mill.store.read_version("landing/a", version)

    assert first == b"first"


def test_every_version_and_delete_marker_is_listed(mill, store):
    versions = [drop(mill, "a", b"1"), drop(mill, "a", b"22")]
    delete(mill, "landing/a")
    other = drop(mill, "b c/ö", b"333")

    listed = list(store.list_versions("landing/"))

    found = {entry.version: entry for entry in listed if not entry.is_delete_marker}
    assert set(found) == {*versions, other}
    assert [found[version].size_bytes for version in (*versions, other)] == [1, 2, 3]
    assert found[other].key == "landing/b c/ö"
    assert [entry.key for entry in listed if entry.is_delete_marker] == ["landing/a"]
    assert {entry.is_latest for entry in listed if entry.key == "landing/a"} == {True, False}


def test_a_listing_goes_on_behind_its_first_page(mill, store):
    def put(number):
        folder = "many" if number < 600 else "many-more"  # `-` comes before `/`
        s3(mill).put_object(Bucket=store.bucket, Key=f"{folder}/{number:04}", Body=b"")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(1005)))

    assert len(set(store.list_keys("many"))) == 1005
    assert len({entry.version for entry in store.list_versions("many")}) == 1005


# A store that walks folders meets `inv/` before `inv-2024/`; in the order of keys it comes after.
ODD_NAMES = (
    *("inv", "inv/1", "inv/2", "inv/3", "inv-2024/1", "inv-2024/2", "inv.old/1", "inv.png"),
    *("scan", "scan 2", "scan-2/1", "scan.png", "scan.png.bak", "scan/1", "z"),
    *("a\x01b/1", "a\x02b/1", "a\ufffdb/1", "a\nb", "%2e", "ö", "\U0001f600", "\uffee"),
)


def test_no_listing_leaves_a_version_out_whatever_the_names(mill, store):
    uploads = [(f"landing/{name}", drop(mill, name, name.encode())) for name in ODD_NAMES]
    uploads.append(("landing/inv", drop(mill, "inv", b"inv")))
    delete(mill, "landing/z")

    for page_size in (1, 2, 3, 5, 8, 1000):
        listed = list(store.list_versions("landing/", page_size=page_size))
        found = [(entry.key, entry.version) for entry in listed if not entry.is_delete_marker]
        assert sorted(found) == sorted(uploads), page_size
        assert [entry.key for entry in listed if entry.is_delete_marker] == ["landing/z"]
        current = [entry.key for entry in listed if entry.is_latest]
        assert sorted(current) == sorted(f"landing/{name}" for name in ODD_NAMES)
    for key, version in uploads:
        assert f"landing/{store.read_version(key, version).decode()}" == key


def test_a_bucket_says_whether_it_keeps_versions(new_mill):
    assert new_mill().store.is_versioned()
    assert not new_mill(is_versioned=False).store.is_versioned()


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", ObjectGoneError),
        (404, "NoSuchVersion", ObjectGoneError),
        (405, "MethodNotAllowed", ObjectGoneError),  # what S3 answers for a delete marker
        (403, "AccessDenied", ObjectDeniedError),
        (403, "InvalidObjectState", ObjectDeniedError),  # archived
        (400, "InvalidRequest", ObjectDeniedError),  # encrypted with a key of the uploader's
        (400, "KMS.DisabledException", ObjectDeniedError),
        (412, "PreconditionFailed", LostRaceError),
        (409, "ConditionalRequestConflict", LostRaceError),
        (404, "NoSuchBucket", FatalError),
        (403, "InvalidAccessKeyId", FatalError),
        (403, "SignatureDoesNotMatch", FatalError),
        (403, "RequestTimeTooSkewed", FatalError),
        (500, "InternalError", RetryableError),
        (503, "SlowDown", RetryableError),
        (400, "RequestTimeout", RetryableError),
    ],
)
def test_each_answer_of_the_store_means_one_thing(store_that_fails, status, code, expected):
    with answering(status, code) as (address, _), pytest.raises(expected):
        store_that_fails(address).read("a")


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize(
    "verb",
    [
        lambda store: store.create("a", b""),
        lambda store: store.swap("a", b"", etag="0"),
        lambda store: store.exists("a"),
        lambda store: list(store.list_keys("")),
        lambda store: list(store.list_versions("")),
        lambda store: store.is_versioned(),
    ],
    ids=["create", "swap", "exists", "list_keys", "list_versions", "is_versioned"],
)
def test_no_verb_blames_anything_but_the_store_for_its_faults(store_that_fails, verb, status):
    with answering(status, "InternalError") as (address, requests):
        store = store_that_fails(address)
        with pytest.raises(RetryableError):
            verb(store)

    assert len(requests) > 1  # it was not given up at once


def test_a_swap_of_what_is_gone_is_a_lost_race(store_that_fails):
    with answering(404, "NoSuchKey") as (address, _), pytest.raises(LostRaceError):
        store_that_fails(address).swap("LATEST", b"", etag="0")


def test_a_body_that_breaks_off_is_no_short_object(store_that_fails):
    with answering(200, is_cut_off=True) as (address, _), pytest.raises(RetryableError):
        store_that_fails(address).read("a")


def test_bytes_that_are_no_table_any_more_are_named(store):
    store.create("t", b"rotten")

    with pytest.raises(AlteredError, match=r"\[t\]"):
        store.read_table("t")


def test_a_store_that_does_not_answer_is_tried_again_later(store_that_fails):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but not listening
        store = store_that_fails(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(RetryableError):
            store.read("a")


# --- forms ---------------------------------------------------------------------------------------


def test_the_same_content_gives_the_same_bytes():
    table = pa.table({"a": [1, 2], "b": ["x", None]})

    assert json_bytes({"a": 1, "b": "é"}) == json_bytes({"b": "é", "a": 1})
    assert parquet_bytes(table) == parquet_bytes(table)


def test_no_bit_that_tips_over_makes_a_table_another_one():
    names = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(20)]
    table = pa.table({"name": names, "number": list(range(20))})
    body = parquet_bytes(table)
    last = pq.read_metadata(pa.BufferReader(body)).row_group(0).column(1)
    damages = []

    for place in range(len(b"PAR1"), last.dictionary_page_offset + last.total_compressed_size):
        damaged = bytearray(body)
        damaged[place] ^= 1
        try:
            assert table_of("t", bytes(damaged)).equals(table)
        except AlteredError as error:
            damages.append(error)

    assert len(damages) > sum(map(len, names)) / 2  # hexadecimal packs to half


def test_tables_come_back_with_their_metadata(store):
    table = pa.table({"a": [1, 2]}).replace_schema_metadata({"log_url": "x"})
    store.create("t", parquet_bytes(table))

    found = store.read_table("t")

    assert found.equals(table)
    assert found.schema.metadata[b"log_url"] == b"x"
