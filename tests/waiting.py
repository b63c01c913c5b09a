"""Waits for what other processes do, and ends a hopeless test."""

import time

LOOKS, PAUSE_SECONDS = 1200, 0.05
"""The patience of a wait, a minute or more. It is counted in looks: the clock of a machine that
stands still for a while goes on, and what is waited for does not."""


def is_soon(is_so):
    """Wait until something is so; tell whether it came."""
    for _ in range(LOOKS):
        if is_so():
            return True
        time.sleep(PAUSE_SECONDS)  # what others do gives no sign that could be waited for
    return False
