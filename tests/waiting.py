"""Waits for what other processes do, and ends a hopeless test."""

import time

SECONDS = 60
"""The patience of a wait: it decides nothing else."""


def is_soon(is_so):
    """Wait until something is so; tell whether it came."""
    deadline = time.monotonic() + SECONDS
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_so()
