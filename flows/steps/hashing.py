"""A digest of an id: what is remembered where the id itself need not be known."""

import hashlib


def digest(text: str) -> int:
    """Digest a text to 64 bits, never 0.

    >>> digest("e-77") == digest("e-77") != digest("e-78")
    True
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1
