"""Refresh: asks the model for lists between the events, so that the topic does not grow old.

A list is made when its user does something. Until the user comes back others go on, and a new user has no list at all.
So this step puts refreshes into the stream. The step behind it holds the model and answers them like events:

- the fallback list, under the key "", which no user can have: a reader takes it for users without a list;
- a list whose user has been away for some time, again after four times as long, and so on a few times;
- in the end a withdrawal, a tombstone: from then on the fallback list stands in.

About as many users come back within each doubling of the time. So waiting ever longer keeps every list about as old,
relative to the absence, at a cost that grows with its logarithm. Only the order and the times of the events decide when
there is a refresh: no clock, no timer, and no border between batches.
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
"""Requests come after every so many interactions: the events between are learned in one call of the model."""
MAX_REFRESHES_PER_ROUND: Final = 32
"""Most requests of one round: what bounds the time that an event may have to wait for lists of others."""
MAX_LOOKS_PER_ROUND: Final = 8 * MAX_REFRESHES_PER_ROUND
"""So many entries of the queue are looked at in one round; most say that the user has been back meanwhile."""
EVENTS_PER_FALLBACK: Final = 5 * EVENTS_PER_ROUND
"""Interactions from one fallback list to the next. So it adds at most 0.025 messages an event."""
IDLE_TIME_FACTOR: Final = 4.0
"""A user must be away so many times longer for the next refresh."""
EVICTION_DIVISOR: Final = 64
"""When all users' rows are taken, one in so many is given up at a time: those who have been away longest."""


@dataclass(frozen=True, kw_only=True)
class Refreshing:
    """Which lists are made without an event of their user.

    Args:
        after: Idle time, by event time, after which a user's list is asked for, in seconds; 0: never.
        times: Number of refreshes. The list is withdrawn after the last; with 0 at once.
        fallback: Whether there is a fallback list. With `after` there always is.
        max_users: Number of users that are remembered. Lists of those given up stay as they are.
    """

    after: float
    times: int
    fallback: bool
    max_users: int


@operator
def refresh(step_id: str, up: KeyedStream[Prepared], rules: Refreshing, store: StoreFor) -> KeyedStream[Prepared]:
    """Put requests for lists between the events."""
    return stateful("due", up, lambda: Refresher(rules), store)


class Refresher(StatefulStep[Prepared, Prepared]):
    """Knows of each user whose list is out how long they have been away.

    Args:
        rules: Which lists are made.

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
        if is_new or away["stage"][row]:  # else the entry in the queue is early enough
            away["stage"][row] = 0
            self._enqueue(row, self._now + self.after)

    def _requests(self, event: Interaction) -> list[Refresh]:
        now, made = self._now, []
        if self._events % EVENTS_PER_FALLBACK == 0:
            made.append(Refresh(FALLBACK_USER, now, event.source, event.arrived))
        away, looks = self._away.arrays, MAX_LOOKS_PER_ROUND
        while self._queue and self._queue[0][0] <= now and len(made) < MAX_REFRESHES_PER_ROUND and looks:
            _, turn, row = heapq.heappop(self._queue)
            looks -= 1
            if away["turn"][row] != turn:
                continue
            absence = now - float(away["seen"][row])
            if absence >= self._absence(self.times):
                made.append(Refresh(str(self._users.names[row]), now, event.source, event.arrived, withdraw=True))
                self._release([row])
                continue
            if absence >= self.after:
                made.append(Refresh(str(self._users.names[row]), now, event.source, event.arrived))
            stage = next(k for k in range(self.times + 1) if self._absence(k) > absence)
            away["stage"][row] = stage
            self._enqueue(row, float(away["seen"][row]) + self._absence(stage))
        return made

    def _absence(self, stage: int) -> float:
        """How long a user must have been away for a stage."""
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
        """Take over what a dump gave; where nothing is refreshed any more, nothing, so that the files empty."""
        if not self.fallback:
            return
        self._turn, self._events = snapshot["counters"].tolist()
        self._now = float(snapshot["now"][0])
        self._away.load_rows(snapshot)
        self._fill_queue()
