"""How right our texts are on scans with a known text: each second chance alone, and all of them.

A folder holds `NAME.gt.txt` beside each `NAME.png`; the set of a page is its name up to the first
underscore. Rows: `plain` is one pass of Tesseract, the second chances one by one, `ladder` all of
them with Tesseract alone, `ladder+rapidocr` with RapidOCR for what stays poor, `rapidocr` alone.

    .venv/bin/python benchmarks/accuracy.py --pages DIR [--rows NAMES] [--json]
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

from rich.progress import track
from runs import pages_in, print_table, run
from text_metrics import cer, wer, word_f1

ROWS = (
    "plain",
    "rotated",
    "rescaled",
    "deskewed",
    "thickened",
    "segmented",
    "ladder",
    "ladder+rapidocr",
    "rapidocr",
)
BAD = 0.7
"""A page whose F1 is lower is a bad one."""
_CHANGED = 0.02
_IN_CAPITALS = {"sroie", "receipts"}


def scored(name, pages):
    """Return the metrics of each page as a reader reads it, and its CPU seconds per page."""
    by_set = {}
    for page in pages:
        by_set.setdefault(page.name.split("_")[0], []).append(page)
    scores = {}
    for set_name, some in by_set.items():
        result = run(name, some)
        if isinstance(result, str):
            return result
        with_case = set_name not in _IN_CAPITALS
        scores[set_name] = {
            "cpu_s_per_page": result["cpu_s"] / len(some),
            "pages": [
                {
                    "f1": word_f1(truth, text),
                    "cer": cer(truth, text, with_case=with_case),
                    "wer": wer(truth, text, with_case=with_case),
                }
                for truth, text in zip(map(truth_of, some), result["texts"], strict=True)
            ],
        }
    return scores


def truth_of(page):
    """Return the text that stands on a page."""
    return page.with_suffix(".gt.txt").read_text(encoding="utf-8", errors="replace")


def rows_of(name, scores, plain):
    """Return one row for each set."""
    for set_name, score in scores.items():
        pages = score["pages"]
        before = [page["f1"] for page in plain[set_name]["pages"]]
        gains = [page["f1"] - first for page, first in zip(pages, before, strict=True)]
        yield {
            "name": name,
            "set": set_name,
            "pages": len(pages),
            **{
                what: statistics.fmean(page[what] for page in pages)
                for what in ("f1", "cer", "wer")
            },
            "bad_pages": sum(page["f1"] < BAD for page in pages),
            "better": sum(gain > _CHANGED for gain in gains),
            "worse": sum(gain < -_CHANGED for gain in gains),
            "cpu_s_per_page": score["cpu_s_per_page"],
        }


def main():
    """Print the table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=Path, required=True, metavar="DIR")
    parser.add_argument("--rows", default=",".join(ROWS), help="names, joined by commas")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    options = parser.parse_args()
    pages = [page for page in pages_in(options.pages) if page.with_suffix(".gt.txt").exists()]
    if not pages:
        parser.error(f"no NAME.gt.txt beside the images in [{options.pages}]")
    plain = scored("plain", pages)
    rows, hindered = list(rows_of("plain", plain, plain)), {}
    names = [name for name in options.rows.split(",") if name != "plain"]
    for name in track(names, description="reading", disable=not sys.stderr.isatty()):
        scores = scored(name, pages)
        if isinstance(scores, str):
            hindered[name] = scores
        else:
            rows += rows_of(name, scores, plain)
    for name, reason in hindered.items():
        print(f"{name}: {reason}", file=sys.stderr)
    if options.json:
        print(json.dumps({"rows": rows, "not_run": hindered}))
    else:
        print_table(f"{len(pages)} pages; bad: F1 below {BAD}", rows)


if __name__ == "__main__":
    main()
