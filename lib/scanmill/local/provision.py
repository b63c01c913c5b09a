"""Makes bucket, versioning, queue and notification as they must be, and reads back what was set."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from scanmill import layout
from scanmill.errors import RetryableError

EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
_PATIENCE = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 3})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One bucket and one queue, and the clients that reach them; no queue is a choice too."""

    s3: Any
    sqs: Any
    bucket: str
    queue_url: str

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> "Store":
        """Return the store that an environment speaks of."""
        access = {
            "endpoint_url": variables["AWS_ENDPOINT_URL"],
            "region_name": variables["AWS_REGION"],
            "aws_access_key_id": variables["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
            "config": _PATIENCE,
        }
        return cls(
            s3=boto3.client("s3", **access),
            sqs=boto3.client("sqs", **access),
            bucket=variables["SCANMILL_BUCKET"],
            queue_url=variables["SCANMILL_QUEUE_URL"],
        )


def provision(store: Store) -> list[str]:
    """Set what is not as it must be, and return its names; nothing to do leaves all untouched."""
    changed = []
    try:
        for name, is_set, put in _STEPS:
            if not is_set(store):
                put(store)
                changed.append(name)
        off = wrong(store)
    except (BotoCoreError, ClientError) as error:
        raise RetryableError(f"Cannot provision [{store.bucket}]: {error}") from error
    if off:
        raise RetryableError(f"The store did not keep {off} of [{store.bucket}]")
    return changed


def wrong(store: Store) -> list[str]:
    """Return the names of what is not as it must be."""
    return [name for name, is_set, _ in _STEPS if not is_set(store)]


# --- bucket --------------------------------------------------------------------------------------


def _has_bucket(store: Store) -> bool:
    try:
        store.s3.head_bucket(Bucket=store.bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True


def _put_bucket(store: Store) -> None:
    store.s3.create_bucket(Bucket=store.bucket)


def _has_versioning(store: Store) -> bool:
    return bool(store.s3.get_bucket_versioning(Bucket=store.bucket).get("Status") == "Enabled")


def _put_versioning(store: Store) -> None:
    store.s3.put_bucket_versioning(
        Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"}
    )


# --- queue ---------------------------------------------------------------------------------------


def _has_queue(store: Store) -> bool:
    if not store.queue_url:
        return True
    try:
        _queue_arn(store)
    except store.sqs.exceptions.QueueDoesNotExist:
        return False
    return True


def _put_queue(store: Store) -> None:
    store.sqs.create_queue(QueueName=store.queue_url.rpartition("/")[2])


def _queue_arn(store: Store) -> str:
    answer = store.sqs.get_queue_attributes(QueueUrl=store.queue_url, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


# --- notification --------------------------------------------------------------------------------


def _has_notification(store: Store) -> bool:
    answer = store.s3.get_bucket_notification_configuration(Bucket=store.bucket)
    found = [
        (
            queue["QueueArn"],
            tuple(sorted(queue["Events"])),
            [rule["Value"] for rule in _rules(queue)],
        )
        for queue in answer.get("QueueConfigurations", [])
    ]
    return found == ([(_queue_arn(store), EVENTS, [layout.LANDING])] if store.queue_url else [])


def _rules(queue: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the rules of a notification; one that somebody set by hand may have none."""
    rules: list[dict[str, str]] = queue.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return rules


def _put_notification(store: Store) -> None:
    rule = {"Name": "prefix", "Value": layout.LANDING}
    wanted = [
        {
            "Id": "landing",
            "QueueArn": _queue_arn(store),
            "Events": list(EVENTS),
            "Filter": {"Key": {"FilterRules": [rule]}},
        }
        for _ in range(bool(store.queue_url))
    ]
    store.s3.put_bucket_notification_configuration(
        Bucket=store.bucket, NotificationConfiguration={"QueueConfigurations": wanted}
    )


_STEPS: tuple[tuple[str, Callable[[Store], bool], Callable[[Store], None]], ...] = (
    ("bucket", _has_bucket, _put_bucket),
    ("versioning", _has_versioning, _put_versioning),
    ("queue", _has_queue, _put_queue),
    ("notification", _has_notification, _put_notification),
)
