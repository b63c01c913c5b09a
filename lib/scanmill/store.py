"""Verbs over boto3 on the one bucket: read, list, create-only put, swap.

There is no rename on S3: a commit is one conditional PUT (`If-None-Match: *` or `If-Match: etag`).
Faults of the store come out as `RetryableError`, never as a property of an image.
"""

import dataclasses
import functools
import hashlib
import json
import operator
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from scanmill import layout, listing
from scanmill.errors import FatalError, RetryableError, ScanmillError
from scanmill.listing import Listed
from scanmill.models import counted_etag

_GONE = {"NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed"}
_DENIED = {"AccessDenied", "InvalidObjectState", "403"}
# Codes of a GET that say something of this one object: encrypted with a key of the uploader's, or
# by one that was disabled or taken from us.
_LOCKED = {
    "InvalidRequest",
    "KMS.AccessDeniedException",
    "KMS.DisabledException",
    "KMS.KMSInvalidStateException",
    "KMS.NotFoundException",
}
_LOST_THE_RACE = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_PROOF = "scanmill-sha256"
_NOT_SET_UP = {"InvalidAccessKeyId", "SignatureDoesNotMatch"}


class ObjectGoneError(ScanmillError):
    """The object or this version of it is not there."""


class ObjectDeniedError(ScanmillError):
    """The store refuses to hand out this object: forbidden or archived."""


class NoSuchBucketError(FatalError):
    """The bucket is not there."""


class AlteredError(FatalError):
    """Bytes of ours that were altered behind our back."""


class LostRaceError(ScanmillError):
    """A conditional PUT found that somebody else was first."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An object that is written once, as we wrote it, and is gone or another now."""

    key: str
    body: bytes
    content_type: str
    is_gone: bool = False


class Store:
    """One bucket of an S3 store."""

    def __init__(self, bucket: str, *, patience_seconds: float = 0) -> None:
        """Reach the bucket with the credentials and the endpoint that the AWS environment names.

        With `patience_seconds` whatever takes longer has failed, and nothing is tried again.
        """
        self.bucket = bucket
        self._patience_seconds = patience_seconds

    @functools.cached_property
    def _s3(self) -> Any:
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 1 if self._patience_seconds else 5},
            connect_timeout=self._patience_seconds or 10,
            read_timeout=self._patience_seconds or 30,
            s3={"addressing_style": "path"},
        )
        try:
            return boto3.client("s3", config=config)
        except ValueError as error:
            raise FatalError(f"AWS_ENDPOINT_URL cannot be used: {error}") from error

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
            AlteredError: its bytes are no JSON, or a name is missing.
        """
        try:
            content = json.loads(self.read(key))
        except ValueError as error:
            raise AlteredError(f"[{key}] is no JSON any more: {error}") from error
        if not isinstance(content, dict):
            raise AlteredError(f"[{key}] is no JSON object any more.")
        _require(key, names, content)
        return content

    def read_table(self, key: str, *, names: Collection[str] = ()) -> pa.Table:
        """Return the Parquet table kept at this key, which must have these columns.

        Raises as `read` does, and also:
            AlteredError: its bytes are no Parquet, or a column is missing.
        """
        try:
            table = pq.read_table(pa.BufferReader(self.read(key)))
        except pa.ArrowInvalid as error:
            raise AlteredError(f"[{key}] is no table any more: {error}") from error
        _require(key, names, table.column_names)
        return table

    def exists(self, key: str) -> bool:
        """Tell whether an object is there."""
        try:
            self._call("head_object", Key=key)
        except ObjectGoneError:
            return False
        return True

    def _read(self, key: str, **wanted: str) -> tuple[bytes, str]:
        answer = self._call("get_object", Key=key, **wanted)
        return self._body(answer, key), answer["ETag"]

    def _body(self, answer: Mapping[str, Any], key: str) -> bytes:
        try:
            content: bytes = answer["Body"].read()
        except (BotoCoreError, OSError) as error:  # cut off in the middle of the body
            raise RetryableError(f"Reading [{key}] broke off: {error}") from error
        return content

    # --- listing ---------------------------------------------------------------------------------

    def list_keys(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield (key, etag) of every object below a prefix."""
        for page in self._pages("list_objects_v2", prefix):
            for entry in page.get("Contents", ()):
                yield entry["Key"], entry["ETag"].strip('"')

    def list_sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield (key, bytes) of every object below a prefix."""
        for page in self._pages("list_objects_v2", prefix):
            for entry in page.get("Contents", ()):
                yield entry["Key"], entry["Size"]

    def list_versions(self, prefix: str, *, page_size: int = listing.PAGE) -> Iterator[Listed]:
        """Yield every version and delete marker below a prefix, as the store orders those of a key.

        Raises:
            RetryableError: the store failed.
        """
        return listing.versions(self._pages, prefix, page_size=page_size)

    def list_changed(self, prefix: str) -> Iterator[Change]:
        """Yield what is written once and is gone or another now, although we can prove what it was.

        Where the bucket keeps no versions, nothing can be proven.

        Raises:
            RetryableError: the store failed.
        """
        ours = (entry for entry in self.list_versions(prefix) if layout.is_written_once(entry.key))
        for versions in listing.by_key(ours):
            if len({entry.etag for entry in versions}) > 1 and (change := self._change(versions)):
                yield change

    def _change(self, versions: Sequence[Listed]) -> Change | None:
        # In the listing the newest is the first; a sort keeps that where seconds are equal.
        newest_first = sorted(versions, key=operator.attrgetter("modified_at"), reverse=True)
        current = next((entry for entry in newest_first if entry.is_latest), None)
        if current is None or self._proven(current):
            return None
        earlier = (entry for entry in newest_first if entry is not current)
        proven = next((one for entry in earlier if (one := self._proven(entry))), None)
        if proven is None:
            return None
        try:
            is_the_same = not current.is_delete_marker and self.read(current.key) == proven.body
        except (ObjectGoneError, ObjectDeniedError):
            return None  # nobody can tell what it is
        return (
            None if is_the_same else dataclasses.replace(proven, is_gone=current.is_delete_marker)
        )

    def _proven(self, entry: Listed) -> Change | None:
        """Return a version of an object if it is as we wrote it."""
        if entry.is_delete_marker:
            return None
        try:
            answer = self._call("get_object", Key=entry.key, VersionId=entry.version)
            body = self._body(answer, entry.key)
        except (ObjectGoneError, ObjectDeniedError):
            return None
        is_ours = answer["Metadata"].get(_PROOF) == hashlib.sha256(body).hexdigest()
        kind = answer.get("ContentType", "")
        return Change(key=entry.key, body=body, content_type=kind) if is_ours else None

    def _pages(self, verb: str, prefix: str, **options: Any) -> Iterator[dict[str, Any]]:
        paginator = self._s3.get_paginator(verb)
        pages = iter(paginator.paginate(Bucket=self.bucket, Prefix=prefix, **options))
        while True:
            try:
                yield next(pages)
            except StopIteration:
                return
            except (ClientError, BotoCoreError) as error:
                raise _explained(error, prefix) from error

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

    def put_back(self, change: Change) -> None:
        """Put the bytes that we once wrote over what stands there, which may stay as a version."""
        self._put(change.key, change.body, change.content_type, Metadata=_proof(change.body))

    def _put(self, key: str, body: bytes, content_type: str, **more: Any) -> None:
        kind = {"ContentType": content_type} if content_type else {}
        try:
            self._call("put_object", Key=key, Body=body, **kind, **more)
        except ObjectGoneError as error:  # S3's answer where nothing is there to match
            raise LostRaceError(str(error)) from error

    # --- the bucket ------------------------------------------------------------------------------

    def describe(self) -> str:
        """Return what the store calls itself, and where it is."""
        headers = self._call("get_bucket_versioning")["ResponseMetadata"]["HTTPHeaders"]
        return f"{headers.get('server') or 'S3'} at {self._s3.meta.endpoint_url}"

    def is_versioned(self) -> bool:
        """Tell whether the bucket keeps the versions of its objects."""
        answer: dict[str, Any] = self._call("get_bucket_versioning")
        return answer.get("Status") == "Enabled"

    def _call(self, verb: str, **arguments: Any) -> Any:
        try:
            return getattr(self._s3, verb)(Bucket=self.bucket, **arguments)
        except (ClientError, BotoCoreError) as error:
            if verb == "get_object" and _code(error) in _LOCKED:
                raise ObjectDeniedError(f"[{arguments['Key']}]: {error}") from error
            raise _explained(error, arguments.get("Key", self.bucket)) from error


def _proof(body: bytes) -> dict[str, str]:
    """Return what an object of ours carries, so that it can be told from what others put there."""
    return {_PROOF: hashlib.sha256(body).hexdigest()}


def json_bytes(content: dict[str, Any]) -> bytes:
    """Return JSON in the one form that gives the same bytes for the same content."""
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False).encode()


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as zstd Parquet, cut by content so that near-equal shards share pages."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_content_defined_chunking=True,
        write_page_index=True,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _require(key: str, names: Collection[str], found: Collection[str]) -> None:
    if missing := [name for name in names if name not in found]:
        raise AlteredError(f"[{key}] has no {missing} any more.")


def _code(error: ClientError | BotoCoreError) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""


def _explained(error: ClientError | BotoCoreError, subject: str) -> ScanmillError:
    """Return our error for the store's: gone, denied, lost race, wrong set-up or try again."""
    code = _code(error)
    message = f"[{subject}]: {error}"
    if code == "RequestTimeTooSkewed":
        # Never tried again: Airflow would wait by the same wrong clock. The sweep comes by ours.
        return FatalError(f"The clock of this machine is wrong. Set it: {message}")
    if code == "NoSuchBucket":
        return NoSuchBucketError(f"There is no such bucket: {message}. See: ./scanmill doctor")
    if code in _NOT_SET_UP or isinstance(error, ParamValidationError):
        return FatalError(f"The store cannot be used: {message}. See: ./scanmill doctor")
    if code in _GONE:
        return ObjectGoneError(message)
    if code in _DENIED:
        return ObjectDeniedError(message)
    if code in _LOST_THE_RACE:
        return LostRaceError(message)
    return RetryableError(f"The store failed on {message}")
