"""Budget of lists: a number per second of event time, spent on the most useful lists first.

Lists wait, one for each user: the newest. Whenever the budget allows one more, the most useful list goes out. Among
equals it is the newest, since its user is active. Time is that of the events, so a replay gives what the job gives.
"""

import heapq
import time
from collections.abc import Mapping
from math import inf
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.messages import Ranked, Refresh
from recmodels.storage.records import Records

MOST_WAITING: Final = 10_000
"""Number of lists that wait. Beyond it the one that came first is given up."""
BURST_SECONDS: Final = 60.0
"""Seconds of unspent budget that are saved up, unless the settings say otherwise."""


class ListBudget:
    """Holds lists until the budget allows them.

    Args:
        rate: Lists per second of event time.
        burst: Seconds of unspent budget that are saved up.
        most: Number of lists that can wait.

    >>> from flows.messages import Interaction
    >>> budget = ListBudget(rate=0.1)
    >>> for user, gain, at in [("ann", 0.2, 0.0), ("bob", 0.1, 1.0), ("eve", 0.3, 2.0)]:
    ...     dropped = budget.wait(Ranked(Interaction(user, "tea", at), None, ["jam"], [gain]), gain)
    ...     print([list_.event.user for list_ in budget.due(at)])
    ['ann']
    []
    []
    >>> [list_.event.user for list_ in budget.due(11.0)], [list_.event.user for list_ in budget.due(21.0)]
    (['eve'], ['bob'])
    """

    def __init__(self, rate: float, burst: float = BURST_SECONDS, most: int = MOST_WAITING) -> None:
        self.rate = rate
        self.burst = burst
        self._waiting = Records("budget.lists", most)
        self._queue: list[tuple[float, int, str]] = []  # -gain, -turn, user; void if the user's turn is another
        self._turn = 0
        self._saved = 1.0
        self._now = -inf
        self._is_changed = False

    def wait(self, ranked: Ranked, gain: float) -> int:
        """Let a list wait, in place of its user's older one.

        Args:
            ranked: The list of an interaction or of a refresh.
            gain: Use of the list. More useful lists go first.

        Returns:
            Number of lists that are given up for it.
        """
        event = ranked.event
        assert ranked.items is not None
        assert ranked.scores is not None
        before = len(self._waiting)
        self._waiting.remove(event.user)  # the new one is the newest
        self._turn += 1
        why = None if ranked.why is None else [dict(reasons) for reasons in ranked.why]
        at = None if event.at is None else list(event.at)
        known = [list(ranked.items), list(ranked.scores), why, event.timestamp, at, gain, self._turn]
        self._waiting[event.user] = known
        heapq.heappush(self._queue, (-gain, -self._turn, event.user))
        if len(self._queue) > 4 * len(self._waiting) + 64:
            self._fill_queue()
        self._is_changed = True
        return before + 1 - len(self._waiting)

    def forget(self, user: str) -> int:
        """Give up the list of a user. Returns the number of lists: 0 or 1."""
        before = len(self._waiting)
        self._waiting.remove(user)
        self._is_changed = True
        return before - len(self._waiting)

    def spend(self) -> None:
        """Take one list from the budget, which goes out whatever is left of it."""
        self._saved = max(self._saved - 1.0, -self.rate * self.burst)
        self._is_changed = True

    def due(self, now: float) -> list[Ranked]:
        """Return the lists that go out now, the most useful first.

        Args:
            now: Time of the newest event in Unix seconds. Earlier times count as the latest one.
        """
        if now > self._now:
            if self._now > -inf:
                self._saved += (now - self._now) * self.rate
            self._now = now
            self._is_changed = True
        due: list[Ranked] = []
        while self._saved >= 1.0 and self._queue:
            _, turn, user = heapq.heappop(self._queue)
            known = self._waiting.get(user)
            if known is None or known[-1] != -turn:
                continue
            self._waiting.remove(user)
            self._saved -= 1.0
            items, scores, why, timestamp, at, _, _ = known
            at = None if at is None else (at[0], at[1], at[2])
            due.append(Ranked(Refresh(user, timestamp, at, time.perf_counter()), None, items, scores, why))
        # A list that waited through a quiet time would have gone out during it. So the bound comes after those.
        self._saved = min(self._saved, max(1.0, self.rate * self.burst))
        return due

    def __len__(self) -> int:
        return len(self._waiting)

    def _fill_queue(self) -> None:
        self._queue = [(-known[-2], -known[-1], user) for user, known in self._waiting.items()]
        heapq.heapify(self._queue)

    def _numbers(self) -> dict[str, NDArray[Any]]:
        return {"budget.numbers": np.array([self._turn, self._saved, self._now])}

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state."""
        return self._waiting.dump() | self._numbers()

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return what has changed since the last dump."""
        if not self._is_changed:
            return {}
        self._is_changed = False
        return self._waiting.dump_changes() | self._numbers()

    def load(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind. State without a budget begins with none waiting."""
        if "budget.numbers" in snapshot:
            turn, self._saved, self._now = snapshot["budget.numbers"].tolist()
            self._turn = int(turn)
            self._waiting.load(snapshot)
            self._fill_queue()
