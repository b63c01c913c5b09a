"""Verbs on the one bucket: read, list, create-only put, swap.

There is no rename on S3: a commit is one conditional PUT (`If-None-Match: *` or `If-Match: etag`).
Faults of the store come out as `RetryableError`, never as a property of an image.
"""

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scanmill import layout, listing
from scanmill.errors import AlteredError, LostRaceError, ObjectDeniedError, ObjectGoneError
from scanmill.listing import Listed
from scanmill.models import counted_etag
from scanmill.s3 import Bucket

_PROOF = "scanmill-sha256"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An object that is written once, as we wrote it."""

    key: str
    body: bytes
    content_type: str


class Store:
    """One bucket of an S3 store."""

    def __init__(self, bucket: str, *, patience_seconds: float = 0) -> None:
        """Reach the bucket with the credentials and the endpoint that the AWS environment names.

        With `patience_seconds` whatever takes longer has failed, and nothing is tried again.
        """
        self.bucket = bucket
        self._s3 = Bucket(bucket, patience_seconds=patience_seconds)

    # --- reading ---------------------------------------------------------------------------------

    def read(self, key: str) -> bytes:
        """Return the bytes of an object.

        Raises:
            ObjectGoneError: it is not there.
            ObjectDeniedError: it is there, but not for us.
            RetryableError: the store failed.
        """
        return self._read(key)[0]

    def read_version(self, key: str, version: str) -> bytes:
        """Return the bytes of exactly this version of an object.

        Raises as `read` does, and also:
            LostRaceError: the bucket keeps no versions, and the object is another by now.
        """
        etag = counted_etag(version)
        wanted = {"IfMatch": etag} if etag else {"VersionId": version}
        return self._read(key, **wanted)[0]

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        """Return the bytes and the etag that `swap` wants to see again."""
        return self._read(key)

    def read_json(self, key: str, *, names: Collection[str] = ()) -> dict[str, Any]:
        """Return the JSON object kept at this key, which must have these names.

        Raises as `read` does, and also:
            AlteredError: it is not as we wrote it, its bytes are no JSON, or a name is missing.
        """
        return json_of(key, self._read_ours(key), names=names)

    def read_table(self, key: str, *, names: Collection[str] = ()) -> pa.Table:
        """Return the Parquet table kept at this key, which must have these columns.

        Raises as `read` does, and also:
            AlteredError: it is not as we wrote it, is no Parquet, or a column is missing.
        """
        return table_of(key, self._read_ours(key), names=names)

    def exists(self, key: str) -> bool:
        """Tell whether an object is there."""
        try:
            self._s3.call("head_object", Key=key)
        except ObjectGoneError:
            return False
        return True

    def read_written(self, entry: Listed) -> Written | None:
        """Return this version of an object if it is proven to be as `create` wrote it.

        Raises:
            RetryableError: the store failed.
        """
        if entry.is_delete_marker:
            return None
        try:
            body, answer = self._s3.get(entry.key, VersionId=entry.version)
        except (ObjectGoneError, ObjectDeniedError):
            return None
        if not _is_proven(body, answer):
            return None
        kind = answer.get("ContentType", "")
        return Written(key=entry.key, body=body, content_type=kind)

    def _read_ours(self, key: str) -> bytes:
        """Return the bytes of an object; of one that is written once, only if nobody altered it.

        Bytes without our proof, such as a copy that a person put back, are held against the
        versions of the bucket; where it keeps none, they are believed.
        """
        body, answer = self._s3.get(key)
        if not layout.is_written_once(key) or _is_proven(body, answer):
            return body
        earlier = (entry for entry in self.list_versions(key) if entry.key == key)
        ours = (one for entry in earlier if (one := self.read_written(entry)))
        if any(one.body != body for one in ours):
            raise AlteredError(f"[{key}] is not as we wrote it. Put it back: ./scanmill heal")
        return body

    def _read(self, key: str, **wanted: str) -> tuple[bytes, str]:
        body, answer = self._s3.get(key, **wanted)
        return body, answer["ETag"]

    # --- listing ---------------------------------------------------------------------------------

    def list_keys(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield (key, etag) of every object below a prefix."""
        for page in self._s3.pages("list_objects_v2", prefix):
            for entry in page.get("Contents", ()):
                yield entry["Key"], entry["ETag"].strip('"')

    def list_sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield (key, bytes) of every object below a prefix."""
        for page in self._s3.pages("list_objects_v2", prefix):
            for entry in page.get("Contents", ()):
                yield entry["Key"], entry["Size"]

    def list_versions(self, prefix: str, *, page_size: int = listing.PAGE) -> Iterator[Listed]:
        """Yield every version and delete marker below a prefix, as the store orders those of a key.

        Raises:
            RetryableError: the store failed.
        """
        return listing.versions(self._s3.pages, prefix, page_size=page_size)

    # --- writing ---------------------------------------------------------------------------------

    def create(self, key: str, body: bytes, *, content_type: str = "") -> bool:
        """Put an object that must not exist yet; return whether it was us who created it.

        An object that is there with these very bytes counts as ours: the answer to an earlier
        attempt was lost.

        Raises:
            LostRaceError: other bytes are there.
        """
        try:
            self._put(key, body, content_type, Metadata=_proof(body), IfNoneMatch="*")
        except LostRaceError:
            if self.read(key) != body:
                raise
            return False
        return True

    def create_first(self, key: str, body: bytes) -> bytes:
        """Put an object unless one is there, and return the bytes that won."""
        try:
            self.create(key, body)
        except LostRaceError:
            return self.read(key)
        return body

    def create_json(self, key: str, content: dict[str, Any]) -> bool:
        """Put a JSON object that must not exist yet, as `create` does."""
        return self.create(key, json_bytes(content), content_type="application/json")

    def swap(self, key: str, body: bytes, *, etag: str | None) -> None:
        """Replace the object that has this etag; None: there must not be one yet.

        Raises:
            LostRaceError: somebody else swapped first. Also when the answer to our own
                successful attempt was lost: read again before starting over.
        """
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        self._put(key, body, "text/plain", **condition)

    def put_derived(self, key: str, body: bytes, *, content_type: str) -> None:
        """Put an object that can be made again at any time; the last writer wins."""
        self._put(key, body, content_type)

    def put_back(self, written: Written) -> None:
        """Put the bytes that we once wrote over what stands there, which may stay as a version."""
        proof = _proof(written.body)
        self._put(written.key, written.body, written.content_type, Metadata=proof)

    def _put(self, key: str, body: bytes, content_type: str, **more: Any) -> None:
        kind = {"ContentType": content_type} if content_type else {}
        try:
            self._s3.call("put_object", Key=key, Body=body, **kind, **more)
        except ObjectGoneError as error:  # S3's answer where nothing is there to match
            raise LostRaceError(str(error)) from error

    # --- the bucket ------------------------------------------------------------------------------

    def describe(self) -> str:
        """Return what the store calls itself, and where it is."""
        headers = self._s3.call("get_bucket_versioning")["ResponseMetadata"]["HTTPHeaders"]
        return f"{headers.get('server') or 'S3'} at {self._s3.endpoint}"

    def is_versioned(self) -> bool:
        """Tell whether the bucket keeps the versions of its objects."""
        answer: dict[str, Any] = self._s3.call("get_bucket_versioning")
        return answer.get("Status") == "Enabled"


def _proof(body: bytes) -> dict[str, str]:
    """Return what an object of ours carries, so that it can be told from what others put there."""
    return {_PROOF: hashlib.sha256(body).hexdigest()}


def _is_proven(body: bytes, answer: dict[str, Any]) -> bool:
    """Tell whether an object carries the proof of just these bytes."""
    return bool(answer["Metadata"].get(_PROOF) == _proof(body)[_PROOF])


def json_bytes(content: dict[str, Any]) -> bytes:
    """Return JSON in the one form that gives the same bytes for the same content."""
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False).encode()


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as zstd Parquet, cut by content so that near-equal shards share pages.

    Each page has its checksum: without, one bit in four that tips over gives other values.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_content_defined_chunking=True,
        write_page_index=True,
        write_page_checksum=True,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def json_of(key: str, body: bytes, *, names: Collection[str] = ()) -> dict[str, Any]:
    """Return the JSON object that an object's bytes are, which must have these names.

    Raises:
        AlteredError: they are no JSON, or a name is missing.
    """
    try:
        content = json.loads(body)
    except ValueError as error:
        raise AlteredError(f"[{key}] is no JSON any more: {error}") from error
    if not isinstance(content, dict):
        raise AlteredError(f"[{key}] is no JSON object any more.")
    _require(key, names, content)
    return content


def table_of(key: str, body: bytes, *, names: Collection[str] = ()) -> pa.Table:
    """Return the Parquet table that an object's bytes are, which must have these columns.

    Raises:
        AlteredError: they are no Parquet, or a column is missing.
    """
    try:
        table = pq.read_table(pa.BufferReader(body), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:  # a damaged page of it is an OSError
        raise AlteredError(f"[{key}] is no table any more: {error}") from error
    _require(key, names, table.column_names)
    return table


def _require(key: str, names: Collection[str], found: Collection[str]) -> None:
    if missing := [name for name in names if name not in found]:
        raise AlteredError(f"[{key}] has no {missing} any more.")
