"""Tells whether two pages hold the same text, exactly or nearly.

MinHash over word 3-grams, 128 permutations, 32 bands of 4: two texts of Jaccard similarity 0.5
share a band with probability 0.87, of 0.7 with 0.9998. Web crawls use thresholds of 0.7 and more;
those miss a re-scan, whose OCR differs in every tenth word, and 0.5 finds it.
"""

import hashlib
import re
import unicodedata

import numpy as np

from scanmill.models import Signature

ALGORITHM = "rensa-minhash-128-seed1-w3-b32"
"""Written into manifests: signatures of another algorithm cannot be compared."""

_PERMUTATIONS = 128
_ROWS = 4
_SEED = 1
_LEAST_SHINGLES = 12  # a shorter text is only ever the same, not nearly the same


def sign(text: str) -> Signature:
    """Return the signature of a text: case, punctuation and white space do not count."""
    words = normalized(text).split()
    exact = "x:" + hashlib.sha256(" ".join(words).encode()).hexdigest()[:32]
    shingles = [" ".join(words[i : i + 3]) for i in range(len(words) - 2)]
    if len(shingles) < _LEAST_SHINGLES:
        return Signature(bands=(exact,))
    sketch = _minhash(shingles)
    bands = [
        f"{start}:{hashlib.sha256(sketch[4 * start : 4 * (start + _ROWS)]).hexdigest()[:16]}"
        for start in range(0, _PERMUTATIONS, _ROWS)
    ]
    return Signature(bands=(exact, *bands), sketch=sketch)


def is_exact(band: str) -> bool:
    """Tell whether two texts that share this band are the same, and not only nearly."""
    return band.startswith("x:")


def similarity(one: bytes, other: bytes) -> float:
    """Return the estimated Jaccard similarity of two texts, 0 to 1, from their sketches."""
    return float(np.mean(np.frombuffer(one, "<u4") == np.frombuffer(other, "<u4")))


def normalized(text: str) -> str:
    """Return a text without what scanners and spelling change: case, forms, punctuation."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return re.sub(r"[\W_]+", " ", folded).strip()


def _minhash(shingles: list[str]) -> bytes:
    from rensa import RMinHash

    sketch = RMinHash(num_perm=_PERMUTATIONS, seed=_SEED)
    sketch.update(shingles)
    return np.asarray(sketch.digest(), "<u4").tobytes()
