"""What a fault has to work with: uploads, a clock, the stack, and a sign that it was noticed."""

import contextlib
import dataclasses
import datetime as dt
import hashlib
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import sqlalchemy as sa
import tenacity
from botocore.exceptions import BotoCoreError, ClientError

from scanmill.drill import hooks, paper
from scanmill.drill.hooks import Order
from scanmill.drill.own_stack import DAGS
from scanmill.drill.proxy import Proxy, Rule
from scanmill.drill.scratch import Scratch, wait_until
from scanmill.drill.witness import Upload, Witness
from scanmill.errors import RetryableError
from scanmill.ledger import tables as t
from scanmill.local import inbox

Sign = Callable[[], object]

WORK_SECONDS = 90
"""The patience of waiting for something to break; it decides nothing but when to give up."""

_JUDGED_PAGES = 32
"""Enough for the shares of `expectations/pages_gate.json`, which count from 30 pages up."""

_PATIENTLY = tenacity.retry(
    retry=tenacity.retry_if_exception_type((BotoCoreError, ClientError)),
    wait=tenacity.wait_fixed(0.5),
    stop=tenacity.stop_after_delay(WORK_SECONDS),
)
"""The drill kills the store that it uploads to."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One running scratch stack, the proxy before its store, and who watches both."""

    scratch: Scratch
    proxy: Proxy
    witness: Witness


class Scene:
    """One fault at work on a collection of its own."""

    def __init__(self, world: World, *, collection: str, rng: random.Random) -> None:
        self.scratch, self.proxy = world.scratch, world.proxy
        self.witness = world.witness
        self.collection = collection
        self.rng = rng
        self.injected = 0
        self.failures: list[str] = []
        self.points: list[str] = []
        self.twins: list[Scene] = []
        self.detected_s: float | None = None
        self._began = 0.0
        self._began_at = dt.datetime.now(dt.UTC)
        self._numbers = iter(range(1_000_000))
        self._watch: threading.Thread | None = None
        self._is_over = threading.Event()

    # --- uploads ---------------------------------------------------------------------------------

    def drop(self, pages: int = 6) -> list[Upload]:
        """Upload a mix: pages, one of them twice, a volume, a blank one, and what is no image."""
        dropped = [self.put(self.text()) for _ in range(pages)]
        twice = dropped[0].texts[0]
        dropped.append(self.put(twice))
        dropped.append(self.put(self.text(), self.text()))
        dropped.append(self.put(""))
        dropped.append(self.put_junk())
        return dropped

    def uploads(self) -> list[Upload]:
        """Return what was uploaded to our collection."""
        return self.witness.of([self.collection])

    def text(self) -> str:
        """Return a text that nothing else in the drill has."""
        return paper.prose(f"{self.collection} {self.rng.random()}")

    def put(self, *texts: str, key: str = "", **fields: Any) -> Upload:
        """Upload an image whose pages say these texts; the empty text is a blank page."""
        if len(texts) > 1:
            body = paper.volume(*texts)
        else:
            body = paper.picture(texts[0]) if texts[0] else paper.blank()
        return self._put(key or self._name("png"), body, texts=texts, **fields)

    def drop_one_of_each(self) -> None:
        """Upload what makes the pipeline do each of its writes."""
        page = self.put(self.text())
        self.put(page.texts[0])
        self.put_junk()

    def put_volume(self, write: Callable[[str], str]) -> Upload:
        """Upload enough pages for a gate to judge; `write` makes the text of a page from a seed.

        They are one image: single ones might be planned into several batches, too small to judge.
        """
        seeds = (f"{self.collection} {self.rng.random()}" for _ in range(_JUDGED_PAGES))
        return self.put(*map(write, seeds), key=self._name("tif"))

    def put_junk(self) -> Upload:
        """Upload bytes that are no image."""
        body = f"no image {self.rng.random()}".encode()
        return self._put(self._name("tif"), body, fates=frozenset({"quarantined"}))

    def put_foreign(self, name: str, body: bytes, *, is_rejected: bool) -> Upload:
        """Upload bytes of which only a strict decoder's opinion is known."""
        fates = {"quarantined", "decoded", "ignored"}
        key = f"landing/{self.collection}/foreign/{next(self._numbers):05d} {name}"
        fields = {"fates": frozenset(fates), "is_foreign": True, "is_rejected": is_rejected}
        return self._put(key, body, **fields)

    def overwrite(self, upload: Upload) -> Upload:
        """Upload a corrected scan under the same key."""
        self.witness.amend(upload, fates=frozenset({"superseded"}), is_last=False)
        return self.put(self.text(), key=upload.key)

    def delete(self, upload: Upload) -> None:
        """Delete an upload; it counts as read when it was, and as superseded when it was not."""
        fates = frozenset({"superseded", "decoded"})
        self.witness.amend(upload, fates=fates, is_last=False)
        self._remove(upload.key)

    @_PATIENTLY
    def _remove(self, key: str) -> None:
        self.scratch.s3.delete_object(Bucket=self.scratch.bucket, Key=key)

    def _name(self, ending: str) -> str:
        return f"landing/{self.collection}/words/{next(self._numbers):04d}.{ending}"

    def _put(self, key: str, body: bytes, **fields: Any) -> Upload:
        upload = Upload(
            key=key,
            version=self._upload(key, body),
            collection=self.collection,
            sha256=hashlib.sha256(body).hexdigest(),
            **fields,
        )
        self.witness.note(upload)
        return upload

    def twin(self, name: str) -> "Scene":
        """Return a scene beside this one, on a collection of its own."""
        world = World(scratch=self.scratch, proxy=self.proxy, witness=self.witness)
        twin = Scene(world, collection=f"{self.collection}-{name}", rng=self.rng)
        self.twins.append(twin)
        return twin

    @property
    def collections(self) -> list[str]:
        """Our collection and those of our twins."""
        return [self.collection, *(twin.collection for twin in self.twins)]

    @_PATIENTLY
    def _upload(self, key: str, body: bytes) -> str:
        """Return the version; when the store died over it, whether it has it is asked first."""
        answer = self.scratch.s3.list_object_versions(Bucket=self.scratch.bucket, Prefix=key)
        known = {one.version for one in self.uploads() if one.key == key}
        for version in answer.get("Versions", ()):
            if version["Key"] == key and version["VersionId"] not in known:
                return str(version["VersionId"])
        put = self.scratch.s3.put_object(Bucket=self.scratch.bucket, Key=key, Body=body)
        return str(put["VersionId"])

    # --- the fault -------------------------------------------------------------------------------

    def began(self, injected: int = 0, *, sign: Sign | None = None) -> None:
        """Note that the fault is there from now on, and watch for the sign that it is noticed."""
        self.injected += injected
        if self._began:
            return
        self._began = time.monotonic()
        if sign is not None:
            self._watch = threading.Thread(target=self._look_for, args=(sign,), daemon=True)
            self._watch.start()

    def over(self) -> float:
        """Stop looking for the sign; return the seconds since the fault began."""
        self._is_over.set()
        if self._watch is not None:
            self._watch.join()
        return time.monotonic() - (self._began or time.monotonic())

    def _look_for(self, sign: Sign) -> None:
        while not self._is_over.wait(0.2):
            # What is asked may be what was broken.
            with contextlib.suppress(RetryableError, httpx.HTTPError, OSError, KeyError):
                if sign():
                    self.detected_s = time.monotonic() - self._began
                    return

    def kill(self, name: str) -> None:
        """Kill -9 a program of the stack; the sign is that another one stands in its place."""
        pid = wait_until(lambda: self.scratch.pid(name), seconds=WORK_SECONDS)
        if pid:
            self.scratch.send(pid, signal.SIGKILL)
            self.began(1, sign=lambda: self.scratch.pid(name) not in {None, pid})

    @contextlib.contextmanager
    def broken(self, *rules: Rule, sign: Sign | None = None) -> Iterator[None]:
        """Break what passes the proxy until the block ends; count what was broken."""
        self.proxy.obey(*rules)
        self.began(sign=sign)
        try:
            yield
        finally:
            self.injected += self.proxy.hits.total()
            self.proxy.obey()

    @contextlib.contextmanager
    def ordered(self, order: Order, *, sign: Sign | None = None) -> Iterator[None]:
        """Give an order to the processes at work on our collection; count those that did it."""
        hooks.give(self.scratch.orders, self.collection, order)
        try:
            yield
            wait_until(self.evidence, seconds=WORK_SECONDS)
            self.began(sign=sign)
            wait_until(lambda: len(self.evidence()) >= order.times, seconds=WORK_SECONDS)
        finally:
            hooks.withdraw(self.scratch.orders, self.collection)
            self.injected += len(self.evidence())

    def fail(self, why: str) -> None:
        """Say that something else went wrong than a page."""
        self.failures.append(why)

    def evidence(self) -> list[str]:
        """Return what was done of our orders."""
        return hooks.evidence(self.scratch.orders, self.collection)

    # --- signs -----------------------------------------------------------------------------------

    def mailed(self, words: str) -> Sign:
        """Return the sign that a mail came whose subject has these words."""
        before = len(self._mails(words))
        return lambda: len(self._mails(words)) > before

    def _mails(self, words: str) -> list[inbox.Message]:
        return [mail for mail in inbox.messages(self.scratch.home.mail) if words in mail.subject]

    def retried(self) -> bool:
        """Tell whether Airflow noticed that a task has failed since we began."""
        since = self._began_at.isoformat()
        return any(
            task["state"] in {"up_for_retry", "failed"} or task["try_number"] > 1
            for dag_id in DAGS
            for task in self.scratch.tasks(dag_id, start_date_gte=since)
        )

    def batches(self) -> list[dict[str, Any]]:
        """Return our batches."""
        mine = t.BATCHES.c.collection == self.collection
        return self.scratch.rows(sa.select(t.BATCHES).where(mine))

    def wait_for_work(self) -> None:
        """Wait until our first batch is planned: its tasks start from now on."""
        wait_until(self.batches, seconds=WORK_SECONDS)

    def wait_until_held(self) -> bool:
        """Wait until a gate holds our batch."""
        is_held = lambda: any(batch["state"] == "held" for batch in self.batches())  # noqa: E731
        return bool(wait_until(is_held, seconds=WORK_SECONDS))

    def wait_a_moment(self) -> None:
        """Let a batch go on for a while that the seed decides."""
        time.sleep(self.rng.uniform(0.0, 6.0))

    def is_settled(self) -> bool:
        """Tell whether nothing of ours is on its way any more."""
        return self.witness.is_settled(self.collections)
