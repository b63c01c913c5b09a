"""Files that break programs which read images: each made here, byte by byte where needed."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

NO_IMAGE = b"Scans of this cabinet are on the third shelf. This file was never an image.\n"
DJVU = b"AT&TFORM" + (32).to_bytes(4) + b"DJVUINFO" + bytes(24)
"""The beginning of an e-book of scans, in a format that is not read."""

FILE_LIST = b"drawing_list/crane.jpg\ncertificate/press.png\n"
"""Tesseract takes a text file for a list of images and reads those instead."""
WEB_PAGE = (
    b"<!doctype html>\n<html><head><title>Signed out</title></head>\n"
    b"<body><p>Your session has ended. Sign in again to download the scan.</p></body></html>\n"
)


def cut(data: bytes, *, percent: int) -> bytes:
    """Return the first part of a file, as a broken upload leaves it."""
    return data[: len(data) * percent // 100]


def flip_byte(data: bytes) -> bytes:
    """Return the file with one byte in its middle changed, as a bad disk leaves it."""
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0xFF
    return bytes(flipped)


def flat(width: int, height: int, *, level: int, kind: str = "PNG") -> bytes:
    """Return an image whose pixels are all alike."""
    out = io.BytesIO()
    Image.new("L", (width, height), level).save(out, kind)
    return out.getvalue()


def static(width: int, height: int, *, seed: int) -> bytes:
    """Return an image of pure noise, as a scanner with a torn cable sends it."""
    dots = np.random.default_rng(seed).integers(0, 2, (height, width), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(dots * 255).convert("1").save(out, "PNG")
    return out.getvalue()


def bomb(width: int, height: int) -> bytes:
    """Return a tiny PNG that unpacks to this many white pixels; no such image is ever in memory."""
    packer = zlib.compressobj(9)
    row = b"\x00" + b"\xff" * ((width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    """Return one PNG chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def plain_tiff(image: Image.Image) -> bytes:
    """Return an uncompressed TIFF: its directory stands first, so a cut loses only pixels."""
    out = io.BytesIO()
    image.save(out, "TIFF")
    return out.getvalue()
