"""CPU seconds per page of our recognize step, against the bare limit, everyday code and peers.

Everything is read in one run, in turns, so that a change of load hits all alike. The limit is
libtesseract in process on the original files with its model loaded once. Ours is the whole
recognize step: S3, decode, checks, OCR, measures, Parquet, ledger. What it costs to start (imports,
models, a first page) is a column of its own. See benchmarks/README.md.

What a page costs when the work is long is the slope: all pages are read once, then `--slope N`
times in one go, and what that took more is divided by the number of pages that it was more.

    .venv/bin/python benchmarks/ocr.py --pages DIR [--repeat N] [--slope N] [--json] [--growth]
"""

import argparse
import json
import math
import statistics
import sys
from pathlib import Path

from rich.progress import Progress
from runs import a_store, pages_in, print_table, run

ROWS = (
    "limit",
    "naive pytesseract",
    "tuned pytesseract",
    "scanmill/pytesseract",
    "scanmill/tesserocr",
    "scanmill/ladder",
    "scanmill/ladder+rapidocr",
    "kreuzberg",
    "OCRmyPDF",
    "RapidOCR",
)
_SLOW = {"RapidOCR", "OCRmyPDF", "kreuzberg", "scanmill/ladder+rapidocr"}


def compare(pages, names, repeat, times):
    """Return the results of each reader, one per repetition, and why others cannot run."""
    results, hindered = {}, {}
    rounds = [(number, name) for number in range(repeat) for name in names]
    with Progress(disable=not sys.stderr.isatty(), transient=True) as progress:
        for number, name in progress.track(rounds, description="reading"):
            if name in hindered or (number and name in _SLOW):
                continue
            result = run(name, pages, times)
            if isinstance(result, str):
                hindered[name] = result
            else:
                results.setdefault(name, []).append(result)
    return results, hindered


def rows_of(results, pages, times):
    """Return a row for each reader: medians over the repetitions."""

    def middle(name, what):
        return statistics.median(result[what] for result in results[name])

    def slope(name):
        each = (result["more_cpu_s"] - result["cpu_s"] for result in results[name])
        return statistics.median(each) / (pages * (times - 1))

    limit = middle("limit", "cpu_s") / pages
    slopes = {name: slope(name) for name in results} if times else {}
    return [
        {
            "name": name,
            "cpu_s_per_page": middle(name, "cpu_s") / pages,
            "wall_s": middle(name, "wall_s"),
            "ratio_to_limit": limit / (middle(name, "cpu_s") / pages),
            **(
                {"slope": slopes[name], "slope_ratio": slopes["limit"] / slopes[name]}
                if times
                else {}
            ),
            "fixed_cpu_s": middle(name, "fixed_cpu_s"),
            "peak_mb": middle(name, "peak_mb"),
            "repetitions": len(results[name]),
            "version": results[name][0]["version"],
            "model_sha256": results[name][0]["model_sha256"],
        }
        for name in ROWS
        if name in results
    ]


def growth(pages, sizes):
    """Return CPU seconds and memory for so many pages each, and the exponent of the growth."""
    costs, peaks = {}, {}
    for size in sizes:
        some = [pages[number % len(pages)] for number in range(size)]
        result = run("scanmill/pytesseract", some)
        costs[size], peaks[size] = result["cpu_s"], result["peak_mb"]
    first, last = sizes[0], sizes[-1]
    exponent = math.log(costs[last] / costs[first]) / math.log(last / first)
    return {"cpu_s": costs, "peak_mb": peaks, "exponent": exponent}


def main():
    """Print the table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=Path, required=True, metavar="DIR")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions; peers are read once")
    parser.add_argument("--rows", default=",".join(ROWS), help="names, joined by commas")
    parser.add_argument("--slope", type=int, default=0, metavar="N", help="then read them N times")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.add_argument("--growth", action="store_true", help="also read 10, 100 and 1,000 pages")
    options = parser.parse_args()
    if options.slope == 1:
        parser.error("--slope wants 2 or more")
    pages = pages_in(options.pages)
    names = ["limit", *(name for name in options.rows.split(",") if name != "limit")]
    with a_store():
        results, hindered = compare(pages, names, options.repeat, options.slope)
        if "limit" in hindered:
            sys.exit(f"Tesseract alone cannot read [{options.pages}]: {hindered['limit']}")
        rows = rows_of(results, len(pages), options.slope)
        limit = rows[0]["cpu_s_per_page"]
        answer = {"pages": len(pages), "limit_cpu_s_per_page": limit, "rows": rows}
        if options.growth:
            answer["growth"] = growth(pages, (10, 100, 1000))
    for name, reason in hindered.items():
        print(f"{name}: {reason}", file=sys.stderr)
    if options.json:
        print(json.dumps(answer | {"not_run": hindered}))
        return
    short = [row | {"model_sha256": row["model_sha256"][:8]} for row in rows]
    print_table(f"{len(pages)} pages, CPU seconds per page, median of {options.repeat} runs", short)
    if options.growth:
        print(f"growth: {answer['growth']}")


if __name__ == "__main__":
    main()
