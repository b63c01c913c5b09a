"""A stand-in for the tesseract program: it misbehaves for a page whose first pixel is a marker.

Any other page is "read" as WORDS words of CONFIDENCE, unless the first pixel is one of READS.
"""

import os
import signal
import sys
import time
from pathlib import Path

from PIL import Image

CRASH, SPIN, SLEEP, FLOOD, OMIT, RESIZE, FAIL, GARBLE, ALLOCATE = range(1, 10)
POOR, MANY, LONE, JUMBLED, BAD = 21, 22, 23, 24, 25
READS = {POOR: (8, 40.0), MANY: (200, 70.0), LONE: (1, 96.0), JUMBLED: (8, 64.0), BAD: (40, 50.0)}
READS_AS_BLOCK = (30, 90.0)
WORDS, CONFIDENCE = 3, 91.5


def pixels(path):
    """Return width, height and the first pixel of a page."""
    with Image.open(path) as picture:
        return *picture.size, picture.getpixel((0, 0))


def flood():
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    while True:
        os.write(2, b"flood " * 10_000)


def spin():
    while True:
        pass


MISBEHAVIOURS = {
    CRASH: lambda: os.kill(os.getpid(), signal.SIGSEGV),
    SPIN: spin,
    SLEEP: lambda: time.sleep(600),
    FLOOD: flood,
    FAIL: lambda: sys.exit("the page cannot be read"),
    ALLOCATE: lambda: bytearray(1 << 40),
}


def rows(number, path):
    width, height, marker = pixels(path)
    MISBEHAVIOURS.get(marker, int)()
    if marker == OMIT:
        return
    if marker == RESIZE:
        width += 1
    yield ["1", number, 0, 0, 0, 0, 0, 0, width, height, "-1", ""]
    count, confidence = READS.get(marker, (WORDS, CONFIDENCE))
    if marker == JUMBLED and sys.argv[sys.argv.index("--psm") + 1] == "6":
        count, confidence = READS_AS_BLOCK
    for word in range(count):
        yield ["5", number, 1, 1, 1, word, 0, 0, 9, 12, confidence, f"word{word}"]
    yield ["5", number, 2, 1, 1, 0, 0, 0, 9, 20, "95.0", "  "]


def main():
    if sys.argv[1] == "--version":
        sys.stdout.write("tesseract 9.9\n leptonica-0\n")
    elif sys.argv[1] == "--list-langs":
        folder = os.environ["TESSDATA_PREFIX"]
        sys.stdout.write(f'List of available languages in "{folder}" (1):\neng\n')
    else:
        table = "level\tpage_num\n"
        garbled = False
        with Path(f"{sys.argv[0]}.calls").open("a") as log:
            log.write(f"{len(Path(sys.argv[1]).read_text().split())}\n")
        for number, path in enumerate(Path(sys.argv[1]).read_text().split(), start=1):
            garbled |= pixels(path)[2] == GARBLE
            for row in rows(number, path):
                table += "\t".join(map(str, row)) + "\n"
        Path(f"{sys.argv[2]}.tsv").write_bytes(b"\xff\xfe" if garbled else table.encode())


if __name__ == "__main__":
    main()
