"""What travels between the link of a shard, its learner and its snapshot."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec


class PeerDelta(NamedTuple):
    """What a peer has learned, in its place."""

    shard: int
    seq: int
    id: int
    offset: int
    events: int
    delta: bytes
    positions: Mapping[str, int] = MappingProxyType({})
    reading: int = 0
    """Number of peer snapshots that were taken over before it was read."""


class StoredLink(msgspec.Struct):
    """What a snapshot holds of a link."""

    generation: int = 0
    topic_id: str = ""
    own: tuple[int, int, int] = (0, 0, -1)
    """Number, id and offset of the last own message."""
    positions: dict[str, int] = {}
    """Offset of the next event of each input partition."""
    peers: dict[int, tuple[int, int, int]] = {}
    known: dict[str, int] = {}
    """Offset, by input partition, below which the peers know all events. This shard learns them again."""
    told: dict[int, dict[str, int]] = {}
    """Where each peer was in the input with the last of its messages that is learned."""
    is_whole: bool = True
    """Whether no message of a peer was left out."""
