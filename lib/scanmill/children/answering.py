"""How a child that stays answers: see `scanmill.sandbox.worker` for who asks."""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from scanmill.errors import DISK_FAILED

_QUESTION_BYTES = 65536


def answer_until_left(
    answer: Callable[[Mapping[str, Any], bytes], Mapping[str, Any]],
) -> None:
    """Answer every question that comes, with the bytes of the file that comes with it.

    Each has its own CPU time. What runs out of it is ended by the signal, wherever it is: native
    code does not come back to look at a clock.
    """
    with socket.socket(fileno=0) as channel:
        _say(channel, {"is": "ready"})
        while asked := _question(channel):
            question, content = asked
            signal.setitimer(signal.ITIMER_PROF, question["cpu_seconds"])
            reply = answer(question, content)
            signal.setitimer(signal.ITIMER_PROF, 0)
            _say(channel, reply)


def fail_by_disk(message: str) -> NoReturn:
    """End with words for whoever asked."""
    sys.stderr.write(message)
    sys.exit(DISK_FAILED)


def _question(channel: socket.socket) -> tuple[dict[str, Any], bytes] | None:
    message, files, _, _ = socket.recv_fds(channel, _QUESTION_BYTES, 1)
    if not message:
        return None
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(os.fdopen(number, "rb")) for number in files]
        try:
            content = opened[0].read()
        except OSError as error:
            fail_by_disk(f"Cannot read the file: {error.strerror}.")
    while not message.endswith(b"\n"):
        more = channel.recv(_QUESTION_BYTES)
        if not more:  # whoever asked was killed in the middle of it
            return None
        message += more
    return json.loads(message), content


def _say(channel: socket.socket, message: Mapping[str, Any]) -> None:
    channel.sendall(json.dumps(message).encode() + b"\n")
