"""The watchdog: outside Airflow, it delivers alerts and tells of what is dead or stands still."""

import dataclasses
import datetime as dt
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from scanmill import airflow_api, alerts
from scanmill.alerts import Message
from scanmill.errors import RetryableError, ScanmillError
from scanmill.ledger import outbox
from scanmill.ledger import tables as t
from scanmill.models import ImageFate
from scanmill.steps import Mill
from scanmill.steps.delivering import deliver
from scanmill.steps.planning import list_unseen

log = logging.getLogger(__name__)

DELIVER_SECONDS = 3
LOOK_SECONDS = 15
START_SECONDS = 60
LISTING_SECONDS = 60
PATIENCE_SECONDS = 30
"""What is away for a shorter time is being started again, and nobody needs to know."""

_LISTING_SHARE = 20  # one part of listing, nineteen of rest

_COMPONENTS = ("scheduler", "triggerer", "dag_processor")


def watch(mill: Mill, *, forever: bool = True, supervisor: int = 0) -> None:
    """Deliver what is in the outbox, and look at everything that may die or stand still.

    `supervisor` is the process that started us and restarts whatever dies; 0 where there is none.
    """
    watchdog = Watchdog(mill, supervisor=supervisor)
    # The watchdog itself is up sooner than what it looks at.
    next_look = time.monotonic() + (START_SECONDS if forever else 0)
    while True:
        try:
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


class Watchdog:
    """Remembers since when a component is away; what was told of it is in the outbox."""

    def __init__(
        self,
        mill: Mill,
        *,
        supervisor: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mill = mill
        self._supervisor = supervisor
        self._clock = clock
        self._away_since: dict[str, float] = {}
        self._unplanned = 0
        self._next_listing = clock()

    def look(self) -> None:
        """Look once: one message when something has been away for too long, one when it is back."""
        if self._clock() >= self._next_listing:
            began = time.monotonic()
            self._unplanned = _old_unplanned(self._mill)
            # Listing a large bucket takes long: it must not keep a core busy.
            pause = max(LISTING_SECONDS, _LISTING_SHARE * (time.monotonic() - began))
            self._next_listing = self._clock() + pause
        tell_of_old_images(self._mill, unplanned=self._unplanned)
        for component, trouble in itertools.chain(
            _supervisor(self._supervisor), _components(self._mill)
        ):
            if not trouble:
                self._away_since.pop(component, None)
                self._tell_if_over(component)
                continue
            since = self._away_since.setdefault(component, self._clock())
            if self._clock() - since >= PATIENCE_SECONDS:
                self._tell(alerts.component_away(component=component, trouble=trouble))

    def _tell(self, message: Message) -> None:
        with self._mill.ledger.writing() as connection:
            episode = outbox.count(connection, f"component_back:{message.key.split(':')[1]}:")
            fields = dataclasses.asdict(message) | {"key": f"{message.key}:{episode}"}
            outbox.post(connection, **fields)

    def _tell_if_over(self, component: str) -> None:
        message = alerts.component_back(component=component)
        with self._mill.ledger.writing() as connection:
            away = outbox.count(connection, f"component_away:{component}:")
            back = outbox.count(connection, f"component_back:{component}:")
            if away > back:
                fields = dataclasses.asdict(message) | {"key": f"{message.key}:{back}"}
                outbox.post(connection, **fields)


def _supervisor(pid: int) -> Iterator[tuple[str, str]]:
    """Yield our supervisor and whether it is gone: its children go on, and nobody restarts them."""
    if pid:
        is_gone = os.getppid() != pid
        yield "supervisor", "Its process is gone: what dies now stays dead." if is_gone else ""


def _components(mill: Mill) -> Iterator[tuple[str, str]]:
    """Yield every component and what is wrong with it; nothing is wrong with the empty word."""
    try:
        mill.store.is_versioned()
    except ScanmillError as error:
        yield "store", str(error)
    else:
        yield "store", ""
    if not mill.settings.airflow_url:
        return
    try:
        health = airflow_api.health(mill.settings)
    except RetryableError as error:
        yield "api_server", str(error)
        return
    yield "api_server", ""
    for name in _COMPONENTS:
        state = (health.get(name) or {}).get("status")
        yield name, "" if state == "healthy" else f"Airflow calls it [{state}]"


def _old_unplanned(mill: Mill) -> int:
    """Return how many images landed long ago and were never planned: every DAG may be paused."""
    oldest = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=mill.settings.pending_alert_seconds)
    try:
        return sum(one.image.modified_at < oldest for one in list_unseen(mill))
    except ScanmillError as error:  # the store is away: told of as a component
        log.warning("landing could not be listed: %s", error)
        return 0


def tell_of_old_images(mill: Mill, *, unplanned: int = 0) -> None:
    """Enter one alert when images have been pending for longer than the settings allow."""
    age = dt.timedelta(seconds=mill.settings.pending_alert_seconds)
    images = t.IMAGES.c
    query = sa.select(images.batch_id, sa.func.count()).where(
        images.fate == ImageFate.PENDING, images.modified_at < dt.datetime.now(dt.UTC) - age
    )
    with mill.ledger.reading() as connection:
        waiting = connection.execute(query.group_by(images.batch_id)).all()
    batches = {batch_id: count for batch_id, count in waiting}  # noqa: C416 - rows, no pairs
    if unplanned:
        batches["no batch yet: are the DAGs paused?"] = unplanned
    if not batches:
        return
    message = alerts.images_pending(
        batches=batches,
        seconds=mill.settings.pending_alert_seconds,
    )
    # While it lasts it is one event a day, whichever batches it is about.
    today = dt.datetime.now(dt.UTC).date()
    with mill.ledger.writing() as connection:
        outbox.post(connection, **dataclasses.asdict(message) | {"key": f"{message.kind}:{today}"})
