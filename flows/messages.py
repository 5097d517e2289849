"""What travels through the flow: raw bytes in, typed events, lists, and bytes out.

After `decode` no step asks whether a field exists or has the right type. The wire formats are described in the
README; how bytes become these types is in `flows.decode`, how a list becomes bytes in `flows.encode`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec


class Raw(NamedTuple):
    """One undecoded record and where it stands.

    A file counts as one topic with one partition: `topic` is the file's name without its endings and `offset` the
    number of the record from 0, so that a log replayed from a file and the same log read from a topic of that
    name have the same positions.
    """

    topic: str
    partition: int
    offset: int
    value: bytes | None

    @property
    def source(self) -> str:
        """The position as it is written in lists and dead letters: `topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class Interaction(msgspec.Struct, frozen=True, gc=False):
    """A user did something with an item."""

    user: str
    item: str
    timestamp: float
    """Unix seconds."""
    event: str = "interaction"
    value: float = 1.0
    id: str | None = None
    session: str | None = None
    context: dict[str, Any] | None = None
    source: str = ""
    arrived: float = 0.0
    """`time.perf_counter()` when the event was decoded: for measuring latency, never for learning."""


class ItemEvent(msgspec.Struct, frozen=True, gc=False):
    """An item's features or availability changed."""

    item: str
    timestamp: float
    available: bool | None = None
    """None: not said, leave it as it was."""
    features: dict[str, Any] | None = None
    source: str = ""


class Forget(msgspec.Struct, frozen=True, gc=False):
    """A user asked to be erased."""

    user: str
    timestamp: float
    source: str = ""
    arrived: float = 0.0


Event = Interaction | ItemEvent | Forget


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A record that could not be taken, and why. Its raw bytes are kept."""

    source: str
    reason: str
    """One of a small set of fixed phrases, so that rejects can be counted by reason."""
    field: str
    """The field at fault, or an empty string where the whole record is."""
    raw: bytes | None


class Outgoing(NamedTuple):
    """One encoded message for a sink. A `value` of None is a tombstone: a compacted topic forgets the key."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Ranked(NamedTuple):
    """What the model made of an event."""

    event: Interaction | Forget
    position: int | None
    """Where the event's item stood, from 0, in the user's list just before the event; -1 if it was not in it; None
    if the event is not scored."""
    items: Sequence[str] | None
    """The user's new list, the best first; None for a user who was erased."""
    scores: Sequence[float] | None
    why: Sequence[Mapping[str, float]] | None = None
    """For each item what speaks for it most, where lists are to say so."""


class Decided(NamedTuple):
    """A list, and whether it goes out."""

    ranked: Ranked
    is_emitted: bool
