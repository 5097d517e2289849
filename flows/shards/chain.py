"""Chain: the order of one shard's messages, on a topic that may hold repeats, gaps and messages of two processes.

A message continues the chain if it names the last one as its predecessor. All readers of the topic find the same chain.
"""

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from flows.shards.envelope import Envelope

Verdict: TypeAlias = Literal["next", "off", "gap"]
"""It continues the chain; it repeats a message, or follows one that does not count; or messages before it are gone."""
MOST_OFF: Final = 10_000
"""Number of messages off the chain that are remembered."""


@dataclass
class Chain:
    """The last message of a shard that counts.

    >>> def told(seq, id, after):
    ...     return Envelope(0, 2, 0, 7, "blend/1", 9, 4, seq, id, after, {}, 1, b"")
    >>> chain = Chain()
    >>> [chain.take(each) for each in [told(1, 5, 0), told(1, 5, 0), told(1, 6, 0), told(2, 8, 6), told(2, 7, 5)]]
    ['next', 'off', 'off', 'off', 'next']
    >>> chain.take(told(5, 20, 19)), chain.seq
    ('gap', 2)
    """

    seq: int = 0
    id: int = 0
    offset: int = -1
    """Its offset on the topic. -1: not known."""
    _off: set[int] = field(default_factory=set)

    def take(self, message: Envelope, offset: int = -1) -> Verdict:
        """Continue the chain with a message, if that is its place."""
        if message.after == self.id and message.seq == self.seq + 1:
            self.jump(message, offset)
            return "next"
        if message.seq > self.seq and message.after not in self._off:
            return "gap"
        if message.id != self.id and len(self._off) < MOST_OFF:
            self._off.add(message.id)
        return "off"

    def jump(self, message: Envelope, offset: int = -1) -> None:
        """Go on behind a message, whatever is missing before it."""
        self.seq, self.id, self.offset = message.seq, message.id, offset
