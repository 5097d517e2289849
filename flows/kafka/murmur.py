"""Murmur2: the hash by which Kafka's own clients choose the partition of a key."""

from typing import Final

_SEED: Final = 0x9747B28C
_FACTOR: Final = 0x5BD1E995
_WORD: Final = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that a Java client chooses for a key, and the producers of this project.

    >>> [partition_of(key, 4) for key in (b"ann", b"bob", b"")]
    [2, 2, 1]
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Return the hash of bytes, as 32 bits.

    >>> murmur2(b"21") - (1 << 32), murmur2(b"foobar") - (1 << 32)
    (-973932308, -790332482)
    """
    size = len(data)
    found = _SEED ^ size
    whole = size - size % 4
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _FACTOR & _WORD
        word = (word ^ word >> 24) * _FACTOR & _WORD
        found = found * _FACTOR & _WORD ^ word
    if whole < size:
        found = (found ^ int.from_bytes(data[whole:], "little")) * _FACTOR & _WORD
    found = (found ^ found >> 13) * _FACTOR & _WORD
    return found ^ found >> 15
