"""Rings for what a person has just decided, so that Airflow begins at once."""

import logging
from collections.abc import Sequence
from typing import Literal

from scanmill.airflow_api import AirflowApi
from scanmill.errors import RetryableError
from scanmill.steps import Mill

log = logging.getLogger(__name__)

Asset = Literal["image_batches", "pages"]


def ring(mill: Mill, asset: Asset, batch_ids: Sequence[str]) -> bool:
    """Announce batches on an asset and return whether Airflow heard it.

    Only a doorbell: sweep and audit ring again for every batch that nobody began.
    """
    if not mill.settings.airflow_url:
        return False
    try:
        with AirflowApi(mill.settings) as airflow:
            for batch_id in batch_ids:
                airflow.ring(asset, batch_id)
    except RetryableError as error:
        log.warning("%d batches wait for the next sweep or audit: %s", len(batch_ids), error)
        return False
    return True
