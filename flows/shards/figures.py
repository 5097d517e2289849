"""Figures of a shard: what it has told its peers, and what it has learned from them."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class ShardFigures:
    """What metrics say of a link."""

    sent: int = 0
    """Messages sent."""
    sent_bytes: int = 0
    told: int = 0
    """Events in them."""
    relearned: int = 0
    """Events that were learned again, and that the peers knew already."""
    moved: int = 0
    """Events of users who came from another partition before."""
    unkeyed: int = 0
    """Events whose record has no key."""
    applied: Counter[int] = field(default_factory=Counter)
    """Events learned from each peer."""
    refused: Counter[str] = field(default_factory=Counter)
    """Messages that were not learned, by reason."""
    lost: Counter[int] = field(default_factory=Counter)
    """Messages of each peer that were gone before they were read."""
    snapshots_written: int = 0
    """Snapshots for peers."""
    snapshots_failed: int = 0
    """Snapshots for peers that could not be written."""
    taken_over: Counter[int] = field(default_factory=Counter)
    """Snapshots of each peer that were taken over."""
    heard: dict[int, float] = field(default_factory=dict)
    """`time.monotonic()` of the last message of each peer."""
