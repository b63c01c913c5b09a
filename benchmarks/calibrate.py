"""How often a word of a confidence is right: fitted on half of the titles, tested on the other.

A folder holds `NAME.gt.txt` beside each image. Of each set, every second title (a book, a form, a
receipt) is held out; to the others come pages that are rendered and spoiled here. A
word is right if the truth of its page holds it, as often as it was read. The fit is isotonic:
a higher confidence is never worth less (pool adjacent violators, Ayer et al. 1955).

    .venv/bin/python benchmarks/calibrate.py --pages DIR [--json]

What it prints as `right` goes into `_RIGHT` of scanmill/textstats.py.
"""

import argparse
import bisect
import hashlib
import json
import random
import statistics
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont
from readers import _behind_limits_alone
from rich.progress import track
from runs import pages_in, print_table
from text_metrics import words as bare_words

_RENDERED = 24
_LINES, _WORDS = 30, 8


def title_of(page):
    """Return what a page belongs to: pages of one book are alike, so that they stay together."""
    kind, _, name = page.stem.partition("_")
    return f"{kind}_{name[0]}" if kind == "books" else page.stem


def halves(pages):
    """Return the pages for the fit and those for the test: no title is on both sides."""
    by_set = {}
    for page in pages:
        by_set.setdefault(page.name.split("_")[0], set()).add(title_of(page))
    held_out = {title for titles in by_set.values() for title in sorted(titles, key=_mixed)[1::2]}
    return (
        [page for page in pages if title_of(page) not in held_out],
        [page for page in pages if title_of(page) in held_out],
    )


def _mixed(title):
    return hashlib.sha256(title.encode()).digest()


def truth_of(page):
    """Return the text that stands on a page."""
    return page.with_suffix(".gt.txt").read_text(encoding="utf-8", errors="replace")


def judged(words, truth):
    """Yield (confidence, whether it is right) for each word that holds a letter or digit."""
    left = bare_words(truth)
    for word in words:
        found = bare_words(word.text)
        if found:
            is_right = not found - left
            left -= found
            yield word.confidence, is_right


def read(pages, folder, **options):
    """Return the words of each page, as the recognize step reads it."""
    from scanmill.images import Decoder
    from scanmill.ocr import choose_engine
    from scanmill.settings import Settings

    settings = Settings(**options)
    decoder, engine = Decoder(settings), choose_engine(settings)
    for page in track(pages, description="reading", disable=not sys.stderr.isatty()):
        rasters = decoder.decode(page, out_dir=folder).pages
        (reading,) = engine.recognize(rasters)
        yield reading.words


def fitted(pairs, edges):
    """Return the share of right words from 0 and from each edge upwards, never falling."""
    bins = [[0, 0] for _ in range(len(edges) + 1)]
    for confidence, is_right in pairs:
        tally = bins[bisect.bisect_right(edges, confidence)]
        tally[0] += is_right
        tally[1] += 1
    pools = []
    for right, number in bins:
        pools.append([right + 1, number + 2, 1])  # Laplace: an empty bin says nothing
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            right, number, width = pools.pop()
            pools[-1] = [pools[-1][0] + right, pools[-1][1] + number, pools[-1][2] + width]
    shares = [round(right / number, 2) for right, number, width in pools for _ in range(width)]
    return shares, [number for _, number in bins]


def rendered(folder):
    """Yield pages of prose that were printed, scanned badly and have their truth beside them."""
    from scanmill.drill.paper import prose

    for number in range(_RENDERED):
        chance = random.Random(number)  # noqa: S311 - no secret
        words = " ".join(prose(1000 * number + line) for line in range(_LINES)).split()
        lines = [" ".join(words[at : at + _WORDS]) for at in range(0, _LINES * _WORDS, _WORDS)]
        size = chance.choice((14, 18, 24, 30))
        page = Image.new("L", (size * 30, size * 2 * _LINES), 255)
        font = ImageFont.load_default(size)
        for line, text in enumerate(lines):
            ImageDraw.Draw(page).text((size, line * 2 * size), text, fill=40, font=font)
        page = page.filter(ImageFilter.GaussianBlur(chance.uniform(0, size / 14)))
        noise = Image.effect_noise(page.size, chance.choice((0, 20, 40, 80)))
        page = ImageChops.add(page, noise, offset=-128)
        path = folder / f"rendered_{number:02}.jpg"
        page.save(path, quality=chance.choice((25, 60, 95)))
        path.with_suffix(".gt.txt").write_text("\n".join(lines))
        yield path


def deviations(readings):
    """Return by how much the estimate of `textstats` is off, for each set and for all words."""
    from scanmill.textstats import measure

    by_set = {}
    for page, words in readings:
        pairs = list(judged(words, truth_of(page)))
        estimate = measure(words, known=lambda _: False).estimated_accuracy
        if pairs and estimate is not None:
            true = statistics.fmean(is_right for _, is_right in pairs)
            by_set.setdefault(page.name.split("_")[0], []).append((estimate, true))
    by_set["all"] = [pair for pairs in by_set.values() for pair in pairs]
    return {
        name: {
            "pages": len(pairs),
            "estimated": statistics.fmean(estimate for estimate, _ in pairs),
            "true": statistics.fmean(true for _, true in pairs),
            "page_error": statistics.fmean(abs(estimate - true) for estimate, true in pairs),
        }
        for name, pairs in by_set.items()
    }


def main():
    """Print the fit beside what is shipped, and how far off that is on what was held out."""
    from scanmill import textstats

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=Path, required=True, metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    options = parser.parse_args()
    _behind_limits_alone()
    pages = [page for page in pages_in(options.pages) if page.with_suffix(".gt.txt").exists()]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        training, testing = halves(pages)
        training = [*rendered(folder), *training]
        # As read at first: what second chances choose is not fitted to, only tested.
        first = zip(training, read(training, folder, rescue_confidence=0), strict=True)
        pairs = [pair for page, words in first for pair in judged(words, truth_of(page))]
        shares, numbers = fitted(pairs, textstats._FROM)
        tested = {
            name: deviations(list(zip(testing, read(testing, folder, **chosen), strict=True)))
            for name, chosen in {
                "plain": {"rescue_confidence": 0},
                "ladder": {"rescue_engine": None},
                "ladder+rapidocr": {},
            }.items()
        }
    rows = [
        {"from": edge, "words": number, "right": share, "shipped": shipped}
        for edge, number, share, shipped in zip(
            (0, *textstats._FROM), numbers, shares, textstats._RIGHT, strict=True
        )
    ]
    if options.json:
        print(json.dumps({"table": rows, "held_out": tested}))
        return
    print_table(f"{len(training)} pages for the fit, {_RENDERED} of them rendered", rows)
    print_table(
        f"{len(testing)} pages held out, read with the shipped table",
        [
            {"read": name, "set": one, **figures}
            for name, found in tested.items()
            for one, figures in found.items()
        ],
    )


if __name__ == "__main__":
    main()
