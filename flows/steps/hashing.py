"""Digest of an id, for state that must recognise an id without storing it."""

import hashlib


def digest(text: str) -> int:
    """Return a 64-bit digest of a text. It is never 0.

    >>> digest("e-77") == digest("e-77") != digest("e-78")
    True
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1
