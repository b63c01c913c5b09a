"""Reads reports from the bucket for the pages, and nothing but reports."""

import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import HTTPException

from scanmill import layout

PLAIN_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._~-]{0,120}$"
MOST_BATCHES = 500

_BATCHES = "batches/"
# By the name alone: what an object says about itself was written by whoever put it there.
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One file of a report."""

    body: bytes
    media_type: str
    is_shown: bool
    """Whether a browser may show it, or only save it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reports:
    """The reports in one bucket."""

    bucket: str

    def batches(self) -> list[str]:
        """Return the batches there are, the latest of each collection first."""
        names = [name for name in self._folders(_BATCHES) if layout.split_batch_id(name)]
        return sorted(names, reverse=True)[:MOST_BATCHES]

    def gates(self, batch: str) -> list[str]:
        """Return the gates that left a report on this batch."""
        _require_batch(batch)
        return sorted(self._folders(f"{_BATCHES}{batch}/report/"))

    def read(self, batch: str, gate: str, path: str) -> Found:
        """Return one file of a report, or raise what the browser is to be told."""
        _require_batch(batch)
        if not _is_plain_path(path):
            raise HTTPException(404, "No such file in a report")
        try:
            answer = _s3().get_object(Bucket=self.bucket, Key=layout.report(batch, gate) + path)
            body: bytes = answer["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise _told(error) from error
        media_type = _MEDIA_TYPES.get(PurePosixPath(path).suffix.lower())
        return Found(
            body=body,
            media_type=media_type or "application/octet-stream",
            is_shown=media_type is not None,
        )

    def _folders(self, prefix: str) -> Iterator[str]:
        try:
            for page in (
                _s3()
                .get_paginator("list_objects_v2")
                .paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
            ):
                for entry in page.get("CommonPrefixes", []):
                    yield entry["Prefix"].removeprefix(prefix).rstrip("/")
        except (BotoCoreError, ClientError) as error:
            raise _told(error) from error


def _require_batch(name: str) -> None:
    if not layout.split_batch_id(name):
        raise HTTPException(404, f"No batch is called [{name}]")


def _is_plain_path(path: str) -> bool:
    segments = path.split("/")
    return not any(segment in {"", ".", ".."} for segment in segments) and not re.search(
        r"[\\\x00-\x1f]", path
    )


def _told(error: BotoCoreError | ClientError) -> HTTPException:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    if code in {"NoSuchKey", "404"}:
        return HTTPException(404, "No such file in a report")
    return HTTPException(503, "The store does not answer. Look at it: ./scanmill doctor")


@functools.cache
def _s3() -> Any:
    return boto3.client("s3")
