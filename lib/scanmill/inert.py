"""Foreign text made inert: shown as it is, unable to do anything."""

import unicodedata

_ACTIVE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that steer a terminal, a mail or the order of letters, or show nothing."""


def inert(text: str, *, limit: int = 160) -> str:
    """Return the text on one line, with control and bidi characters spelled out, cut to a length.

    Both ends survive the cut: a key begins with its collection and ends with its file name.
    """
    shown = "".join(_spell(character) for character in text)
    if len(shown) <= limit:
        return shown
    tail = (limit - 1) * 2 // 3
    return f"{shown[: limit - 1 - tail]}…{shown[len(shown) - tail :]}"


def inert_lines(text: str, *, limit: int = 4000) -> str:
    """Return the text with its line breaks kept, everything else as `inert`, cut at the end."""
    lines = ("".join(_spell(character) for character in line) for line in text.splitlines())
    shown = "\n".join(lines)
    return shown if len(shown) <= limit else f"{shown[:limit]}…"


def _spell(character: str) -> str:
    if unicodedata.category(character) in _ACTIVE:
        return character.encode("unicode_escape").decode("ascii")
    return character
