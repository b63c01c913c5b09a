"""A stand-in for the decoder: it dies at a file that holds a marker, and is the real one else."""

import os
import signal
import time
from pathlib import Path

from scanmill.children import decoder

REAL = decoder.decode_image


def spun_on_many_pages(bounds):
    """Use most of the time of a page, again and again."""
    while True:
        decoder._restart_clock(bounds)
        end = time.process_time() + 0.8 * bounds.page_cpu_seconds
        while time.process_time() < end:
            pass


def decode_image(content, *, bounds, skipped):
    if b"MARKER-crash" in content:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"MARKER-spin" in content:
        decoder._restart_clock(bounds)
        while True:
            pass
    if b"MARKER-half" in content:
        os.write(0, b'{"pages": [')
        os.kill(os.getpid(), signal.SIGKILL)
    _, is_once, witness = content.rpartition(b"MARKER-once ")
    if is_once and not Path(os.fsdecode(witness)).exists():
        Path(os.fsdecode(witness)).touch()
        os.kill(os.getpid(), signal.SIGABRT)
    if b"MARKER-slow" in content:
        spun_on_many_pages(bounds)
    return REAL(content, bounds=bounds, skipped=skipped)


decoder.decode_image = decode_image
decoder.main()
