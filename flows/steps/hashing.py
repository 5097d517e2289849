"""Digests, for state that must recognise an id or a list without storing it."""

import hashlib
from collections.abc import Sequence
from zlib import crc32


def digest(text: str) -> int:
    """Return a 64-bit digest of a text. It is never 0.

    >>> digest("e-77") == digest("e-77") != digest("e-78")
    True
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1


def short_digest(text: str) -> int:
    """Return a 32-bit digest of a text. It is never 0. Two texts share one with a chance of 1 in 4 billion.

    >>> short_digest("tea")
    2391201714
    """
    return crc32(text.encode()) or 1


def digest_of_list(items: Sequence[str]) -> int:
    """Return a signed 64-bit digest of the items of a list, in their order.

    >>> digest_of_list(["tea", "jam"]) == digest_of_list(["jam", "tea"])
    False
    """
    text = "\0".join(items)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
