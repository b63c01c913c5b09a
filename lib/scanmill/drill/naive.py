"""The loop that everybody writes: read each image, and go on when something fails.

It is here to be compared with. It reads the same uploads through the same broken network with
boto3's own retries, while no process is killed: the easiest of what the pipeline has to stand.
"""

import contextlib
import dataclasses
import io
from collections.abc import Collection, Iterator

import boto3
from PIL import Image

from scanmill.drill.reader import script_of
from scanmill.drill.scene import World


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many pages were to be read, and how many are missing without a word."""

    pages: int
    missing: int


def read(world: World, collections: Collection[str]) -> Tally:
    """Return what the loop misses of the uploads to some collections."""
    found = {text for name in collections for text in _loop(world, f"landing/{name}/")}
    wanted = {
        text
        for upload in world.witness.of(collections)
        for text in upload.texts
        if upload.is_last and text
    }
    return Tally(pages=len(wanted), missing=len(wanted - found))


def _loop(world: World, prefix: str) -> Iterator[str]:
    variables = world.scratch.variables
    s3 = boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_REGION"],
    )
    with contextlib.suppress(Exception):
        for page in s3.get_paginator("list_objects_v2").paginate(
            Bucket=world.scratch.bucket, Prefix=prefix
        ):
            for entry in page.get("Contents", ()):
                with contextlib.suppress(Exception):  # where everybody writes log.exception
                    answer = s3.get_object(Bucket=world.scratch.bucket, Key=entry["Key"])
                    yield from _texts(answer["Body"].read())


def _texts(body: bytes) -> Iterator[str]:
    image = Image.open(io.BytesIO(body))
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        script = script_of(image.convert("L").tobytes())
        if script:
            yield script["text"]
