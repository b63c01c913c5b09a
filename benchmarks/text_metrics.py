"""How right a text is: character and word error rates, and F1 over words whatever their order.

The F1 is for pages whose truth has no order of reading, such as forms. Texts are compared in NFKC,
with plain quotes, dashes and single spaces; receipts without case: their truth is in capitals.
"""

import re
import unicodedata
from collections import Counter

from rapidfuzz.distance import Levenshtein

_PLAIN = str.maketrans("\u2018\u2019\u201c\u201d\u2014\u2013\u2012", "''\"\"---", "\u00ad")


def normalized(text, *, with_case=True):
    """Return the form in which texts are compared."""
    plain = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    single = re.sub(r"\s+", " ", re.sub(r"-{2,}", "-", plain)).strip()
    return single if with_case else single.upper()


def cer(truth, text, *, with_case=True):
    """Return the edits of characters that make the text right, per character of the truth."""
    right = normalized(truth, with_case=with_case)
    return Levenshtein.distance(right, normalized(text, with_case=with_case)) / max(1, len(right))


def wer(truth, text, *, with_case=True):
    """Return the edits of words that make the text right, per word of the truth."""
    right = normalized(truth, with_case=with_case).split()
    read = normalized(text, with_case=with_case).split()
    return Levenshtein.distance(right, read) / max(1, len(right))


def words(text):
    """Return how often each word occurs: letters and digits alone, in lower case."""
    bare = (re.sub(r"[^0-9a-z]+", "", word) for word in normalized(text).lower().split())
    return Counter(word for word in bare if word)


def word_f1(truth, text):
    """Return the harmonic mean of the shares of words read that are right, and of words found."""
    right, read = words(truth), words(text)
    if not right and not read:
        return 1.0
    common = sum((right & read).values())
    return 2 * common / (sum(right.values()) + sum(read.values()))
