"""Which language a text is in, and whether it is one that its collection is read in."""

import dataclasses
import functools
from typing import Any

MIN_WORDS = 20
"""Fewer words say too little: names and numbers look like any language."""

_SURE = 0.9
_NO_LANGUAGE = "zxx"  # ISO 639-2: no linguistic content
_CLOSE = 10  # of 100: Norwegian and Bokmal are one language here, Dutch and German are not
_SCRIPT = "script/"  # models such as `script/Latin` read many languages
_OLD_NAMES = {"frk": "deu"}  # Tesseract's word for German in black letter; for ISO it is Frankish


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """The language of a text, as an ISO 639 code; both None if it cannot be told."""

    language: str | None = None
    is_other_language: bool | None = None
    """Whether it is none of those that were expected."""


def detect(text: str, *, expected: str) -> Detected:
    """Return the language of a text that was read in these Tesseract languages, as `eng+fra`."""
    if len(text.split()) < MIN_WORDS:
        return Detected()
    language, probability = _identifier().classify(text)
    if probability < _SURE or language == _NO_LANGUAGE:
        return Detected()
    is_other = None if _SCRIPT in expected else not _is_any(language, expected)
    return Detected(language=str(language), is_other_language=is_other)


@functools.cache
def _is_any(language: str, expected: str) -> bool:
    """Tell whether a language is one of Tesseract's, whose names add script and time: `chi_sim`."""
    import langcodes  # noqa: PLC0415 - 0.1 s that only recognizing has to pay

    names = [name.partition("_")[0] for name in expected.split("+")]
    codes = [_OLD_NAMES.get(name, name) for name in names]
    return any(langcodes.tag_distance(language, code) < _CLOSE for code in codes)


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - as above

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
