"""The watchdog: outside Airflow, it delivers alerts and tells of what stands still."""

import dataclasses
import datetime as dt
import logging
import time

import sqlalchemy as sa

from scanmill import alerts
from scanmill.errors import RetryableError
from scanmill.ledger import outbox
from scanmill.ledger import tables as t
from scanmill.models import ImageFate
from scanmill.steps import Mill
from scanmill.steps.delivering import deliver

log = logging.getLogger(__name__)

_DELIVER_SECONDS = 3


def watch(mill: Mill, *, forever: bool = True) -> None:
    """Deliver what is in the outbox and look for images that wait too long."""
    while True:
        try:
            tell_of_old_images(mill)
            deliver(mill)
        except RetryableError as error:
            log.warning("the next look comes in %d s: %s", _DELIVER_SECONDS, error)
        if not forever:
            return
        time.sleep(_DELIVER_SECONDS)


def tell_of_old_images(mill: Mill) -> None:
    """Enter one alert when images have been pending for longer than the settings allow."""
    age = dt.timedelta(seconds=mill.settings.pending_alert_seconds)
    images = t.IMAGES.c
    query = sa.select(images.batch_id, sa.func.count()).where(
        images.fate == ImageFate.PENDING, images.modified_at < dt.datetime.now(dt.UTC) - age
    )
    with mill.ledger.reading() as connection:
        waiting = connection.execute(query.group_by(images.batch_id)).all()
    if not waiting:
        return
    message = alerts.images_pending(
        batches={batch_id: count for batch_id, count in waiting},  # noqa: C416 - rows, no pairs
        seconds=mill.settings.pending_alert_seconds,
    )
    with mill.ledger.writing() as connection:
        outbox.post(connection, **dataclasses.asdict(message))
