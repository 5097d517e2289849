"""Identity of a shard: which of how many a process is."""

import re
import socket
from dataclasses import dataclass
from typing import Final

from flows.errors import UsageError

FORM: Final = re.compile(r"(auto|\d{1,6})/(\d{1,6})")
ORDINAL: Final = re.compile(r"-(\d{1,6})$")
MOST: Final = 1_024
"""Largest number of shards."""


@dataclass(frozen=True)
class Shard:
    """A shard, and the number of all shards.

    >>> str(Shard(1, 4)), Shard(1, 4).owns(9), Shard(1, 4).name
    ('1/4', True, 'shard-1')
    """

    index: int
    """From 0."""
    count: int

    def owns(self, partition: int) -> bool:
        """Whether a partition of an input topic is this shard's."""
        return partition % self.count == self.index

    @property
    def name(self) -> str:
        """Name of the shard's folder in the recovery directory."""
        return f"shard-{self.index}"

    @property
    def peers(self) -> list[int]:
        """The other shards."""
        return [other for other in range(self.count) if other != self.index]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def shard_named(text: str, host: str | None = None) -> Shard:
    """Read the setting `shard`.

    Args:
        text: `I/N` with I from 0 to N - 1, or `auto/N`: then I is the number at the end of the host's name.
        host: The host's name. None: that of this machine.

    Raises:
        UsageError: It is no shard.

    >>> shard_named("2/8"), shard_named("auto/4", host="freshrank-3.freshrank.svc")
    (Shard(index=2, count=8), Shard(index=3, count=4))
    >>> shard_named("3/3")
    Traceback (most recent call last):
    ...
    flows.errors.UsageError: setting shard: expected 0/3 to 2/3; got 3/3. Shards count from 0.
    """
    found = FORM.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"setting shard: expected I/N, such as 0/4, or auto/N; got {text!r}.")
    count = int(found[2])
    if not 1 <= count <= MOST:
        raise UsageError(f"setting shard: expected 1 to {MOST:,} shards; got {count:,}.")
    if found[1] == "auto":
        host = (host or socket.gethostname()).partition(".")[0]
        if (ordinal := ORDINAL.search(host)) is None:
            raise UsageError(
                f"setting shard: expected a host name that ends with its number, such as freshrank-0, for {text}; got "
                f"{host!r}. Write the number: 0/{count}."
            )
        index = int(ordinal[1])
    else:
        index = int(found[1])
    if index >= count:
        raise UsageError(
            f"setting shard: expected 0/{count} to {count - 1}/{count}; got {index}/{count}. Shards count from 0."
        )
    return Shard(index, count)
