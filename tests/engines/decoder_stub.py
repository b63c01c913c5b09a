"""A stand-in for the decoder: it dies at a file that holds a marker, and is the real one else."""

import os
import signal
import sys
import time

from scanmill.children import decoder

REAL = decoder.decode_image


def decode_image(path, *, stem, bounds):
    data = path.read_bytes()
    if b"MARKER-crash" in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"MARKER-spin" in data:
        decoder._restart_clock(bounds)
        while True:
            pass
    if b"MARKER-half" in data:
        sys.stdout.write('{"pages": [')
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if b"MARKER-once" in data:
        witness = path.with_suffix(".seen")
        if not witness.exists():
            witness.touch()
            os.kill(os.getpid(), signal.SIGABRT)
    return REAL(path, stem=stem, bounds=bounds)


decoder.decode_image = decode_image
if sys.argv[1:]:
    sys.exit(decoder.main())
time.sleep(600)
