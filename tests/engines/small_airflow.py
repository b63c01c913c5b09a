"""A small Airflow: a real HTTP server that answers the watchdog as Airflow does."""

import contextlib
import datetime as dt
import http.server
import json
import re
import threading
import urllib.parse

WELL = {
    name: {"status": "healthy"}
    for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")
}


def ago(seconds):
    """Return a moment as Airflow writes it."""
    moment = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)
    return moment.isoformat().replace("+00:00", "Z")


class SmallAirflow(http.server.ThreadingHTTPServer):
    """What it says of its health, its runs and its tasks is what it is told to say."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.health = dict(WELL)
        self.dags = {"recognize_pages": "scanmill", "build_dataset": "scanmill", "theirs": "other"}
        self.timeouts = {}
        self.tasks, self.runs = [], []
        self.tokens = {"first"}
        self.deleted = set()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def run_ends(self, state, *, dag_id="recognize_pages", run_id="r1", batch=None, age=0.0):
        """Let a run have ended just now."""
        self.runs.append(
            {
                "dag_id": dag_id,
                "dag_run_id": run_id,
                "partition_key": batch,
                "state": state,
                "start_date": ago(age + 5),
                "end_date": ago(age),
            }
        )

    def task_runs(
        self, seconds, *, dag_id="recognize_pages", run_id="r1", batch=None, map_index=-1
    ):
        """Let a task have been running for so long."""
        self.runs.append(
            {
                "dag_id": dag_id,
                "dag_run_id": run_id,
                "partition_key": batch,
                "state": "running",
                "start_date": ago(seconds),
                "end_date": None,
            }
        )
        self.tasks.append(
            {
                "dag_id": dag_id,
                "dag_run_id": run_id,
                "task_id": "recognize_slice",
                "map_index": map_index,
                "state": "running",
                "start_date": ago(seconds),
                "queued_when": ago(seconds),
                "pid": 4711,
                "hostname": "worker-1",
            }
        )

    def task_waits(self, seconds):
        """Let a task have been queued for so long."""
        self.tasks.append({"state": "queued", "start_date": None, "queued_when": ago(seconds)})

    def answer(self, path, query):
        """Return the JSON of a path below /api/v2/, or None."""
        if path == "monitor/health":
            return self.health
        if path == "dags":
            found = [{"dag_id": name} for name, tag in self.dags.items() if [tag] == query["tags"]]
            return {"dags": found}
        if path == "dags/~/dagRuns/~/taskInstances":
            found = [task for task in self.tasks if [task["state"]] == query["state"]]
            return {"task_instances": found}
        if match := re.fullmatch(r"dags/([^/]+)/tasks/([^/]+)", path):
            return {"execution_timeout": self.timeouts.get(match.groups())}
        if match := re.fullmatch(r"dags/([^/]+)/dagRuns/([^/]+)", path):
            wanted = match.groups()
            return next(r for r in self.runs if (r["dag_id"], r["dag_run_id"]) == wanted)
        if match := re.fullmatch(r"dags/([^/]+)/dagRuns", path):
            if match[1] in self.deleted:
                return None
            return {"dag_runs": [run for run in self.runs if _fits(run, match[1], query)]}
        return None


def _fits(run, dag_id, query):
    since = dt.datetime.fromisoformat(query["end_date_gte"][0])
    is_new = run["end_date"] and dt.datetime.fromisoformat(run["end_date"]) >= since
    return is_new and dag_id in {"~", run["dag_id"]} and run["state"] == query["state"][0]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say(201, {"access_token": min(self.server.tokens)})

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path).removeprefix("/api/v2/")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if path != "monitor/health" and token not in self.server.tokens:
            self._say(401, {"detail": "Not authenticated"})
            return
        content = self.server.answer(path, urllib.parse.parse_qs(url.query))
        self._say(200 if content is not None else 404, content)

    def _say(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def small_airflow():
    """Run one until the block ends."""
    server = SmallAirflow()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
