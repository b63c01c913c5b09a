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


def scored(names, pages):
    """Return the metrics and the cost of each reader for each set, and why others cannot run.

    A set is read by all of them in turns, so that a change of the machine's load hits all alike.
    """
    by_set, scores, hindered = {}, {}, {}
    for page in pages:
        by_set.setdefault(page.name.split("_")[0], []).append(page)
    rounds = [(set_name, name) for set_name in by_set for name in names]
    hidden = not sys.stderr.isatty()
    for set_name, name in track(rounds, description="reading", disable=hidden):
        if name in hindered:
            continue
        result = run(name, by_set[set_name])
        if isinstance(result, str):
            hindered[name] = result
        else:
            scores.setdefault(name, {})[set_name] = score(result, set_name, by_set[set_name])
    return {name: sets for name, sets in scores.items() if name not in hindered}, hindered


def score(result, set_name, pages):
    """Return the metrics of each page of a set, and its CPU seconds per page."""
    with_case = set_name not in _IN_CAPITALS
    return {
        "cpu_s_per_page": result["cpu_s"] / len(pages),
        "pages": [
            {
                "f1": word_f1(truth, text),
                "cer": cer(truth, text, with_case=with_case),
                "wer": wer(truth, text, with_case=with_case),
            }
            for truth, text in zip(map(truth_of, pages), result["texts"], strict=True)
        ],
    }


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
    names = ["plain", *(name for name in options.rows.split(",") if name != "plain")]
    scores, hindered = scored(names, pages)
    if "plain" in hindered:
        sys.exit(f"Tesseract alone cannot read [{options.pages}]: {hindered['plain']}")
    rows = [row for name, sets in scores.items() for row in rows_of(name, sets, scores["plain"])]
    for name, reason in hindered.items():
        print(f"{name}: {reason}", file=sys.stderr)
    if options.json:
        print(json.dumps({"rows": rows, "not_run": hindered}))
    else:
        print_table(f"{len(pages)} pages; bad: F1 below {BAD}", rows)


if __name__ == "__main__":
    main()
