"""Refresh: recomputes lists of idle users and the fallback list, so that the output topic does not go stale.

A list is made when its user acts. While the user is idle, the list ages, and a new user has no list at all. So this
step inserts refreshes into the stream, and the next step, which holds the model, answers them like events:

- The fallback list, under the key "", which no user has. A reader shows it to users without a list.
- The list of a user who has been idle for some time, and again after each time four times as long.
- At last a withdrawal: a tombstone. From then on a reader shows the fallback list.

About the same number of users come back within each doubling of the idle time. So increasing waits keep the age of a
list in proportion to the idle time, and the cost grows with its logarithm. The order and the times of the events alone
decide when there is a refresh. Neither a clock nor the borders of batches matter.
"""

import heapq
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import numpy as np
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from typing_extensions import override

from flows.messages import FALLBACK_USER, Forget, Interaction, Prepared, Refresh
from flows.state.stateful import Snapshot, StatefulStep, StoreFor, stateful
from recmodels.storage.id_table import RESERVED, IdTable
from recmodels.storage.tables import Table, dump_changes, dump_part

EVENTS_PER_ROUND: Final = 8
"""Number of interactions between two rounds of refreshes. The model learns those of one round in one call."""
MAX_REFRESHES_PER_ROUND: Final = 32
"""Largest number of refreshes in one round. It bounds the delay of the next event."""
MAX_LOOKS_PER_ROUND: Final = 8 * MAX_REFRESHES_PER_ROUND
"""Number of entries of the queue that one round looks at. Most are outdated, since their user has come back."""
EVENTS_PER_FALLBACK: Final = 5 * EVENTS_PER_ROUND
"""Number of interactions from one fallback list to the next. So it adds at most 0.025 messages an event."""
IDLE_TIME_FACTOR: Final = 4.0
"""Factor by which the idle time before each refresh is longer than the one before."""
EVICTION_DIVISOR: Final = 64
"""When the table of users is full, one row in this number is evicted at a time: the users who were idle longest."""


@dataclass(frozen=True, kw_only=True)
class Refreshing:
    """Configuration of `refresh`.

    Args:
        after: Idle time by event time, in seconds, after which a user's list is made again. 0: never.
        times: Number of refreshes. After the last the list is withdrawn. With 0 it is withdrawn at once.
        fallback: Whether there is a fallback list. With `after` there always is.
        max_users: Number of users that are remembered. Lists of evicted users stay as they are.
    """

    after: float
    times: int
    fallback: bool
    max_users: int


@operator
def refresh(step_id: str, up: KeyedStream[Prepared], rules: Refreshing, store: StoreFor) -> KeyedStream[Prepared]:
    """Insert refreshes between the events.

    Args:
        step_id: Id of the step. It names stored state.
        up: Prepared events by shard.
        rules: Configuration.
        store: Opens the stored state of a step.
    """
    return stateful("due", up, lambda: Refresher(rules), store)


class Refresher(StatefulStep[Prepared, Prepared]):
    """Tracks the idle time of each user who has a list.

    Args:
        rules: The configuration.

    >>> refresher = Refresher(Refreshing(after=60.0, times=1, fallback=False, max_users=1_000))
    >>> events = [Interaction("ann", "tea", 0.0), *(Interaction("bob", "jam", 10.0 * t) for t in range(1, 40))]
    >>> for request in (event for event, example in refresher.process([Prepared(event, None) for event in events])):
    ...     if isinstance(request, Refresh) and request.user != FALLBACK_USER:
    ...         print(request.user, request.timestamp, request.withdraw)
    ann 70.0 False
    ann 310.0 True
    """

    def __init__(self, rules: Refreshing) -> None:
        self.after = rules.after
        self.times = rules.times
        self.fallback = rules.fallback or rules.after > 0
        self._users = IdTable(rules.max_users + RESERVED)
        columns: dict[str, Any] = {
            "seen": (np.float64, ()),  # time of the user's last event
            "stage": (np.int32, ()),  # refreshes since
            "due": (np.float64, ()),  # of the one valid entry in the queue ...
            "turn": (np.int64, ()),  # ... and its number
        }
        self._away = Table("away", rules.max_users + RESERVED, self._users, **columns)
        self._queue: list[tuple[float, int, int]] = []  # due, turn, row; an entry with another turn is void
        self._turn = 0
        self._events = 0
        self._now = -inf

    @override
    def process(self, batch: list[Prepared]) -> list[Prepared]:
        if not self.fallback:
            return batch
        out: list[Prepared] = []
        for prepared in batch:
            out.append(prepared)
            event = prepared.event
            if isinstance(event, Interaction):
                self._note(event)
                if self._events % EVENTS_PER_ROUND == 0:
                    out.extend(Prepared(request, None) for request in self._requests(event))
            elif isinstance(event, Forget) and (row := self._users.row(event.user)):
                self._release([row])
        return out

    def _note(self, event: Interaction) -> None:
        self._events += 1
        self._now = max(self._now, event.timestamp)
        if not self.after:
            return
        row, away = self._users.row(event.user), self._away.arrays
        is_new = row == 0
        if is_new:
            row = self._new_row(event.user)
        away["seen"][row] = self._now
        self._away.dirty[row] = 1
        if is_new or away["stage"][row]:  # otherwise the present entry comes early enough
            away["stage"][row] = 0
            self._enqueue(row, self._now + self.after)

    def _requests(self, event: Interaction) -> list[Refresh]:
        now, made = self._now, []
        if self._events % EVENTS_PER_FALLBACK == 0:
            made.append(Refresh(FALLBACK_USER, now, event.at, event.arrived))
        away, looks = self._away.arrays, MAX_LOOKS_PER_ROUND
        while self._queue and self._queue[0][0] <= now and len(made) < MAX_REFRESHES_PER_ROUND and looks:
            _, turn, row = heapq.heappop(self._queue)
            looks -= 1
            if away["turn"][row] != turn:
                continue
            absence = now - float(away["seen"][row])
            if absence >= self._absence(self.times):
                made.append(Refresh(str(self._users.names[row]), now, event.at, event.arrived, withdraw=True))
                self._release([row])
                continue
            if absence >= self.after:
                made.append(Refresh(str(self._users.names[row]), now, event.at, event.arrived))
            stage = next(k for k in range(self.times + 1) if self._absence(k) > absence)
            away["stage"][row] = stage
            self._enqueue(row, float(away["seen"][row]) + self._absence(stage))
        return made

    def _absence(self, stage: int) -> float:
        """Return the idle time in seconds before a refresh, by the number of refreshes so far."""
        return self.after * IDLE_TIME_FACTOR**stage

    def _enqueue(self, row: int, due: float) -> None:
        self._turn += 1
        away = self._away.arrays
        away["due"][row], away["turn"][row] = due, self._turn
        self._away.dirty[row] = 1
        heapq.heappush(self._queue, (due, self._turn, row))
        if len(self._queue) > 4 * len(self._users) + EVICTION_DIVISOR:  # more void entries than a queue should carry
            self._fill_queue()

    def _fill_queue(self) -> None:
        rows, away = self._users.taken(), self._away.arrays
        self._queue = list(zip(away["due"][rows].tolist(), away["turn"][rows].tolist(), rows, strict=True))
        heapq.heapify(self._queue)

    def _new_row(self, user: str) -> int:
        if self._users.is_full:
            seen = self._away.arrays["seen"][RESERVED : self._away.used]
            count = max(1, len(seen) // EVICTION_DIVISOR)
            longest = np.argpartition(seen, count - 1)[:count] + RESERVED
            self._release(sorted(longest.tolist()))
        row = self._users.add(user)
        self._away.used = len(self._users.names)
        return row

    def _release(self, rows: list[int]) -> None:
        self._away.empty(np.array(rows, np.int64))
        self._users.release(rows)

    @override
    def dump(self) -> Snapshot:
        self._away.dirty[: self._away.used] = 1
        return self.dump_changes()

    @override
    def dump_changes(self) -> Snapshot:
        return self._with_clock(dump_changes([self._away])) if self._events else {}

    @override
    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        part, place = dump_part([self._away], place, size)
        return self._with_clock(part), place

    def _with_clock(self, snapshot: Snapshot) -> Snapshot:
        return {**snapshot, "counters": np.array([self._turn, self._events]), "now": np.array([self._now])}

    @override
    def load(self, snapshot: Snapshot) -> None:
        """Load a dump. If refreshes were turned off, ignore it, so that the stored rows go away."""
        if not self.fallback:
            return
        self._turn, self._events = snapshot["counters"].tolist()
        self._now = float(snapshot["now"][0])
        self._away.load_rows(snapshot)
        self._fill_queue()
