"""The recipe of a reading: all that decides what is read from the bytes of an image."""

import json

from scanmill.models import hash_id
from scanmill.ocr.engine import OcrEngine
from scanmill.ocr.ladder import Ladder
from scanmill.settings import Settings

_OURS = "4"
"""Raise it when our own decoding, second chances or measures make something else of a page."""

_SETTINGS = {
    "ocr_languages",
    "ocr_psm",
    "rescue_confidence",
    "rescue_ways",
    "rescue_tries",
    "rescue_engine_confidence",
    "pdf_dpi",
    "word_languages",
    "keep_word_boxes",
}


def recipe(engine: OcrEngine, settings: Settings) -> str:
    """Return 32 hex digits: the same bytes read by the same recipe give the same rows."""
    infos = [engine.info]
    if isinstance(engine, Ladder) and engine.other:
        infos.append(engine.other.info)
    engines = [part for info in infos for part in (info.name, info.version, info.model_sha256)]
    chosen = settings.model_dump(mode="json", include=_SETTINGS)
    return hash_id(_OURS, json.dumps(chosen, sort_keys=True), *engines)
