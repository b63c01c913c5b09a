"""Rings the `pages` asset of the local Airflow, so that a released batch is built at once."""

import logging

import httpx

from scanmill.local import stack

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10


def ring_pages(batch_id: str) -> bool:
    """Announce a batch on the `pages` asset; return whether Airflow has taken it.

    Only a doorbell: the audit rings again for a batch that was released and not built.
    """
    addresses = stack.addresses()
    if addresses is None:
        return False
    try:
        with httpx.Client(base_url=addresses.airflow_url, timeout=_TIMEOUT_SECONDS) as client:
            login = {"username": addresses.airflow_user, "password": addresses.airflow_password}
            token = client.post("/auth/token", json=login).raise_for_status().json()
            client.headers["Authorization"] = f"Bearer {token['access_token']}"
            found = client.get("/api/v2/assets?name_pattern=pages").raise_for_status().json()
            (asset_id,) = (a["id"] for a in found["assets"] if a["name"] == "pages")
            event = {"asset_id": asset_id, "partition_key": batch_id, "extra": {}}
            client.post("/api/v2/assets/events", json=event).raise_for_status()
    except httpx.HTTPError as error:
        log.warning("Airflow did not hear of batch=%s: %s", batch_id, type(error).__name__)
        return False
    return True
