"""From an upload to its published row on a running stack: how long, and where the time goes.

Starts a stack of its own, uploads single scans to an idle pipeline, then many at once. Where the
CPU time of the many goes is seen by looking at every process of the stack twice a second. An OCR
program is taken to have worked for half of the half second in which it ended.

    .venv/bin/python benchmarks/pipeline.py --pages DIR [--singles N] [--many N] [--json]
"""

import argparse
import datetime as dt
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import psutil
from runs import ROOT, pages_in, print_table

sys.path.insert(0, str(ROOT / "tests" / "stack"))
from running_stack import SECONDS, RunningStack, wait_until

from scanmill.drill.own_stack import DAGS
from scanmill.local import supervisor

_TICK = 0.5
_IDLE_SECONDS = 30
_SECONDS_A_PAGE = 10  # more is a pipeline that stands still
_OCR_KIND = "OCR programs"
_OCR = ("tesseract", "scanmill.children", "bwrap")
_STEPS = (("recognize_slice", "reading"), ("judge_batch", "gate"), ("build_snapshot", "build"))


@contextmanager
def a_stack():
    """Have a stack with everyday settings, all DAGs known, as long as this lasts."""
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder), dags=ROOT / "dags", settings={})
        stack.up()
        try:
            wait_until("every DAG is known", lambda: set(DAGS) <= stack.known_dags())
            yield stack
        finally:
            stack.down()


# --- one upload ----------------------------------------------------------------------------------


def single(stack, number, page):
    """Upload one scan to an idle pipeline; return the seconds of each step until its row is out."""
    collection = f"single{number}"
    began, clock = dt.datetime.now(dt.UTC), time.monotonic()
    key = f"landing/{collection}/page{page.suffix}"
    stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=page.read_bytes())
    wait_until("the row is published", lambda: stack.batch_in_state(collection, "built"))
    total = time.monotonic() - clock
    (batch,) = stack.batches(collection)
    seconds = {"until it is planned": (batch["planned_at"] - began).total_seconds()}
    for name, label in _STEPS:
        seconds[label] = sum(
            task["duration"] or 0
            for dag_id in ("recognize_pages", "build_dataset")
            for run in stack.runs(dag_id, partition_key=batch["batch_id"])
            for task in stack.tasks(dag_id, run["dag_run_id"])
            if task["task_id"].startswith(name)
        )
    seconds["other tasks and waiting"] = total - sum(seconds.values())
    stack.settle()
    return {"total": total} | seconds


# --- many ----------------------------------------------------------------------------------------


class Watch(threading.Thread):
    """Adds up the CPU seconds of a stack's processes, by what they do."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self._root = psutil.Process(supervisor.pid(stack.home))
        self._programs = {
            program["pid"]: name
            for name, program in supervisor.processes(stack.home, stack._stack).items()
        }
        self._seen, self._spent, self._ended = {}, Counter(), threading.Event()
        self._look()
        self._spent.clear()  # what was used before is nobody's concern

    def run(self):
        """Look until it is enough."""
        while not self._ended.wait(_TICK):
            self._look()

    def spent(self):
        """Return the CPU seconds by what was done, and end."""
        self._ended.set()
        self.join()
        self._look()
        return dict(self._spent)

    def _look(self):
        seen = {}
        for process in self._root.children(recursive=True):
            try:
                key = process.pid, process.create_time()
                used = process.cpu_times()
                kind = self._seen[key][1] if key in self._seen else self._kind(process)
            except psutil.NoSuchProcess:
                continue
            seen[key] = used.user + used.system, kind
            self._spent[kind] += seen[key][0] - self._seen.get(key, (0.0, ""))[0]
        for key in self._seen.keys() - seen.keys():
            if self._seen[key][1] == _OCR_KIND:
                self._spent[_OCR_KIND] += _TICK / 2
        self._seen = seen

    def _kind(self, process):
        above = [one.pid for one in reversed(process.parents())]
        line = [*above[above.index(self._root.pid) + 1 :], process.pid]
        if any(word in part for part in process.cmdline() for word in _OCR):
            return _OCR_KIND
        name = self._programs.get(line[0], "")
        if name == "store":
            return "store"
        return "tasks, in Python" if name == "scheduler" and len(line) > 2 else "Airflow, watchdog"


def many(stack, pages, count):
    """Upload many scans at once; return the time that took, and whose CPU time it was."""
    idle = Watch(stack)
    idle.start()
    time.sleep(_IDLE_SECONDS)  # nothing is waited for: this is the time that is measured
    rate = idle.spent().get("Airflow, watchdog", 0.0) / _IDLE_SECONDS
    watch = Watch(stack)
    watch.start()
    began = time.monotonic()
    for number, page in enumerate(itertools.islice(itertools.cycle(pages), count)):
        # Another end makes other bytes: the same would be read once.
        stack.s3.put_object(
            Bucket=stack.bucket,
            Key=f"landing/many/{number:05}{page.suffix}",
            Body=page.read_bytes() + f"{number}".encode(),
        )
    patience = SECONDS + _SECONDS_A_PAGE * count
    stack.command_seconds = 2 * patience
    stack.settle(seconds=patience)
    wall = time.monotonic() - began
    spent = watch.spent()
    spent["Airflow, watchdog"] -= rate * wall
    total = sum(spent.values())
    return {
        "pages": count,
        "wall_s": wall,
        "cpu_s": spent,
        "shares": {name: seconds / total for name, seconds in spent.items()},
        "idle_cpu_s_per_s": rate,
    }


def main():
    """Print the tables, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=Path, required=True, metavar="DIR")
    parser.add_argument("--singles", type=int, default=10, help="uploads to an idle pipeline")
    parser.add_argument("--many", type=int, default=1000, help="uploads at once; 0: none")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    options = parser.parse_args()
    pages = pages_in(options.pages)
    with a_stack() as stack:
        ones = [single(stack, n, pages[n % len(pages)]) for n in range(options.singles)]
        answer = {"singles": ones}
        if ones:
            answer["p50_s"] = statistics.median(one["total"] for one in ones)
        if options.many:
            answer["many"] = many(stack, pages, options.many)
    if options.json:
        print(json.dumps(answer))
        return
    if ones:
        print_table("One upload to an idle pipeline, seconds", ones)
        print(f"p50 {answer['p50_s']:.1f} s")
    if options.many:
        found = answer["many"]
        rows = [
            {"what": name, "cpu_s": seconds, "share": found["shares"][name]}
            for name, seconds in found["cpu_s"].items()
        ]
        print_table(f"{found['pages']} uploads at once: {found['wall_s']:.0f} s", rows)


if __name__ == "__main__":
    main()
