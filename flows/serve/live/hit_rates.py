"""Hit rates over the last minutes, for the live page."""

from collections import deque
from typing import Final, NamedTuple

BUCKET_SECONDS: Final = 5.0
"""Seconds that one bucket covers."""
MAX_BUCKETS: Final = 240
"""Number of buckets that are kept: 20 minutes."""
NAMES: Final = ("fresh", "served", "fallback")
"""`fresh`: the list made just before the event. `served`: the list that a look-up gave then. `fallback`: the list for
everybody."""


class Bucket(NamedTuple):
    """Counts of a few seconds, in the order of `NAMES`."""

    time: float
    """When it began, in Unix seconds."""
    scored: list[int]
    hits: list[int]


class HitRates:
    """Counts hits by time.

    >>> rates = HitRates()
    >>> rates.add("served", True, 100.0)
    >>> rates.add("served", False, 101.0)
    >>> rates.add("fresh", True, 107.0, scored=10, hits=4)
    >>> [(bucket.time, bucket.scored, bucket.hits) for bucket in rates.buckets]
    [(100.0, [0, 2, 0], [0, 1, 0]), (105.0, [10, 0, 0], [4, 0, 0])]
    """

    def __init__(self) -> None:
        self.buckets: deque[Bucket] = deque(maxlen=MAX_BUCKETS)

    def add(self, name: str, is_hit: bool, now: float, *, scored: int = 1, hits: int | None = None) -> None:
        """Count events.

        Args:
            name: One of `NAMES`.
            is_hit: Whether the event's item was in the list.
            now: Unix seconds.
            scored: Number of events.
            hits: Number of hits. None: as `is_hit` says.
        """
        start = now - now % BUCKET_SECONDS
        if not self.buckets or self.buckets[-1].time < start:
            self.buckets.append(Bucket(start, [0] * len(NAMES), [0] * len(NAMES)))
        place = NAMES.index(name)
        self.buckets[-1].scored[place] += scored
        self.buckets[-1].hits[place] += int(is_hit) if hits is None else hits
