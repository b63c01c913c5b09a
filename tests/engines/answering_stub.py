"""A program that answers with the file it is asked about, unless it is told to misbehave."""

import os
import signal
import sys
import time

from scanmill.children.answering import answer_until_left


def spin():
    while True:
        pass


def flood():
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    while True:
        os.write(1, b"flood " * 10_000)


DEEDS = {
    "answer": lambda: None,
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "exit": lambda: sys.exit("no more"),
    "spin": spin,
    "sleep": lambda: time.sleep(600),
    "flood": flood,
    "allocate": lambda: bytearray(1 << 40),
    "leave a child": lambda: os.spawnlp(os.P_NOWAIT, "setsid", "setsid", "sleep", "600"),  # noqa: S606 - to be found and ended
}


def answer(question, content):
    DEEDS[question["do"]]()
    return {"pid": os.getpid(), "content": content.decode(), "seen": sorted(os.environ)}


answer_until_left(answer)
