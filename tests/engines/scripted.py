"""OCR engines that cost nothing; they read what the drill's paper holds in its pixels."""

import hashlib
import threading
from pathlib import Path

from scanmill.drill.paper import blank, gibberish, picture, prose, volume
from scanmill.drill.reader import script_of
from scanmill.models import EngineInfo, Recognition, Word

__all__ = ["blank", "gibberish", "picture", "prose", "volume"]


def _recognition(text, confidence, engine):
    words = tuple(
        Word(text=word, confidence=confidence, line=(1, 1, number // 8), box=(0, 0, 60, 20))
        for number, word in enumerate(text.split())
    )
    return Recognition(words=words, seconds=0.01, engine=engine)


def pixels_of(raster):
    """Return the bytes of a page's file."""
    return Path(raster.path).read_bytes()


class ScriptedEngine:
    """Reads what stands in the pixels of a `picture`; anything else has no words."""

    info = EngineInfo(name="scripted", version="1", model_sha256="0" * 64)

    def recognize(self, rasters, *, psm=None, languages=None):
        return [self._read(pixels_of(raster)) for raster in rasters]

    def _read(self, pgm):
        script = script_of(pgm.split(b"\n", 3)[-1]) or {"text": "", "confidence": 0.0}
        return _recognition(**script, engine=self.info)


class NonsenseEngine(ScriptedEngine):
    """Reads gibberish on every page, and believes every word of it."""

    info = EngineInfo(name="nonsense", version="1", model_sha256="1" * 64)

    def _read(self, pgm):
        text = gibberish(hashlib.sha256(pgm).hexdigest())
        return _recognition(text, 92.0, self.info)


class BrokenEngine(ScriptedEngine):
    """Fails at every page, as on a full disk or with a bug."""

    info = EngineInfo(name="broken", version="1", model_sha256="2" * 64)

    def __init__(self, error):
        self._error = error

    def recognize(self, rasters, *, psm=None, languages=None):
        raise self._error("as asked")


class ReplayingEngine:
    """Reads each page with another engine once and remembers what was read, by its pixels."""

    def __init__(self, engine):
        self.info = engine.info
        self.pages_read = 0
        self._engine = engine
        self._read = {}
        self._lock = threading.Lock()

    def recognize(self, rasters, *, psm=None, languages=None):
        digests = [hashlib.sha256(pixels_of(raster)).digest() for raster in rasters]
        new = {
            digest: raster
            for digest, raster in zip(digests, rasters, strict=True)
            if digest not in self._read
        }
        results = self._engine.recognize(list(new.values())) if new else []
        with self._lock:
            self.pages_read += len(new)
            self._read |= dict(zip(new, results, strict=True))
        return [self._read[digest] for digest in digests]
