"""A real local stack for the tests: started by the command line, asked through its own doors."""

import datetime as dt
import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from botocore.exceptions import BotoCoreError, ClientError

from scanmill.drill.own_stack import Json, OwnStack
from scanmill.ledger import receipts
from scanmill.ledger import tables as t
from scanmill.local import inbox
from scanmill.local.inbox import Message

SECONDS = 420
"""The patience of every wait: it ends a hopeless test, it decides nothing else."""


def wait_until(said: str, is_so: Callable[[], Any]) -> Any:
    """Return the first answer that is true; fail with these words when none comes."""
    deadline = time.monotonic() + SECONDS
    while not (answer := is_so()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {SECONDS} s: {said}")
        time.sleep(0.5)
    return answer


class RunningStack(OwnStack):
    """A stack that tests ask, and that is gone when they are over."""

    command_seconds = 2 * SECONDS

    def __init__(self, root: Path, *, dags: Path, settings: Mapping[str, str]) -> None:
        super().__init__(root, {**settings, "AIRFLOW__CORE__DAGS_FOLDER": str(dags)})

    def down(self) -> list[int]:
        """Stop it and return the processes that are left all the same."""
        self.type("down").check_returncode()
        return self.processes()

    # --- the command line ------------------------------------------------------------------------

    def type(
        self, *words: str, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a person would, and show what it told people."""
        said = super().type(*words, settings=settings)
        sys.stderr.write(said.stderr)
        return said

    def settle(self, *, seconds: int = SECONDS) -> None:
        """Wait until nothing is on its way any more, and Airflow has closed the runs of it."""
        self.type("wait", "--timeout", str(seconds)).check_returncode()
        for dag_id in ("recognize_pages", "build_dataset"):
            wait_until(f"no run of {dag_id} is open", lambda d=dag_id: not self._open_runs(d))

    def receipt(self) -> Json:
        """Return `status --json`; its exit code says whether the law holds."""
        said = self.type("status", "--json")
        sums: Json = json.loads(said.stdout)
        assert (said.returncode, sums["lost"], sums["imbalances"], sums["findings"]) == (
            0,
            0,
            [],
            [],
        )
        return sums

    # --- S3 and the queue ------------------------------------------------------------------------

    def upload(self, folder: str, scans: Sequence[bytes], *, first: int = 0) -> None:
        """Upload scans to a folder below `landing/`, numbered from `first`."""
        for number, body in enumerate(scans, start=first):
            key = f"landing/{folder}/{number:03d}.png"
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def upload_when_it_is_back(self, folder: str, scan: bytes, *, number: int) -> None:
        """Upload a scan as soon as the store takes it."""

        def is_taken() -> bool:
            try:
                self.upload(folder, [scan], first=number)
            except (BotoCoreError, ClientError):
                return False
            return True

        wait_until("the store takes uploads again", is_taken)

    def upload_as_one_batch(self, folder: str, scans: Sequence[bytes]) -> None:
        """Upload scans while nobody plans, then have them all planned at once."""
        with self.paused("ingest_images"):
            self.upload(folder, scans)
        self.trigger("ingest_images")

    def waiting_messages(self) -> int:
        """Return how many messages are in the queue, those in flight included."""
        return self._messages("ApproximateNumberOfMessages") + self.messages_in_flight()

    def messages_in_flight(self) -> int:
        """Return how many messages were received and not deleted yet."""
        return self._messages("ApproximateNumberOfMessagesNotVisible")

    def _messages(self, name: str) -> int:
        url = self.variables["SCANMILL_QUEUE_URL"]
        answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    @contextmanager
    def without(self, key: str) -> Iterator[None]:
        """Take an object of ours away, its versions included, until the block ends, as nobody may.

        Healing would put it back from a version that is left.
        """
        body = self.read(key)
        versions = self.s3.list_object_versions(Bucket=self.bucket, Prefix=key)["Versions"]
        for one in versions:
            self.s3.delete_object(Bucket=self.bucket, Key=key, VersionId=one["VersionId"])
        try:
            yield
        finally:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def dataset(self, collection: str) -> bytes:
        """Return what names the published snapshot; empty when there is none."""
        try:
            return self.read(f"datasets/{collection}/_snapshots/LATEST")
        except self.s3.exceptions.NoSuchKey:
            return b""

    # --- the books -------------------------------------------------------------------------------

    def batches(self, collection: str) -> list[Json]:
        """Return a collection's batches and when they were rung for, oldest first."""
        rung = t.BATCHES.join(t.DOORBELLS, t.DOORBELLS.c.batch_id == t.BATCHES.c.batch_id)
        query = sa.select(t.BATCHES, t.DOORBELLS.c.announced_at).select_from(rung)
        query = query.where(t.BATCHES.c.collection == collection)
        return self.rows(query.order_by(t.BATCHES.c.sequence))

    def batch_in_state(self, collection: str, state: str) -> Json | None:
        """Return a collection's newest batch if it is in this state."""
        found = self.batches(collection)
        return found[-1] if found and found[-1]["state"] == state else None

    def announced_ago(self, collection: str) -> float:
        """Return the age of the announcement of a collection's newest batch, in seconds."""
        announced_at = self.batches(collection)[-1]["announced_at"]
        return (dt.datetime.now(dt.UTC) - announced_at).total_seconds()

    def alerts(self, about: str) -> list[Json]:
        """Return the entries of the outbox whose key names this."""
        return self.rows(sa.select(t.OUTBOX).where(t.OUTBOX.c.key.contains(about)))

    def snapshots(self) -> list[Json]:
        """Return all snapshots that were published."""
        return self.rows(sa.select(t.SNAPSHOTS))

    def images_landed(self) -> int:
        """Return how many images are in the books."""
        with self.ledger.reading() as connection:
            return receipts.image_counts(connection)["landed"]

    def page_counts(self, batch_id: str) -> dict[str, int]:
        """Return how many pages of a batch are in every fate."""
        with self.ledger.reading() as connection:
            return receipts.page_counts(connection, batch_id)

    def mails(self, about: str) -> list[Message]:
        """Return the mails in the inbox whose subject names this."""
        return [mail for mail in inbox.messages(self.home.mail) if about in mail.subject]

    # --- Airflow ---------------------------------------------------------------------------------

    def runs(self, dag_id: str, **wanted: Any) -> list[Json]:
        """Return the runs of a DAG that are as wanted."""
        found = self.get(f"dags/{dag_id}/dagRuns", limit=100)["dag_runs"]
        return [run for run in found if wanted.items() <= run.items()]

    def slices(self, run_id: str) -> list[Json]:
        """Return the tasks of a run that read slices."""
        tasks = self.tasks("recognize_pages", run_id)
        return [task for task in tasks if task["task_id"] == "recognize_slice"]

    def slice_at_work(self, batch_id: str) -> Json | None:
        """Return the task that reads a slice of this batch now, if there is one."""
        for run in self.runs("recognize_pages", partition_key=batch_id):
            for task in self.slices(run["dag_run_id"]):
                if task["state"] == "running" and task["pid"]:
                    return task
        return None

    def events(self, asset: str, **wanted: Any) -> list[Json]:
        """Return the events of an asset that are as wanted."""
        params = {"asset_id": self._asset(asset)["id"], "limit": 100}
        # Airflow 3.3.2 cannot show an event whose run is queued: it answers 500 until it starts.
        answer = wait_until(
            f"the events of {asset} can be shown",
            lambda: (a := self.api.get("/api/v2/assets/events", params=params)).is_success and a,
        )
        return [e for e in answer.json()["asset_events"] if wanted.items() <= e.items()]

    def newest_event(self, asset: str) -> int:
        """Return the number of the newest event of an asset, 0 without any."""
        newest: Json | None = self._asset(asset)["last_asset_event"]
        return (newest and newest["id"]) or 0

    def _asset(self, name: str) -> Json:
        assets = self.get("assets", name_pattern=name)["assets"]
        (found,) = (asset for asset in assets if asset["name"] == name)
        return dict(found)

    def trigger(self, dag_id: str) -> str:
        """Start a run by hand and return its id."""
        run_id = f"by_hand_{uuid.uuid4().hex}"
        body = {"logical_date": None, "dag_run_id": run_id}

        def is_there() -> bool:
            answer = self.api.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body)
            # With SQLite, Airflow answers 500 when others write for too long.
            if answer.status_code in {httpx.codes.CONFLICT, httpx.codes.INTERNAL_SERVER_ERROR}:
                return answer.status_code == httpx.codes.CONFLICT
            return answer.raise_for_status().is_success

        wait_until(f"{dag_id} is started", is_there)
        return run_id

    @contextmanager
    def paused(self, *dag_ids: str) -> Iterator[None]:
        """Pause DAGs, with no task of them at work, until the block ends."""
        for dag_id in dag_ids:
            self.pause(dag_id, is_paused=True)
        try:
            for dag_id in dag_ids:
                wait_until(f"no task of {dag_id} at work", lambda d=dag_id: not self._at_work(d))
            yield
        finally:
            for dag_id in dag_ids:
                self.pause(dag_id, is_paused=False)

    def _open_runs(self, dag_id: str) -> list[Json]:
        found: list[Json] = self.get(f"dags/{dag_id}/dagRuns", state=["queued", "running"])[
            "dag_runs"
        ]
        return found

    def _at_work(self, dag_id: str) -> list[Json]:
        path = f"dags/{dag_id}/dagRuns/~/taskInstances"
        found: list[Json] = self.get(path, state=["queued", "running"])["task_instances"]
        return found

    # --- violence --------------------------------------------------------------------------------

    def kill(self, program: str) -> None:
        """Kill -9 one program of this stack."""
        pid = self.pid(program)
        assert pid, f"no {program} at work"
        self.send(pid, signal.SIGKILL)

    def kill_task(self, task: Json) -> None:
        """Kill -9 the process of a running task."""
        self.send(task["pid"], signal.SIGKILL)

    @contextmanager
    def frozen(self, task: Json) -> Iterator[None]:
        """Stop the process of a running task until the block ends."""
        self.send(task["pid"], signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(task["pid"], signal.SIGCONT)
