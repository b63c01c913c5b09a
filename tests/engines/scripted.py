"""OCR engines that cost nothing, and pictures that hold in their pixels what these will read."""

import hashlib
import io
import json
import random
import threading
from pathlib import Path

from PIL import Image

from scanmill.models import EngineInfo, Recognition, Word

_WIDTH = 100
_PAPER = 255  # no letter of the script: JSON in ASCII stays below 128
_TEXT = (
    "the pump and valve are made of steel with two flanges each one tested under high water "
    "pressure before it leaves our workshop please check every bolt seal bearing shaft motor "
    "spring cover plate filter ring screw washer lever handle wheel chain table number page "
    "drawing machine part order weight height width length year month week day hour minute power "
    "speed oil air gas heat cold left right upper lower inner outer front back side small large"
)
_COMMON = _TEXT.split()


def prose(seed, words=40):
    """Return a text of ordinary words that no other seed gives."""
    return " ".join(random.Random(seed).choices(_COMMON, k=words))


def gibberish(seed, words=40):
    """Return letters that are in no word list of any language."""
    chance = random.Random(f"gibberish {seed}")
    return " ".join("".join(chance.choices("bcdfghjkqvwxz", k=7)) for _ in range(words))


def picture(text, *, confidence=95.0):
    """Return a page as PNG, on which `ScriptedEngine` reads this text."""
    return _saved([_page(text, confidence)], "PNG")


def volume(*texts):
    """Return pages bound in one TIFF."""
    return _saved([_page(text, 95.0) for text in texts], "TIFF")


def blank():
    """Return a page with nothing on it."""
    return _saved([Image.new("L", (_WIDTH, _WIDTH), _PAPER)], "PNG")


def _page(text, confidence):
    script = json.dumps({"text": text, "confidence": confidence}).encode("ascii")
    height = max(20, -(-len(script) // _WIDTH) + 1)
    pixels = script.ljust(_WIDTH * height, bytes([_PAPER]))
    return Image.frombytes("L", (_WIDTH, height), pixels)


def _saved(pages, kind):
    sink = io.BytesIO()
    more = {"save_all": True, "append_images": pages[1:]} if pages[1:] else {}
    pages[0].save(sink, kind, **more)
    return sink.getvalue()


def _recognition(text, confidence):
    words = tuple(
        Word(text=word, confidence=confidence, line=(1, 1, number // 8), height_px=20)
        for number, word in enumerate(text.split())
    )
    return Recognition(words=words, seconds=0.01)


def pixels_of(raster):
    """Return the bytes of a page's file; a blank page has none."""
    return b"" if raster.is_blank else Path(raster.path).read_bytes()


class ScriptedEngine:
    """Reads what stands in the pixels of a `picture`; anything else has no words."""

    info = EngineInfo(name="scripted", version="1", model_sha256="0" * 64)

    def recognize(self, rasters):
        return [self._read(pixels_of(raster)) for raster in rasters]

    def _read(self, pgm):
        pixels = pgm.split(b"\n", 3)[-1].partition(bytes([_PAPER]))[0]
        script = json.loads(pixels) if pixels.startswith(b"{") else {"text": "", "confidence": 0.0}
        return _recognition(**script)


class NonsenseEngine(ScriptedEngine):
    """Reads gibberish on every page, and believes every word of it."""

    info = EngineInfo(name="nonsense", version="1", model_sha256="1" * 64)

    def _read(self, pgm):
        return _recognition(gibberish(hashlib.sha256(pgm).hexdigest()), 92.0)


class BrokenEngine(ScriptedEngine):
    """Fails at every page, as on a full disk or with a bug."""

    info = EngineInfo(name="broken", version="1", model_sha256="2" * 64)

    def __init__(self, error):
        self._error = error

    def recognize(self, rasters):
        raise self._error("as asked")


class ReplayingEngine:
    """Reads each page with another engine once and remembers what was read, by its pixels."""

    def __init__(self, engine):
        self.info = engine.info
        self.pages_read = 0
        self._engine = engine
        self._read = {}
        self._lock = threading.Lock()

    def recognize(self, rasters):
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
