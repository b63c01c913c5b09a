"""Reads the mails that the stack sent: newest first, as plain text, never as HTML."""

import dataclasses
import datetime as dt
import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

MOST_CHARACTERS = 200_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One mail as a person reads it."""

    id: str
    at: dt.datetime
    sender: str
    to: str
    subject: str
    text: str


def messages(maildir: Path) -> list[Message]:
    """Return all messages of a Maildir, newest first."""
    return [_read(path) for path in _files(maildir)]


def message(maildir: Path, message_id: str) -> Message | None:
    """Return the message with this id, or None; ids are compared, never used as a path."""
    for path in _files(maildir):
        if _id(path) == message_id:
            return _read(path)
    return None


def _files(maildir: Path) -> list[Path]:
    found = [path for folder in ("new", "cur") for path in (maildir / folder).glob("*")]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)


def _id(path: Path) -> str:
    return path.name.partition(":")[0]


def _read(path: Path) -> Message:
    parsed = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    return Message(
        id=_id(path),
        at=dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC),
        sender=_header(parsed, "From"),
        to=_header(parsed, "To") or _header(parsed, "X-Envelope-To"),
        subject=_header(parsed, "Subject") or "(no subject)",
        text=_text(parsed)[:MOST_CHARACTERS],
    )


def _header(parsed: EmailMessage, name: str) -> str:
    return " ".join(str(parsed.get(name, "")).split())


def _text(parsed: EmailMessage) -> str:
    body = parsed.get_body(preferencelist=("plain", "html"))
    if body is None:
        return "(this message has no text part)"
    payload = body.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    try:
        return raw.decode(body.get_content_charset() or "utf-8", "replace")
    except LookupError:
        return raw.decode("utf-8", "replace")
