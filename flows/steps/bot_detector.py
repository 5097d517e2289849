"""The crowd: how fast its users usually are and how often they come back to the same items, and who is far outside."""

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
"""So many users are measured at a time."""
RECENT: Final = 8
"""Items of a user that are remembered, to see repeats."""
RATE_HALF_LIFE, REPEATS_HALF_LIFE = 60.0, 3_600.0
"""Seconds: a person is fast for a moment, and comes back within the hour."""
CLOCK_SKEW: Final = 3_600.0
"""Seconds: an event that is late by no more counts as of its user's newest; else that one's clock was wrong."""
WINDOW: Final = 1_000
"""Visits of others that a user is compared with."""
LEAST_VISITS: Final = 200
"""Before so many nobody is far outside."""
LEAST_SPREAD: Final = 1.5
"""Least width of the middle half, in doublings: where all are alike, a little more is not yet far outside."""

MEASURES: Final = ("rate", "repeats")


class BotDetector:
    """Measures users by two counts that fade with event time, and says who is far outside what others do.

    A user's *rate* counts events with a half-life of a minute, the *repeats* count those of them that came back to one
    of the user's last `RECENT` items with one of an hour. What a user had reached at the end of a visit, when somebody
    else's event came, is compared in doublings, log2(1 + count), with the quartiles q1 and q3 of the last `WINDOW`
    visits (River's `RollingQuantile`): far outside is who is above q3 + far · max(q3 − q1, `LEAST_SPREAD`). A bot that
    fires ten thousand events in a row is one visit, so it does not become what is usual; if visits like it become
    usual, it is outside no longer.

    Users are known by digests, each in one slot of a table of fixed size. A slot that is taken is given to another
    user as soon as less than two events are left of its owner's counts; until then the other is not measured.

    Args:
        far: How many widths of the middle half above it is far outside: 3 is Tukey's "far out".

    >>> crowd = BotDetector(far=3.0)
    >>> people = [crowd.is_outlier(f"u{n}", f"i{n}", float(n)) for n in range(1_000)]
    >>> bot = [crowd.is_outlier("bot", "mine", 1_000 + n / 10) for n in range(100)]
    >>> sum(people), sum(bot[:20]), sum(bot[60:])
    (0, 0, 40)

    Source: Tukey, Exploratory Data Analysis, 1977, for the fences.
    """

    def __init__(self, far: float) -> None:
        self.far = far
        self.users = Table(
            "users",
            SLOTS,
            who=(np.uint64, ()),
            counts=(np.float64, (len(MEASURES) + 1,)),  # and the time as of which they count
            recent=(np.uint32, (RECENT,)),
            turn=(np.uint8, ()),  # which of `recent` is the oldest
        )
        self.users.used = SLOTS
        arrays = self.users.arrays
        self._who, self._counts, self._recent, self._turn = (arrays[n] for n in ("who", "counts", "recent", "turn"))
        self._visits: NDArray[np.float64] = np.zeros((WINDOW, len(MEASURES)))
        self._seen = 0
        """How many visits there have been; the last `WINDOW` of them are in the ring."""
        self._last = 0
        """Whose event came last."""
        self._reached = (0.0, 0.0)
        self._quartiles = _no_visits()
        self.fences = [inf for _ in MEASURES]

    def is_outlier(self, user: str, item: str, time: float) -> bool:
        """Take note of an event, in the order of the log, and say whether its user is far outside by now."""
        who = digest(user)
        if who != self._last:
            self._end_visit()
        reached = self._count(who, item, time)
        self._last, self._reached = (who, reached) if reached is not None else (0, (0.0, 0.0))
        return reached is not None and (reached[0] > self.fences[0] or reached[1] > self.fences[1])

    def forget(self, user: str) -> None:
        """Keep nothing of a user; what the quartiles of all visits gained stays."""
        who = digest(user)
        if self._last == who:
            self._last = 0
        if self._who[who % SLOTS] == who:
            self.users.empty(np.array([who % SLOTS]))

    def _count(self, who: int, item: str, time: float) -> tuple[float, float] | None:
        """Count an event, and return the user's counts in doublings; None if the user's slot is another's."""
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
            self.fences = [_fence(lower.get() or 0.0, upper.get() or 0.0, self.far) for lower, upper in self._quartiles]

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as arrays."""
        self.users.dirty[:] = 0
        return self.users.dump_rows(np.flatnonzero(self._who)) | self._rest()

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return what has changed since the last time: users, and all visits, which are few."""
        return dump_changes([self.users]) | self._rest()

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return a part of all users, and all visits; see `flows.state.stateful`."""
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
        """Take over what one of the dumps gave."""
        self.users.load_rows(snapshot)
        self._seen, self._last = snapshot["seen"].tolist()
        self._reached = tuple(snapshot["reached"].tolist())
        visits, self._quartiles = snapshot["visits"], _no_visits()
        self._visits[: len(visits)] = visits
        for place in range(self._seen - len(visits), self._seen):
            self._learn(tuple(self._visits[place % WINDOW].tolist()))


def _no_visits() -> list[tuple[RollingQuantile, RollingQuantile]]:
    return [(RollingQuantile(0.25, WINDOW), RollingQuantile(0.75, WINDOW)) for _ in MEASURES]


def _fence(q1: float, q3: float, far: float) -> float:
    return q3 + far * max(q3 - q1, LEAST_SPREAD)
