"""One bucket over boto3; whatever is no success comes out as an error of ours."""

import functools
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from scanmill.errors import (
    FatalError,
    LostRaceError,
    NoSuchBucketError,
    ObjectDeniedError,
    ObjectGoneError,
    RetryableError,
    ScanmillError,
)

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
_NOT_SET_UP = {"InvalidAccessKeyId", "SignatureDoesNotMatch"}


class Bucket:
    """One bucket of an S3 store."""

    def __init__(self, name: str, *, patience_seconds: float = 0) -> None:
        """Reach the bucket with the credentials and the endpoint that the AWS environment names.

        With `patience_seconds` whatever takes longer has failed, and nothing is tried again.
        """
        self.name = name
        self._patience_seconds = patience_seconds

    @property
    def endpoint(self) -> str:
        """Where the store is."""
        return str(self.client.meta.endpoint_url)

    def call(self, verb: str, **arguments: Any) -> Any:
        """Return the answer to one request about the bucket or one of its objects.

        Raises:
            ObjectGoneError, ObjectDeniedError, LostRaceError: of the object, as the store says.
            RetryableError: the store failed.
            FatalError: the store cannot be used as it is set up.
        """
        try:
            return getattr(self.client, verb)(Bucket=self.name, **arguments)
        except (ClientError, BotoCoreError) as error:
            if verb == "get_object" and _code(error) in _LOCKED:
                raise ObjectDeniedError(f"[{arguments['Key']}]: {error}") from error
            raise _explained(error, arguments.get("Key", self.name)) from error

    def get(self, key: str, **wanted: str) -> tuple[bytes, dict[str, Any]]:
        """Return the bytes of an object and what the store says of them.

        Raises as `call` does.
        """
        answer: dict[str, Any] = self.call("get_object", Key=key, **wanted)
        try:
            return answer["Body"].read(), answer
        except (BotoCoreError, OSError) as error:  # cut off in the middle of the body
            raise RetryableError(f"Reading [{key}] broke off: {error}") from error

    def pages(self, verb: str, prefix: str, **options: Any) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing.

        Raises as `call` does.
        """
        paginator = self.client.get_paginator(verb)
        pages = iter(paginator.paginate(Bucket=self.name, Prefix=prefix, **options))
        while True:
            try:
                yield next(pages)
            except StopIteration:
                return
            except (ClientError, BotoCoreError) as error:
                raise _explained(error, prefix) from error

    @functools.cached_property
    def client(self) -> Any:
        """The client of boto3, which is safe to share between threads."""
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
