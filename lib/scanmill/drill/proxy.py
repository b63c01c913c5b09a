"""A proxy between the pipeline and its store that breaks what passes, and counts what it broke.

S3 and the queue share one address; they are told apart by path, and each has rules of its own.
"""

import asyncio
import collections
import dataclasses
import json
import logging
import random
import re
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
from aiohttp import web
from yarl import URL

from scanmill.local.ports import LOOPBACK

Plane = Literal["s3", "queue"]
Kind = Literal[
    "error_503", "error_500", "reset", "truncate", "lose_answer", "stall", "refuse",
    "lose_message", "double_message", "reorder_messages",
]  # fmt: skip

# A connection that we cut ourselves is no news.
logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}
_ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>by the drill</Message></Error>"
_MOST_BYTES = 1 << 30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to which requests, and how likely.

    `match` is a pattern of `METHOD path`. `lose_answer`: the store does as asked, the client sees
    a reset connection. `truncate`: half of the body under the full length.
    """

    kind: Kind
    plane: Plane = "s3"
    match: str = ""
    share: float = 1.0
    most: int = 1_000_000
    seconds: float = 0.0


class Proxy:
    """Passes everything on to `upstream()`, but for what the rules say."""

    def __init__(self, port: int, upstream: Callable[[], int], *, seed: int) -> None:
        self.port = port
        self.hits: collections.Counter[str] = collections.Counter()
        self._upstream = upstream
        self._chance = random.Random(seed)  # noqa: S311 - the seed is what makes it repeatable
        self._rules: tuple[Rule, ...] = ()
        self._held: list[Any] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, and leave no connection open."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def obey(self, *rules: Rule) -> None:
        """From now on break what these rules say, and nothing else."""
        self.hits.clear()
        self._rules = rules

    async def _open(self) -> None:
        # As the bytes are: nothing is decompressed, decoded or followed.
        self._client = aiohttp.ClientSession(
            auto_decompress=False, timeout=aiohttp.ClientTimeout(total=120)
        )
        server = web.Server(self._handle)
        self._runner = web.ServerRunner(server)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self.port, reuse_address=True).start()

    async def _close(self) -> None:
        await self._runner.shutdown()
        await self._runner.cleanup()
        await self._client.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        rule = self._chosen(request)
        kind = rule.kind if rule else None
        if rule and kind == "stall":
            await asyncio.sleep(rule.seconds)
        if kind in {"error_503", "error_500"}:
            await _take_body(request)  # or what is left of it is taken for the next request
            return _error(503 if kind == "error_503" else 500)
        if kind in {"reset", "refuse"}:
            return _reset(request)
        try:
            status, headers, body = await self._ask(request)
        except (aiohttp.ClientError, OSError):
            return _reset(request)  # the store is away: so are we
        if kind == "lose_answer":
            return _reset(request)
        if kind == "truncate" and len(body) > 1:
            return await _truncated(request, status, headers, body)
        if b'"Messages"' in body and _plane(request) == "queue":
            body = await self._with_messages(request, body)
        return _answer(request, status, headers, body)

    def _chosen(self, request: web.BaseRequest) -> Rule | None:
        line = f"{request.method} {request.raw_path}"
        for rule in self._rules:
            if rule.plane != _plane(request) or rule.kind in _MESSAGES:
                continue
            if re.search(rule.match, line) and self._is_due(rule):
                self.hits[rule.kind] += 1
                return rule
        return None

    def _is_due(self, rule: Rule) -> bool:
        return self.hits[rule.kind] < rule.most and self._chance.random() < rule.share

    async def _ask(self, request: web.BaseRequest) -> tuple[int, dict[str, str], bytes]:
        url = URL(f"http://{LOOPBACK}:{self._upstream()}{request.raw_path}", encoded=True)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        headers.pop("Expect", None)
        body = await _take_body(request)
        async with self._client.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def _with_messages(self, request: web.BaseRequest, body: bytes) -> bytes:
        """Return the answer of the queue with its messages lost, doubled or in another order.

        By the rules of now: it may have been asked for long ago, and waited for a message.
        """
        due = (rule for rule in self._rules if rule.kind in _MESSAGES and self._is_due(rule))
        rule = next(due, None)
        if rule is None:
            return body
        content = json.loads(body)
        messages = content["Messages"]
        self.hits[rule.kind] += len(messages)
        if rule.kind == "lose_message":
            for message in messages:
                await self._delete(request, message["ReceiptHandle"])
            del content["Messages"]
        elif rule.kind == "double_message":
            content["Messages"] = [*messages, *messages]
        else:
            content["Messages"] = messages[::-1]
        return json.dumps(content).encode()

    async def _delete(self, request: web.BaseRequest, handle: str) -> None:
        """Take a message out of the queue before anybody saw it."""
        asked = json.loads(await request.read())
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "AmazonSQS.DeleteMessage",
            "Authorization": request.headers.get("Authorization", ""),
        }
        content = {"QueueUrl": asked["QueueUrl"], "ReceiptHandle": handle}
        url = URL(f"http://{LOOPBACK}:{self._upstream()}/", encoded=True)
        async with self._client.post(url, headers=headers, json=content) as answer:
            answer.raise_for_status()


_MESSAGES = {"lose_message", "double_message", "reorder_messages"}


async def _take_body(request: web.BaseRequest) -> bytes:
    """Return the body of a request, asking for it when the client waits to be asked."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    return await request.read()


def _plane(request: web.BaseRequest) -> Plane:
    return "queue" if request.headers.get("X-Amz-Target", "").startswith("AmazonSQS") else "s3"


def _error(status: int) -> web.Response:
    code = "SlowDown" if status == 503 else "InternalError"
    return web.Response(status=status, text=_ERROR.format(code), content_type="application/xml")


def _reset(request: web.BaseRequest) -> web.Response:
    """Cut the connection as a dying server does: with a reset, without a word."""
    transport = request.transport
    if transport is not None:
        peer: socket.socket = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)


async def _truncated(
    request: web.BaseRequest, status: int, headers: dict[str, str], body: bytes
) -> web.StreamResponse:
    answer = web.StreamResponse(status=status, headers=_passed(headers))
    answer.content_length = len(body)
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    _reset(request)
    return answer


def _answer(
    request: web.BaseRequest, status: int, headers: dict[str, str], body: bytes
) -> web.Response:
    passed = _passed(headers)
    if request.method == "HEAD":  # the length is that of the object, and there is no body
        length = {k: v for k, v in headers.items() if k.lower() == "content-length"}
        return web.Response(status=status, headers={**passed, **length})
    return web.Response(status=status, headers=passed, body=body)


def _passed(headers: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.lower() not in _HOP_BY_HOP}
