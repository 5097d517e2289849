"""Staleness: learns, from users who come back, the age at which the fallback list serves better than a user's own.

A user's list stays on the topic until the user comes back. The item of that return shows which list would have been a
hit: the user's own, the fallback list, or both merged. Each return is counted in the bucket of the list's age. Buckets
double in width, from one second to years. Two ages follow from the counts. From `merge_after` on, a reader should merge
both lists. From `stale_after` on, a reader should take the fallback list alone.

Only a sample of the users is followed, chosen by a hash of the id. So memory is bounded, and long absences count in
full. A table of recent users would lose those who stay away. The result depends on the order and the times of the
events alone.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from flows.messages import FallbackAges
from flows.state.stateful import Snapshot
from flows.steps.hashing import short_digest
from recmodels.storage.id_table import RESERVED, IdTable
from recmodels.storage.tables import Table, dump_changes

BUCKETS: Final = 32
"""Number of buckets. Bucket 0 holds ages below 1 s, bucket k those from 2^(k - 1) s to 2^k s."""
DEPTH: Final = 10
"""Number of items of a list that count."""
MOST_USERS: Final = 32_768
"""Largest number of followed users. Beyond it half of them are dropped, by a hash of the id."""
MEMORY: Final = 4_096.0
"""Number of returns in a bucket at which its counts are halved, so that old returns fade."""
OWN, MERGED, FALLBACK, RETURNS = range(4)
"""Columns of the counts: hits in each list, and returns."""
MERGE_FROM, STALE_FROM = np.triu_indices(BUCKETS + 1)
"""The buckets at which both ages can begin: each pair in which the second is not before the first."""


def bucket_of(age: float) -> int:
    """Return the bucket of an age in seconds.

    >>> [bucket_of(age) for age in (0.0, 0.9, 1.0, 2.0, 3.9, 4.0, 1e12)]
    [0, 0, 1, 2, 2, 3, 31]
    """
    return min(int(max(age, 0.0)).bit_length(), BUCKETS - 1)


def alternate(own: Sequence[Any], fallback: Sequence[Any], length: int) -> list[Any]:
    """Merge two lists by taking from them in turn, the user's own first, each item once.

    Args:
        own, fallback: The lists, the best item first.
        length: Largest length of the merged list.

    >>> alternate(["a", "b", "c"], ["x", "a"], 3)
    ['a', 'x', 'b']
    """
    pairs = zip_longest(own, fallback)
    return list(dict.fromkeys(item for pair in pairs for item in pair if item is not None))[:length]


def heeded(own: Sequence[str], fallback: Sequence[str], age: float, ages: FallbackAges | None) -> Sequence[str]:
    """Return the list of a reader who follows the ages on the fallback list.

    Args:
        own, fallback: The lists, the best item first.
        age: Age of the user's own list in seconds.
        ages: Ages on the fallback list. None: there is no fallback list.

    >>> ages = FallbackAges(merge_after=60.0, stale_after=600.0)
    >>> [heeded(["a", "b"], ["x", "y"], age, ages) for age in (59.0, 60.0, 600.0)]
    [['a', 'b'], ['a', 'x'], ['x', 'y']]
    """
    if ages is None:
        return own
    if ages.stale_after is not None and age >= ages.stale_after:
        return fallback
    if ages.merge_after is not None and age >= ages.merge_after:
        return alternate(own, fallback, max(len(own), len(fallback)))
    return own


class Staleness:
    """Follows users' lists on the topic, and counts hits of each kind of list by the age of the user's list.

    Attributes:
        counts: Hits of each list, and returns, by bucket of age; shape (`BUCKETS`, 4).

    >>> staleness = Staleness()
    >>> staleness.hold_fallback(["news"])
    >>> for n in range(200):
    ...     staleness.hold(f"user {n}", 0.0, ["old"])
    ...     staleness.observe(f"user {n}", 5_000.0, "news")
    >>> staleness.ages()
    FallbackAges(merge_after=4096.0, stale_after=None)
    """

    def __init__(self, most_users: int = MOST_USERS) -> None:
        self.most_users = most_users
        self.counts: NDArray[np.float64] = np.zeros((BUCKETS, 4))
        self._fallback: Sequence[Any] = ()
        self._fallback_digests: Sequence[int] = ()
        self._users = IdTable(most_users + RESERVED)
        columns: dict[str, Any] = {"time": (np.float64, ()), "items": (np.uint32, (DEPTH,))}
        self._held = Table("held", most_users + RESERVED, self._users, **columns)
        self._lists: dict[int, Sequence[str]] = {}  # by row; lists whose digests are not in the table yet
        self._thinned = 0  # number of low bits of a user's hash that must be 0 for the user to be followed
        self._is_changed = False

    def observe(self, user: str, time: float, item: str) -> None:
        """Count the item of a user's return.

        Args:
            user: Id of the user.
            time: Unix seconds of the event.
            item: Item of the event.
        """
        row = self._users.row(user)
        if not row:
            return
        own: Sequence[Any] | None = self._lists.get(row)
        fallback: Sequence[Any] = self._fallback
        wanted: Any = item
        if own is None:
            own, fallback, wanted = self._digests(row), self._fallback_digests, short_digest(item)
        counts = self.counts[bucket_of(time - self._held.arrays["time"][row])]
        place = own.index(wanted) if wanted in own else DEPTH
        other = fallback.index(wanted) if wanted in fallback else DEPTH
        counts[RETURNS] += 1.0
        if place < DEPTH:
            counts[OWN] += 1.0
        if other < DEPTH:
            counts[FALLBACK] += 1.0
        nearer = min(place, other)
        if nearer < DEPTH // 2 or (nearer < DEPTH and wanted in alternate(own[:DEPTH], fallback, DEPTH)):
            counts[MERGED] += 1.0
        if counts[RETURNS] >= MEMORY:
            counts *= 0.5
        self._is_changed = True

    def hold(self, user: str, time: float, items: Sequence[str]) -> None:
        """Note the list that the topic now holds for a user.

        Args:
            user: Id of the user.
            time: Unix seconds of the list's event.
            items: The list, the best item first.
        """
        row = self._users.row(user)
        if not row:
            if not self._is_followed(user):
                return
            if self._users.is_full:
                self._thin()
                if not self._is_followed(user):
                    return
            row = self._users.add(user)
            self._held.used = len(self._users.names)
        self._held.arrays["time"][row] = time
        self._held.dirty[row] = 1
        self._lists[row] = items
        self._is_changed = True

    def hold_fallback(self, items: Sequence[str]) -> None:
        """Note the fallback list that the topic now holds."""
        self._fallback = list(items[:DEPTH])
        self._fallback_digests = [short_digest(item) for item in self._fallback]
        self._is_changed = True

    def forget(self, user: str) -> None:
        """Remove a user whose list is no longer on the topic."""
        row = self._users.row(user)
        if row:
            self._release([row])

    def ages(self) -> FallbackAges:
        """Return the ages with the most hits so far. Ties go to the user's own list."""
        return best_ages(self.counts)

    def _is_followed(self, user: str) -> bool:
        return not self._thinned or not crc32(user.encode()) & ((1 << self._thinned) - 1)

    def _thin(self) -> None:
        """Halve the sample of followed users."""
        while self._users.is_full:
            self._thinned += 1
            self._release([row for name, row in list(self._users.rows.items()) if not self._is_followed(name)])

    def _release(self, rows: list[int]) -> None:
        self._held.empty(np.array(rows, np.int64))
        self._users.release(rows)
        for row in rows:
            self._lists.pop(row, None)
        self._is_changed = True

    def _digests(self, row: int) -> list[int]:
        return [digest for digest in self._held.arrays["items"][row].tolist() if digest]

    def _write_digests(self) -> None:
        for row in self._held.changed_rows().tolist():
            if row in self._lists:
                digests = [short_digest(item) for item in self._lists[row][:DEPTH]]
                self._held.arrays["items"][row] = digests + [0] * (DEPTH - len(digests))

    def dump(self) -> Snapshot:
        """Return the whole state."""
        self._write_digests()
        self._held.dirty[: self._held.used] = 1
        self._is_changed = True
        return self.dump_changes()

    def dump_changes(self) -> Snapshot:
        """Return the rows that changed since the last dump."""
        if not self._is_changed:
            return {}
        self._is_changed = False
        self._write_digests()
        return {
            **dump_changes([self._held]),
            "stale.counts": self.counts.copy(),
            "stale.thinned": np.array([self._thinned]),
            "stale.fallback": np.frombuffer("\0".join(self._fallback).encode(), np.uint8),
        }

    def load(self, snapshot: Snapshot) -> None:
        """Load a dump. State of version 0.1.0 has no data of this step."""
        if "stale.counts" not in snapshot:
            return
        self.counts = snapshot["stale.counts"].copy()
        self._thinned = int(snapshot["stale.thinned"][0])
        text = snapshot["stale.fallback"].tobytes().decode()
        self.hold_fallback(text.split("\0") if text else [])
        self._held.load_rows(snapshot)
        self._lists.clear()


def best_ages(counts: NDArray[np.float64]) -> FallbackAges:
    """Return the two ages with the most hits.

    Args:
        counts: Hits in the user's own, the merged and the fallback list, by bucket of age; shape (`BUCKETS`, 3 or
            more).
    """
    own, merged, fallback = (np.concatenate([[0.0], np.cumsum(counts[:, column])]) for column in range(RETURNS))
    hits = own[MERGE_FROM] + (merged[STALE_FROM] - merged[MERGE_FROM]) + (fallback[-1] - fallback[STALE_FROM])
    last = len(hits) - 1 - int(hits[::-1].argmax())  # the latest ages among equals
    merge_from, stale_from = int(MERGE_FROM[last]), int(STALE_FROM[last])
    return FallbackAges(
        merge_after=_edge(merge_from) if merge_from < stale_from else None,
        stale_after=_edge(stale_from) if stale_from < BUCKETS else None,
    )


def _edge(bucket: int) -> float:
    """Return the age in seconds at which a bucket begins."""
    return 0.0 if bucket == 0 else float(1 << (bucket - 1))
