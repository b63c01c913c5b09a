"""Hears of uploads through SQS and rings the `landing` asset, without losing a message.

Airflow's own SQS trigger deletes a message before the asset event is stored: of 300 messages, 110
were gone after one kill of the triggerer. Here the message is deleted only after the event is
stored (an ack-mode shared stream of Airflow 3.3); a kill makes it come twice, which is harmless.
"""

import asyncio
import json
import urllib.parse
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

MOST_FOLDERS = 50
"""An event names at most so many folders to list first; beyond that, everything is listed."""

_WAIT_SECONDS = 5  # long polling
_LINGER_SECONDS = 2  # a burst of uploads becomes one event
_BURST_SECONDS = 10
_VISIBILITY_SECONDS = 60  # Airflow confirms an event within seconds
_BURST_MESSAGES = 1000


class LandingTrigger(BaseEventTrigger):
    """Fires once for every burst of uploads that a queue tells of."""

    def __init__(self, *, queue_url: str, aws_conn_id: str = "aws_default") -> None:
        super().__init__()
        self.queue_url = queue_url
        self.aws_conn_id = aws_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return how the triggerer makes this trigger again."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"queue_url": self.queue_url, "aws_conn_id": self.aws_conn_id}

    def shared_stream_key(self) -> tuple[str, str]:
        """Return what makes all watchers of one queue share one poll."""
        return ("scanmill-landing", self.queue_url)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return the producer; that there is one turns the ack mode on."""
        return _Queue(**kwargs)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Never used: the stream is shared."""
        raise NotImplementedError("A landing trigger runs as a shared stream only.")
        yield

    async def filter_shared_stream(
        self, stream: AsyncIterator[Sequence[str]]
    ) -> AsyncIterator[TriggerEvent]:
        """Ring for every burst that names uploads; the store's own test event names none."""
        async for bodies in stream:
            folders = folders_of(bodies)
            if folders:
                yield TriggerEvent(
                    {"messages": len(bodies), "folders": folders[: MOST_FOLDERS + 1]}
                )


def folders_of(bodies: Sequence[str]) -> list[str]:
    """Return the folders that S3 notifications name; what is none of them names all of landing."""
    return sorted({folder for body in bodies for folder in _folders(body)})


def _folders(body: str) -> set[str]:
    try:
        records = json.loads(body).get("Records", ())
        # Keys are URL-encoded in notifications.
        keys = [urllib.parse.unquote_plus(record["s3"]["object"]["key"]) for record in records]
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return {"landing/"}
    return {key.rpartition("/")[0] + "/" for key in keys}


def folders_to_list(events: Sequence[Mapping[str, Any] | None]) -> list[str] | None:
    """Return the folders that these events' payloads name; None: list everything.

    An event without a payload was made by a person, and means everything.
    """
    if not all(events):
        return None
    named = sorted({folder for event in events if event for folder in event["folders"]})
    if not 0 < len(named) <= MOST_FOLDERS:  # an event that had no room names one too many
        return None
    return [folder for folder in named if not _is_within_another(folder, named)]


def _is_within_another(folder: str, folders: Sequence[str]) -> bool:
    return any(folder != other and folder.startswith(other) for other in folders)


class _Queue(SharedStreamProducer):
    """One poll of the queue, for as long as the triggerer lives."""

    def __init__(self, *, queue_url: str, aws_conn_id: str) -> None:
        self._queue_url = queue_url
        self._aws_conn_id = aws_conn_id
        self._connection: Any = None
        self._client: Any = None

    async def open_stream(self) -> AsyncIterator[tuple[list[str], list[str]]]:
        """Yield (message bodies, receipt handles) of one burst after the other."""
        from airflow.providers.amazon.aws.hooks.sqs import SqsHook  # noqa: PLC0415

        hook = SqsHook(aws_conn_id=self._aws_conn_id)
        self._connection = await hook.get_async_conn()
        self._client = await self._connection.__aenter__()
        while True:
            burst = await self._burst()
            if burst:
                yield [m["Body"] for m in burst], [m["ReceiptHandle"] for m in burst]

    async def _burst(self) -> list[dict[str, Any]]:
        """Collect messages until the queue is quiet, the burst is large, or it has lasted."""
        clock = asyncio.get_running_loop().time
        burst = await self._receive(_WAIT_SECONDS)
        end = clock() + _BURST_SECONDS
        while burst and len(burst) < _BURST_MESSAGES and clock() < end:
            more = await self._receive(_LINGER_SECONDS)
            if not more:
                break
            burst += more
        return burst

    async def _receive(self, wait_seconds: int) -> list[dict[str, Any]]:
        answer = await self._client.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=_VISIBILITY_SECONDS,
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Delete the messages whose events are stored; the others come again by themselves."""
        for item in batch:
            if item.outcome.is_clean:
                await self._delete(item.broker_payload)

    async def _delete(self, handles: Sequence[str]) -> None:
        for start in range(0, len(handles), 10):
            some = handles[start : start + 10]
            entries = [{"Id": str(n), "ReceiptHandle": h} for n, h in enumerate(some)]
            await self._client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)

    async def aclose(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.__aexit__(None, None, None)
