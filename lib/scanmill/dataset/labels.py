"""Reads the labels that uploaders give: folder names, or `metadata.csv` and `metadata.jsonl`.

The convention is Hugging Face's `imagefolder`; the reading is ours, because the original drops
unlisted files and odd folders without a word. A label never comes from recognized text.
"""

import csv
import dataclasses
import io
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from scanmill import layout
from scanmill.errors import PageError
from scanmill.models import Reason


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a metadata file says of one image; empty where it says nothing."""

    label: str = ""
    document_id: str = ""


def read_metadata(key: str, content: bytes) -> dict[str, Note]:
    """Return the notes of a metadata file by the full key of the image that each is about.

    Raises:
        PageError: `bad_metadata`, with the line that cannot be understood.
    """
    try:
        text = content.decode("utf-8-sig")
        rows = _jsonl(text) if key.endswith(".jsonl") else _csv(text)
        folder = key.rpartition("/")[0]
        return {_name(f"{folder}/{_path(row['file_name'])}"): _note(row) for row in rows}
    except UnicodeDecodeError as error:  # its repr would quote the whole file
        detail = f"is not UTF-8: byte {error.start} cannot be read. Save it as UTF-8."
        raise PageError(Reason.BAD_METADATA, detail) from error
    except (ValueError, csv.Error, KeyError, TypeError, RecursionError) as error:
        detail = f"needs a column [file_name], and rows of text: {repr(error)[:200]}"
        raise PageError(Reason.BAD_METADATA, detail) from error


def _csv(text: str) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    if "file_name" not in (reader.fieldnames or ()):
        raise ValueError(f"columns are {reader.fieldnames}")
    return list(reader)


def _jsonl(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _note(row: Mapping[str, object]) -> Note:
    return Note(label=_word(row.get("label")), document_id=_word(row.get("document_id")))


def _path(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"[{value!r}] is no file name")
    return value


def _word(value: object) -> str:
    if isinstance(value, dict | list):
        raise TypeError(f"[{value!r}] is no single word")
    word = "" if value is None else str(value)
    word.encode()  # JSON can spell half a character, which no file can hold
    return word


def _name(key: str) -> str:
    """Return a key as names are compared: file systems differ in accents and slashes."""
    return unicodedata.normalize("NFC", key.replace("\\", "/"))


def label_of(key: str, notes: Mapping[str, Note]) -> str | None:
    """Return an image's label: what metadata says, else its folder, else None."""
    note = notes.get(_name(key))
    return (note.label if note else "") or layout.folder_label(key)


def document_of(key: str, notes: Mapping[str, Note]) -> str:
    """Return the document that an image belongs to: what metadata says, else the image alone."""
    note = notes.get(_name(key))
    return (note.document_id if note else "") or key.removeprefix(layout.LANDING)


def extended(known: Sequence[str], seen: Iterable[str | None]) -> tuple[str, ...]:
    """Return the known labels with the new ones appended.

    Shards hold indexes into this list, so it may only grow: another order mislabels old rows.
    """
    new = {label for label in seen if label is not None} - set(known)
    return (*known, *sorted(new))
