"""Finds the installation that a command is about: the environment's, else the local stack."""

import os

from scanmill.errors import FatalError
from scanmill.local import stack
from scanmill.steps import Mill

REMEDY = "The local stack is not running. Start it: ./scanmill up"


def open_mill() -> Mill:
    """Return what the steps work with.

    Somebody who set `SCANMILL_LEDGER_URL` runs an installation of his own; else it is the local
    stack's, which has to be up.

    Raises:
        FatalError: there is no stack, or it is down; says how to start it.
    """
    if "SCANMILL_LEDGER_URL" not in os.environ:
        enter_stack()
    return Mill.from_settings()


def enter_stack() -> stack.Addresses:
    """Make this process find the local stack's store, queue and ledger."""
    addresses = stack.addresses()
    if addresses is None or not _is_store_up():
        raise FatalError(REMEDY)
    os.environ.pop("AWS_PROFILE", None)  # it would lead to another store
    os.environ.update(stack.environment())
    return addresses


def _is_store_up() -> bool:
    return stack.status().get("store", {}).get("state") == "RUNNING"
