"""Puts every document into one split, for ever, by a salted hash of its id."""

import hashlib

SPLITS = ("train", "validation", "test")


def split_of(document_id: str, *, salt: str, validation_share: float, test_share: float) -> str:
    """Return the split of a document: all its pages share it, and no later drop changes it."""
    digest = hashlib.blake2b(f"{salt}\0{document_id}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest) / 2**64
    if place < test_share:
        return "test"
    return "validation" if place < test_share + validation_share else "train"
