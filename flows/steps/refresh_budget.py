"""Refresh budget: makes lists of idle users anew where that gains the most, at most so many per event.

While a user is idle, the list on the topic grows old. A refresh helps only if the user comes back soon and the new list
has more hits. Both are learned from users who came back. They are counted in four classes of
users, by the number of interactions, and in buckets of idle time that double in width:

- `p(k)`: the share of the users who reached bucket k and came back within it.
- `loss(k)`: of those, the share of hits of a list made at the return, less that of the list on the topic.

A refresh at the beginning of bucket k leaves a list that is younger than half the idle time. So its gain is about
`p(k) * (loss(k) - the mean loss of the younger buckets)`. The budget goes to the classes and buckets with the largest
gains, as in the fractional knapsack problem. There it goes to the users who reached the bucket last.

Only the order and the times of the events decide. Neither a clock nor the borders of batches matter.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.state.stateful import Snapshot
from flows.steps.hashing import short_digest
from flows.steps.staleness import BUCKETS, alternate, bucket_of
from recmodels.storage.bounded_table import BoundedTable
from recmodels.storage.tables import dump_changes, dump_part

FIRST: Final = 6
"""The first bucket in which lists are made anew: it begins at 32 seconds."""
EVENTS_PER_ROUND: Final = 8
"""Number of interactions between two rounds of refreshes."""
EVENTS_PER_PLAN: Final = 1_024
"""Number of interactions after which the gains are computed again."""
MAX_REFRESHES_PER_ROUND: Final = 32
"""Largest number of refreshes in one round. It bounds the delay of the next event."""
MAX_LOOKS_PER_ROUND: Final = 512
"""Number of idle users whose bucket changes in one round."""
MEMORY: Final = 262_144.0
"""Number of interactions at which all counts are halved, so that old returns fade."""
PRIOR: Final = 50.0
"""Number of returns without a loss that every bucket begins with."""
CLASSES: Final = 4
"""Classes of users by their number of interactions: 1, 2-4, 5-19, 20 and more."""
REACHED, RETURNED, COMPARED, FRESH, OWN, MERGED, FALLBACK = range(7)
"""Columns of the counts. The first two are users who reached a bucket, and who came back in it. The others are compared
lists, and hits of the fresh list, of the user's own list, of both merged, and of the fallback list."""


def class_of(events: int) -> int:
    """Return the class of a user by the number of interactions.

    >>> [class_of(events) for events in (1, 2, 4, 5, 19, 20)]
    [0, 1, 1, 2, 2, 3]
    """
    return (events >= 2) + (events >= 5) + (events >= 20)


class RefreshBudget:
    """Idle users, what is known of their return, and the refreshes that the budget pays for.

    Args:
        share: Refreshes per interaction.
        max_users: Number of users. Beyond it those who were idle longest are dropped.
        top: Items of a list.

    >>> budget = RefreshBudget(share=1.0, max_users=1_000, top=1)
    >>> def visit(user, time, position):
    ...     budget.observe(user, time, "news", position)
    ...     budget.hold(user, time, ["old"])
    ...     return budget.due()
    >>> made = [visit(f"u{n % 100}", 10.0 * n, 0) for n in range(5_000)]
    >>> sum(map(len, made[:1_023])), sum(map(len, made)) > 1_000
    (0, True)
    """

    def __init__(self, share: float, max_users: int, top: int) -> None:
        self.share = share
        self.top = top
        self.counts: NDArray[np.float64] = np.zeros((CLASSES, BUCKETS, 7))
        self.gain: NDArray[np.float64] = np.zeros((CLASSES, BUCKETS))
        """[CLASSES, BUCKETS] expected hits that one refresh at the beginning of a bucket gains."""
        self._least = np.inf  # gain from which the budget pays
        self._weight = 0.0  # interactions, as faded as the counts
        self._tokens = 0.0
        self._events = 0
        self._turn = 0
        self.now = 0.0
        self._fallback: Sequence[int] = ()
        self._table = BoundedTable(
            "idle",
            max_users,
            age="turn",
            seen=(np.float64, ()),  # time of the last interaction
            turn=(np.int64, ()),  # number of the entry in the queues that is valid
            events=(np.int64, ()),  # interactions so far
            bucket=(np.int64, ()),  # the one that the idle user reached last
            waits=(np.int64, ()),  # whether the list is to be made anew
            made=(np.int64, ()),  # whether it was made anew since
            items=(np.uint32, (top,)),
        )
        self._ahead: list[deque[tuple[int, int]]] = [deque() for _ in range(BUCKETS + 1)]
        self._pending: dict[tuple[int, int], list[tuple[int, int]]] = {}  # by class and bucket
        self._has_queues = True  # False: they are to be made from the table

    def observe(self, user: str, time: float, item: str, position: int | None) -> None:
        """Count a return.

        Args:
            user: Id of the user.
            time: Unix seconds of the interaction.
            item: Its item.
            position: Rank of the item in the list made just before, from 0, or -1. None: it was not scored.
        """
        row = self._table.row(user)
        if not row:
            return
        idle = self._table.arrays
        bucket = bucket_of(time - idle["seen"][row])
        counts = self.counts[class_of(int(idle["events"][row])), bucket]
        if bucket < FIRST:
            counts[REACHED] += 1.0
            counts[RETURNED] += 1.0
        elif idle["bucket"][row] == bucket:
            counts[RETURNED] += 1.0
        if position is not None and not idle["made"][row]:
            wanted = short_digest(item)
            counts[COMPARED] += 1.0
            counts[FRESH] += 0 <= position < self.top
            own = idle["items"][row].tolist()
            counts[OWN] += wanted in own
            counts[FALLBACK] += wanted in self._fallback
            counts[MERGED] += wanted in alternate(own, self._fallback, self.top)

    def hold(self, user: str, time: float, items: Sequence[str]) -> None:
        """Note the list after a user's interaction. The idle time begins.

        Args:
            user: Id of the user.
            time: Unix seconds.
            items: The list, the best item first.
        """
        if not self._has_queues:
            self._fill_queues()
        self.now = max(self.now, time)
        row = self._table.row(user) or self._table.add(user)
        self._turn += 1
        idle = self._table.arrays
        idle["seen"][row], idle["turn"][row] = self.now, self._turn
        idle["events"][row] += 1
        idle["bucket"][row] = idle["waits"][row] = idle["made"][row] = 0
        self._keep(row, items)
        self._ahead[FIRST].append((row, self._turn))

    def hold_again(self, user: str, items: Sequence[str]) -> None:
        """Note a list that was made without an interaction of its user."""
        row = self._table.row(user)
        if row:
            self._table.arrays["made"][row] = 1
            self._table.arrays["waits"][row] = 0
            self._keep(row, items)

    def hold_fallback(self, items: Sequence[str]) -> None:
        """Note the fallback list."""
        self._fallback = [short_digest(item) for item in items[: self.top]]

    def forget(self, user: str) -> None:
        """Keep nothing of a user."""
        row = self._table.row(user)
        if row:
            self._table.forget([row])

    @property
    def until_round(self) -> int:
        """Number of interactions up to the end of this round, from 1."""
        return EVENTS_PER_ROUND - self._events % EVENTS_PER_ROUND

    def due(self) -> list[str]:
        """Count one interaction, and return the users whose lists are to be made anew now."""
        self._events += 1
        self._weight += 1.0
        if self._weight >= MEMORY:
            self._weight *= 0.5
            self.counts *= 0.5
        if self._events % EVENTS_PER_PLAN == 0:
            self._plan()
        if self._events % EVENTS_PER_ROUND:
            return []
        self._advance()
        return self._spend()

    def _plan(self) -> None:
        """Compute the gain of each class and bucket, and from which gain on the budget pays."""
        counts = self.counts
        held = counts[..., [OWN, MERGED, FALLBACK]].max(axis=-1)  # what a reader shows who heeds the ages
        loss = (counts[..., FRESH] - held) / (counts[..., COMPARED] + PRIOR)
        younger = np.zeros_like(loss)
        for k in range(1, BUCKETS):
            younger[:, k] = 0.5 * younger[:, k - 1] + 0.5 * loss[:, k - 1]
        returns = counts[..., RETURNED] / np.maximum(counts[..., REACHED], 1.0)
        self.gain = returns * np.maximum(loss - younger, 0.0)
        self.gain[:, :FIRST] = 0.0
        gains = self.gain.ravel()
        best = np.argsort(-gains, kind="stable")
        spent = np.cumsum(counts[..., REACHED].ravel()[best]) / max(self._weight, 1.0)
        last = min(int(np.searchsorted(spent, self.share)), len(best) - 1)
        self._least = float(gains[best[last]])

    def _pays(self, gain: float) -> bool:
        return gain > 0.0 and gain >= self._least

    def _advance(self) -> None:
        """Move users on to the bucket that they have reached."""
        idle, looks = self._table.arrays, MAX_LOOKS_PER_ROUND
        turns, seen = idle["turn"], idle["seen"]
        for bucket in range(FIRST, BUCKETS):
            ahead, latest = self._ahead[bucket], self.now - 2.0 ** (bucket - 1)
            while ahead and looks:
                row, turn = ahead[0]
                if turns[row] == turn:
                    if seen[row] > latest:
                        break
                    looks -= 1
                    kind = class_of(int(idle["events"][row]))
                    pays = self._pays(float(self.gain[kind, bucket]))
                    idle["bucket"][row], idle["waits"][row] = bucket, pays
                    self._table.dirty[row] = 1
                    self.counts[kind, bucket, REACHED] += 1.0
                    self._ahead[bucket + 1].append((row, turn))
                    if pays:
                        self._pending.setdefault((kind, bucket), []).append((row, turn))
                ahead.popleft()
        entries = sum(map(len, self._ahead)) + sum(map(len, self._pending.values()))
        if entries > 4 * len(self._table) + MAX_LOOKS_PER_ROUND:
            self._fill_queues()

    def _spend(self) -> list[str]:
        """Return the users whose lists the budget pays for now."""
        self._tokens = min(self._tokens + self.share * EVENTS_PER_ROUND, float(MAX_REFRESHES_PER_ROUND))
        idle, made = self._table.arrays, list[str]()
        for kind, bucket in sorted(self._pending, key=lambda cell: (-self.gain[cell], cell)):
            pending = self._pending[kind, bucket]
            while pending and self._tokens >= 1.0 and self._pays(float(self.gain[kind, bucket])):
                row, turn = pending.pop()
                if idle["turn"][row] == turn and idle["bucket"][row] == bucket and idle["waits"][row]:
                    self._tokens -= 1.0
                    made.append(str(self._table.ids.names[row]))
        return made

    def _keep(self, row: int, items: Sequence[str]) -> None:
        digests = [short_digest(item) for item in items[: self.top]]
        self._table.arrays["items"][row] = digests + [0] * (self.top - len(digests))
        self._table.dirty[row] = 1

    def _fill_queues(self) -> None:
        """Make the queues anew from the table, without entries that are void."""
        self._has_queues = True
        idle = self._table.arrays
        rows = np.array(self._table.ids.taken(), np.int64)
        self._pending.clear()
        for queue in self._ahead:
            queue.clear()
        for row in rows[np.argsort(idle["turn"][rows], kind="stable")].tolist():
            bucket, entry = int(idle["bucket"][row]), (row, int(idle["turn"][row]))
            self._ahead[max(bucket + 1, FIRST)].append(entry)
            if idle["waits"][row]:
                self._pending.setdefault((class_of(int(idle["events"][row])), bucket), []).append(entry)

    def dump(self) -> Snapshot:
        """Return the whole state."""
        self._table.dirty[: self._table.used] = 1
        return self.dump_changes()

    def dump_changes(self) -> Snapshot:
        """Return what has changed since the last dump."""
        return {**dump_changes([self._table]), **self._numbers()} if self._events else {}

    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        """Return about `size` bytes of the state from a place on, and the place behind them: 0 at the end."""
        part, place = dump_part([self._table], place, size)
        return {**part, **self._numbers()}, place

    def _numbers(self) -> dict[str, NDArray[Any]]:
        return {
            "idle.counts": self.counts.copy(),
            "idle.gain": self.gain.copy(),
            "idle.fallback": np.array(self._fallback, np.int64),
            "idle.numbers": np.array([self._events, self._turn, self.top]),
            "idle.sums": np.array([self._least, self._weight, self._tokens, self.now]),
        }

    def load(self, snapshot: Snapshot) -> None:
        """Take over what a dump gave, unless lists had another length then."""
        if "idle.numbers" not in snapshot or int(snapshot["idle.numbers"][2]) != self.top:
            return
        self._events, self._turn = snapshot["idle.numbers"][:2].tolist()
        self._least, self._weight, self._tokens, self.now = snapshot["idle.sums"].tolist()
        self.counts, self.gain = snapshot["idle.counts"].copy(), snapshot["idle.gain"].copy()
        self._fallback = snapshot["idle.fallback"].tolist()
        self._table.load_rows(snapshot)
        self._has_queues = False
