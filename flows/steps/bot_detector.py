"""Bot detection: outliers among users by their rate of events and by their rate of repeated items."""

from collections.abc import Mapping
from math import exp2, inf, log2
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from river.stats import RollingQuantile

from flows.steps.hashing import digest
from recmodels.storage.tables import Table, dump_changes, dump_part

SLOTS: Final = 1 << 14
"""Number of users that are measured at a time."""
RECENT: Final = 8
"""Number of a user's latest items that are remembered to find repeats."""
RATE_HALF_LIFE, REPEATS_HALF_LIFE = 60.0, 3_600.0
"""Half-lives in seconds: people are fast only for a moment, and come back to an item within the hour."""
CLOCK_SKEW: Final = 3_600.0
"""Seconds. An event that is at most this late counts at the user's newest time. A later one shows that the newest time
was wrong."""
WINDOW: Final = 1_000
"""Number of visits of all users that a user is compared with."""
LEAST_VISITS: Final = 200
"""Number of visits before which no user is an outlier."""
LEAST_SPREAD: Final = 1.5
"""Least interquartile range on the log2 scale, so that a small excess is no outlier when all users are alike."""

MEASURES: Final = ("rate", "repeats")


class BotDetector:
    """Finds users whose decayed counts of events lie far above those of all users.

    Each user has two counts. The *rate* counts events, with a half-life of 60 s of event time. The *repeats* count
    events with one of the user's last `RECENT` items, with a half-life of 3,600 s. A *visit* is a run of one user's
    events, and ends with the next event of another user. Its final counts join the last `WINDOW` visits on a log2
    scale, log2(1 + count). Their quartiles are q1 and q3 (River's `RollingQuantile`). A user is an outlier while one of
    the counts is above q3 + fence_factor * max(q3 - q1, `LEAST_SPREAD`). A bot with 10,000 events in a row makes one
    visit, so it does not shift the quartiles. If many visits are like it, they do shift, and it is no outlier any more.

    A table of fixed size holds one digest of a user in each slot. A user takes over the slot of another as soon as
    that one's counts are below two events. Until then the new user is not measured.

    Args:
        fence_factor: Number of interquartile ranges above q3 at which the outliers begin. 3 is Tukey's "far out".

    >>> crowd = BotDetector(fence_factor=3.0)
    >>> people = [crowd.is_outlier(f"u{n}", f"i{n}", float(n)) for n in range(1_000)]
    >>> bot = [crowd.is_outlier("bot", "mine", 1_000 + n / 10) for n in range(100)]
    >>> sum(people), sum(bot[:20]), sum(bot[60:])
    (0, 0, 40)

    Source: Tukey, Exploratory Data Analysis, 1977, for the fences.
    """

    def __init__(self, fence_factor: float) -> None:
        self.fence_factor = fence_factor
        self.users = Table(
            "users",
            SLOTS,
            who=(np.uint64, ()),
            counts=(np.float64, (len(MEASURES) + 1,)),  # the last is the time of the counts
            recent=(np.uint32, (RECENT,)),
            turn=(np.uint8, ()),  # which of `recent` is the oldest
        )
        self.users.used = SLOTS
        arrays = self.users.arrays
        self._who, self._counts, self._recent, self._turn = (arrays[n] for n in ("who", "counts", "recent", "turn"))
        self._visits: NDArray[np.float64] = np.zeros((WINDOW, len(MEASURES)))
        self._seen = 0
        """Number of visits so far. The last `WINDOW` of them are in the ring."""
        self._last = 0
        """Digest of the user of the last event."""
        self._reached = (0.0, 0.0)
        self._quartiles = _no_visits()
        self.fences = [inf for _ in MEASURES]

    def is_outlier(self, user: str, item: str, time: float) -> bool:
        """Count an event, in the order of the log, and say whether its user is an outlier now.

        Args:
            user: Id of the user.
            item: Id of the item.
            time: Unix seconds.
        """
        who = digest(user)
        if who != self._last:
            self._end_visit()
        reached = self._count(who, item, time)
        self._last, self._reached = (who, reached) if reached is not None else (0, (0.0, 0.0))
        return reached is not None and (reached[0] > self.fences[0] or reached[1] > self.fences[1])

    def forget(self, user: str) -> None:
        """Remove a user. The user's visits stay in the quartiles."""
        who = digest(user)
        if self._last == who:
            self._last = 0
        if self._who[who % SLOTS] == who:
            self.users.empty(np.array([who % SLOTS]))

    def _count(self, who: int, item: str, time: float) -> tuple[float, float] | None:
        """Count an event, and return the user's counts on the log2 scale; None if another user has the slot."""
        slot = who % SLOTS
        owner, counts, recent = self._who.item(slot), self._counts[slot], self._recent[slot]
        rate, repeats, last = counts.tolist()
        if time > last:
            rate *= exp2((last - time) / RATE_HALF_LIFE)
            repeats *= exp2((last - time) / REPEATS_HALF_LIFE)
        if owner != who:
            if owner and rate + repeats >= 2.0:
                return None
            rate = repeats = last = 0.0
            self._who[slot] = who
            recent[:] = 0
        rate += 1.0
        known = crc32(item.encode()) or 1  # 0: no item yet
        if known in recent.tolist():
            repeats += 1.0
        else:
            turn = self._turn.item(slot)
            recent[turn], self._turn[slot] = known, (turn + 1) % RECENT
        if time < last <= time + CLOCK_SKEW:
            time = last
        counts[0], counts[1], counts[2] = rate, repeats, time
        self.users.dirty[slot] = 1
        return log2(1.0 + rate), log2(1.0 + repeats)

    def _end_visit(self) -> None:
        if self._last:
            self._visits[self._seen % WINDOW] = self._reached
            self._seen += 1
            self._learn(self._reached)

    def _learn(self, reached: tuple[float, float]) -> None:
        for quartiles, value in zip(self._quartiles, reached, strict=True):
            for quartile in quartiles:
                quartile.update(value)
        if self._seen >= LEAST_VISITS:
            self.fences = [
                _fence(lower.get() or 0.0, upper.get() or 0.0, self.fence_factor) for lower, upper in self._quartiles
            ]

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as arrays."""
        self.users.dirty[:] = 0
        return self.users.dump_rows(np.flatnonzero(self._who)) | self._rest()

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the users that changed since the last dump, and all visits, which are few."""
        return dump_changes([self.users]) | self._rest()

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return a part of the users, and all visits. See `flows.state.stateful`."""
        part, place = dump_part([self.users], place, size)
        return part | self._rest(), place

    def _rest(self) -> dict[str, NDArray[Any]]:
        visits = self._visits[: min(self._seen, WINDOW)]
        return {
            "visits": visits,
            "seen": np.array([self._seen, self._last], np.uint64),
            "reached": np.array(self._reached),
        }

    def load(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind."""
        self.users.load_rows(snapshot)
        self._seen, self._last = snapshot["seen"].tolist()
        self._reached = tuple(snapshot["reached"].tolist())
        visits, self._quartiles = snapshot["visits"], _no_visits()
        self._visits[: len(visits)] = visits
        for place in range(self._seen - len(visits), self._seen):
            self._learn(tuple(self._visits[place % WINDOW].tolist()))


def _no_visits() -> list[tuple[RollingQuantile, RollingQuantile]]:
    return [(RollingQuantile(0.25, WINDOW), RollingQuantile(0.75, WINDOW)) for _ in MEASURES]


def _fence(q1: float, q3: float, fence_factor: float) -> float:
    return q3 + fence_factor * max(q3 - q1, LEAST_SPREAD)
