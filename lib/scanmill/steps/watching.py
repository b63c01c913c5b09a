"""The watchdog: outside Airflow, it delivers alerts and tells of what is dead or stands still."""

import concurrent.futures
import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator

from scanmill import alerts
from scanmill.alerts import Message
from scanmill.errors import ScanmillError
from scanmill.ledger import heartbeats
from scanmill.steps import Mill, looking, overseeing
from scanmill.steps.delivering import deliver, send_at_once
from scanmill.steps.looking import PATIENCE_SECONDS
from scanmill.steps.relieving import WATCHDOG
from scanmill.steps.telling import Seen, settle
from scanmill.store import Store

log = logging.getLogger(__name__)

DELIVER_SECONDS = 3
LOOK_SECONDS = 10
START_SECONDS = 60
LISTING_SECONDS = 60

_LISTING_SHARE = 20  # one part of listing, nineteen of rest
_STORE_SECONDS = 5

Look = Callable[[], Iterator[Seen]]


def watch(mill: Mill, *, forever: bool = True, supervisor: int = 0) -> None:
    """Deliver what is in the outbox, and look at everything that may die or stand still.

    `supervisor` is the process that started us and restarts whatever dies; 0 where there is none.
    """
    # A thread of its own: a large bucket takes minutes to list, a dead store takes as long.
    lister = concurrent.futures.ThreadPoolExecutor(1) if forever else None
    watchdog = Watchdog(mill, supervisor=supervisor, lister=lister)
    # The watchdog itself is up sooner than what it looks at.
    next_look = time.monotonic() + (START_SECONDS if forever else 0)
    while True:
        try:
            watchdog.pulse.beat()
            deliver(mill)
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + LOOK_SECONDS
                watchdog.look()
                deliver(mill)
        except ScanmillError as error:  # such as a locked ledger: the next round comes soon
            log.warning("a round of the watchdog failed: %s", error)
        if not forever:
            return
        time.sleep(DELIVER_SECONDS)


class Pulse:
    """Our sign of life in the ledger, without which others tell of us: see `relieving`.

    When the ledger takes none, people are told of that without the outbox, which is in it, too.
    """

    def __init__(self, mill: Mill, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._mill = mill
        self._clock = clock
        self._beat_at = clock()
        self._next = clock()
        self._told: Message | None = None

    def beat(self) -> None:
        """Give a sign of life, if the last one is not quite fresh.

        Raises:
            ScanmillError: the ledger took none; after half a minute of that it is told of.
        """
        if self._clock() < self._next:
            return
        try:
            with self._mill.ledger.writing() as connection:
                heartbeats.beat(connection, WATCHDOG)
        except ScanmillError as error:
            self._tell(str(error))
            raise
        self._beat_at = self._clock()
        self._next = self._beat_at + DELIVER_SECONDS
        if self._told:
            self._say_over(self._told)

    def _tell(self, trouble: str) -> None:
        if self._told or self._clock() - self._beat_at < PATIENCE_SECONDS:
            return
        message = alerts.component_away(component="ledger", trouble=trouble)
        if send_at_once(self._mill.settings, message):
            self._told, self._told_at = message, self._clock()

    def _say_over(self, told: Message) -> None:
        seconds = self._clock() - self._told_at
        over = alerts.over(kind=told.kind, key=told.key, subject=told.subject, seconds=seconds)
        if send_at_once(self._mill.settings, over):
            self._told = None


class Watchdog:
    """Remembers since when something is wrong; what was told of it is in the outbox."""

    def __init__(
        self,
        mill: Mill,
        *,
        supervisor: int = 0,
        clock: Callable[[], float] = time.monotonic,
        lister: concurrent.futures.Executor | None = None,
    ) -> None:
        self._mill = mill
        self._clock = clock
        self.pulse = Pulse(mill, clock=clock)
        self._wrong_since: dict[str, float] = {}
        self._unplanned = _Unplanned(mill, clock=clock, lister=lister)
        store = Store(mill.store.bucket, patience_seconds=_STORE_SECONDS)
        started_at = dt.datetime.now(dt.UTC)
        self._looks: list[Look] = [
            lambda: iter([looking.component(WATCHDOG, "")]),  # whoever looks is back
            lambda: looking.supervisor(supervisor),
            lambda: looking.store(store),
            lambda: looking.old_images(mill, unplanned=self._unplanned.count()),
            lambda: looking.stuck_batches(mill),
            lambda: iter([looking.findings(mill, patience=PATIENCE_SECONDS)]),
            lambda: looking.overdue_audit(mill, watching_since=started_at),
            lambda: looking.channels(mill),
            lambda: overseeing.settled_failures(mill),
        ]
        if mill.settings.airflow_url:
            self._looks.append(lambda: overseeing.components(mill))
        if mill.settings.airflow_url and mill.settings.airflow_password.get_secret_value():
            self._looks.append(overseeing.Overseer(mill).look)

    def look(self) -> None:
        """Look once at everything; what cannot be looked at keeps its alerts as they are.

        Raises:
            ScanmillError: the ledger takes no sign of life.
        """
        for look in self._looks:
            self.pulse.beat()  # before each: what does not answer takes its time
            try:
                for seen in look():
                    settle(self._mill, seen, unripe=self._unripe(seen))
            except ScanmillError as error:
                log.warning("could not look: %s", error)

    def _unripe(self, seen: Seen) -> set[str]:
        """Return the keys of what is wrong for too short a time to tell of it."""
        now = self._clock()
        names = {m.key: seen.scope if seen.is_one else m.key for m in seen.messages}
        for name in [name for name in self._wrong_since if seen.covers(name)]:
            if name not in names.values():
                del self._wrong_since[name]
        return {
            key
            for key, name in names.items()
            if now - self._wrong_since.setdefault(name, now) < seen.patience
        }


class _Unplanned:
    """How many old uploads nobody planned, counted now and then: listing takes long."""

    def __init__(
        self,
        mill: Mill,
        *,
        clock: Callable[[], float],
        lister: concurrent.futures.Executor | None,
    ) -> None:
        self._mill = mill
        self._clock = clock
        self._lister = lister
        self._next = clock()
        self._pending: concurrent.futures.Future[int] | None = None
        self._count = 0

    def count(self) -> int:
        """Return the newest count, and begin the next one when it is time."""
        if self._pending is None and self._clock() >= self._next:
            if self._lister is None:
                self._count = self._list()
            else:
                self._pending = self._lister.submit(self._list)
        if self._pending is not None and self._pending.done():
            self._count, self._pending = self._pending.result(), None
        return self._count

    def _list(self) -> int:
        began = time.monotonic()
        try:
            return looking.count_unplanned(self._mill)
        except ScanmillError as error:  # the store is away: told of as a component
            log.warning("landing could not be listed: %s", error)
            return self._count
        finally:
            # It must not keep a core busy.
            pause = max(LISTING_SECONDS, _LISTING_SHARE * (time.monotonic() - began))
            self._next = self._clock() + pause
