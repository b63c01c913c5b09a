"""The words that all alerts are made of: foreign text comes in harmless, or not at all."""

import dataclasses
import shlex
from collections.abc import Sequence

from scanmill.inert import inert

_SUBJECT = 120
_OPENERS = ("{{", "{%", "{#")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One alert; `key` is the same for everything that tells of the same event."""

    kind: str
    key: str
    subject: str
    text: str


def compose(kind: str, about: str, *, subject: str, text: str) -> Message:
    """Return a message whose subject and key are one inert line each."""
    whole = safe(subject, limit=len(subject) * 10)
    line = whole if len(whole) <= _SUBJECT else f"{whole[: _SUBJECT - 1]}…"
    return Message(
        kind=kind, key=f"{kind}:{safe(about)}" if about else kind, subject=line, text=text
    )


def safe(text: str, *, limit: int = 160) -> str:
    """Return foreign text inert, with template brackets broken should a channel use templates."""
    for opener in _OPENERS:
        text = text.replace(opener, "{ " + opener[1:])
    return inert(text, limit=limit)


def word(batch: str) -> str:
    """Return a batch's name as one word of a command, whatever is in it."""
    return shlex.quote(safe(batch))


def paragraphs(*texts: str) -> str:
    """Return the texts as paragraphs, without the empty ones."""
    return "\n\n".join(text for text in texts if text) + "\n"


def bullets(title: str, items: Sequence[str]) -> str:
    """Return a list under its title; nothing when it is empty."""
    lines = [f"  - {safe(item, limit=400)}" for item in items]
    return "\n".join([f"{title}:", *lines]) if lines else ""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
