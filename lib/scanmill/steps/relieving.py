"""Looks after the watchdog, from inside Airflow: each of the two is watched by the other."""

from scanmill.ledger import heartbeats
from scanmill.steps import Mill
from scanmill.steps.delivering import deliver
from scanmill.steps.looking import component
from scanmill.steps.telling import settle

WATCHDOG = "watchdog"
"""The name of its heartbeat, and of the component that is away without it."""

MUTE_SECONDS = 45
"""It gives a sign of life every few seconds; a look at a store that is away takes half of this."""


def relieve(mill: Mill) -> bool:
    """Tell of a watchdog that is dead or hung, and deliver alerts in its place; was it so?

    Where there never was one there is nobody to relieve: `doctor` tells of it.
    """
    if (trouble := mute(mill)) is None:
        return False
    settle(mill, component(WATCHDOG, trouble))
    deliver(mill)
    return True


def mute(mill: Mill) -> str | None:
    """Return since when the watchdog gives no sign of life, in words; None if it does."""
    with mill.ledger.reading() as connection:
        seconds = heartbeats.silence(connection, WATCHDOG)
    if seconds is None or seconds <= MUTE_SECONDS:
        return None
    return f"It gave its last sign of life {seconds:.0f} s ago: nothing is watched."
