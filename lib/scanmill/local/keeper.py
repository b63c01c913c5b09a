"""Keeps the store provisioned: `python -m scanmill.local.keeper`, at once after each restart of it.

A store that was killed may come back without versioning, queue or notification; until they are
set again an overwrite would leave no old version.
"""

import logging
import os
import time

from scanmill.errors import RetryableError
from scanmill.local import home as homes
from scanmill.local.home import Home
from scanmill.local.program import STORE, pid_file
from scanmill.local.provision import Store, provision

LOOK_SECONDS = 0.5
CHECK_SECONDS = 30

log = logging.getLogger(__name__)


def main() -> None:
    """Watch the store for ever."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    home, store = homes.locate(), Store.of(os.environ)
    settled, checked = "", 0.0
    while True:
        pid = _store_pid(home)
        if pid != settled or time.monotonic() - checked > CHECK_SECONDS:
            settled, checked = (pid if _keep(store) else ""), time.monotonic()
        time.sleep(LOOK_SECONDS)


def _keep(store: Store) -> bool:
    try:
        changed = provision(store)
    except RetryableError as error:
        log.warning("not provisioned yet: %s", error)
        return False
    if changed:
        log.info("set again: %s", ", ".join(changed))
    return True


def _store_pid(home: Home) -> str:
    try:
        return pid_file(home, STORE).read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
