"""Emit: the list policy. It decides which lists are sent, and never changes the model."""

from dataclasses import dataclass
from math import inf, isnan, nan
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from numpy.typing import NDArray
from typing_extensions import override

from flows.messages import FALLBACK_USER, Decided, FallbackAges, Forget, Interaction, Ranked, Refresh, Request
from flows.monitoring.counters import Counters
from flows.state.stateful import Snapshot, StatefulStep, StoreFor, stateful
from flows.steps.hashing import digest_of_list
from flows.steps.staleness import Staleness
from recmodels.storage.id_table import RESERVED, IdTable
from recmodels.storage.tables import Table, dump_changes, dump_part

MOST_WITHDRAWN: Final = 32
"""Largest number of stale lists that are withdrawn after one event."""
EVICTION_DIVISOR: Final = 64
"""When the table of users is full, one row in this number is evicted at a time."""

Policy: TypeAlias = Literal["every", "changed"]
"""Emit a list after every event, or only if its items or their order changed since the last one. The fallback list is
emitted only if its items or its ages changed. The answer to a request is always emitted."""


@dataclass(frozen=True, kw_only=True)
class Emission:
    """Configuration of `emit`."""

    policy: Policy = "every"
    interval: float = 0.0
    """Least event time between two lists of one user, in seconds. 0: no limit."""
    max_users: int = 1_000_000
    """Number of users that are remembered. Beyond it those with the oldest lists are evicted."""
    min_score: float | None = None
    """Items below this score are left out, and a list may become empty. None: all items stay."""
    fallback: bool = False
    """Whether there is a fallback list. It gives the age of a user's list from which it serves better."""
    withdraw_stale: bool = False
    """Whether a list is withdrawn at that age, for readers who cannot compare ages."""


@operator
def emit(
    step_id: str, up: KeyedStream[Ranked], rules: Emission, counters: Counters, store: StoreFor
) -> KeyedStream[Decided]:
    """Decide for each list whether it is sent, and with which items.

    Args:
        step_id: Id of the step. It names stored state.
        up: Lists of the model, by shard.
        rules: Configuration.
        counters: Counts lists.
        store: Opens the stored state of a step.
    """
    return stateful("lists", up, lambda: Emitter(rules, counters), store)


class Emitter(StatefulStep[Ranked, Decided]):
    """Remembers the last emitted list of each user and its time, and decides about the next one.

    Args:
        rules: Configuration.
        counters: Counts lists.

    >>> from flows.messages import Interaction
    >>> emitter = Emitter(Emission(policy="changed"), Counters())
    >>> event = Interaction("u1", "i1", 10.0)
    >>> [d.is_emitted for d in emitter.process([Ranked(event, None, items, [1.0]) for items in ("a", "a", "b")])]
    [True, False, True]
    """

    def __init__(self, rules: Emission, counters: Counters) -> None:
        self.rules = rules
        self.counters = counters
        self._users = IdTable(rules.max_users + RESERVED)
        columns: dict[str, Any] = {"digest": (np.int64, ()), "time": (np.float64, ()), "turn": (np.int64, ())}
        self._last = Table("lists", rules.max_users + RESERVED, self._users, **columns)
        self._turn = 0
        self._lets_all_out = rules.policy == "every" and not rules.interval and not rules.withdraw_stale
        self._staleness = Staleness() if rules.fallback else None
        self._ages = FallbackAges()  # of the fallback list on the topic
        self._now = -inf
        self._by_age: dict[int, None] = {}  # rows of users who have a list, the oldest list first

    @override
    def process(self, batch: list[Ranked]) -> list[Decided]:
        if (least := self.rules.min_score) is not None:
            batch = [above(ranked, least) for ranked in batch]
        if self._staleness is None:
            return [Decided(ranked, self._decide(ranked)) for ranked in batch]
        decided: list[Decided] = []
        for ranked in batch:
            decided.append(self._follow(ranked, self._staleness))
            if self.rules.withdraw_stale and isinstance(ranked.event, Interaction):
                decided += [Decided(each, self._decide(each)) for each in self._stale(ranked.event)]
        return decided

    def _follow(self, ranked: Ranked, staleness: Staleness) -> Decided:
        """Decide about a list, and learn from the item that its user came back for."""
        event = ranked.event
        user = event.user
        if user == FALLBACK_USER:
            ranked = ranked._replace(ages=staleness.ages())
        elif isinstance(event, Interaction) and ranked.is_target:
            staleness.observe(user, event.timestamp, event.item)
        is_out = self._decide(ranked)
        if ranked.items is None:
            if isinstance(event, Forget):  # a withdrawn list is still followed: is it right to withdraw it?
                staleness.forget(user)
        elif is_out and user == FALLBACK_USER:
            staleness.hold_fallback(ranked.items)
            self._ages = ranked.ages or FallbackAges()
        elif is_out and not (isinstance(event, Request) and event.is_of_replay):
            staleness.hold(user, event.timestamp, ranked.items)
        return Decided(ranked, is_out)

    def _stale(self, event: Interaction) -> list[Ranked]:
        """Return withdrawals of the lists that are so old that the fallback list serves better."""
        self._now = max(self._now, event.timestamp)
        if self._ages.stale_after is None:
            return []
        stale: list[Refresh] = []
        times = self._last.arrays["time"]
        for row in self._by_age:
            if self._now - times[row] < self._ages.stale_after or len(stale) == MOST_WITHDRAWN:
                break
            user = str(self._users.names[row])
            stale.append(Refresh(user, self._now, event.at, event.arrived, withdraw=True))
        return [Ranked(refresh, None, None, None) for refresh in stale]

    def _decide(self, ranked: Ranked) -> bool:
        if isinstance(ranked.event, Request) and ranked.event.is_of_replay:
            self.counters.emitted += 1
            return True
        is_out = (self._lets_all_out and ranked.event.user != FALLBACK_USER) or self._remember(ranked)
        if not is_out:
            self.counters.suppressed += 1
            return False
        self.counters.emitted += 1
        if isinstance(ranked.event, Refresh):
            is_fallback = ranked.event.user == FALLBACK_USER
            self.counters.fallbacks += is_fallback
            self.counters.refreshed += ranked.items is not None and not is_fallback
            self.counters.withdrawn += ranked.items is None
        return True

    def _remember(self, ranked: Ranked) -> bool:
        """Say whether a list is sent, and if so, remember it."""
        user, time = ranked.event.user, ranked.event.timestamp
        row, last = self._users.row(user), self._last.arrays
        if ranked.items is None:
            self._forget([row] if row else [])
            return True
        by_change = self.rules.policy == "changed" or user == FALLBACK_USER
        digest = digest_of_list([*ranked.items, *_texts(ranked.ages)]) if by_change else 0
        if row:
            is_same = by_change and digest == last["digest"][row]
            is_soon = abs(time - last["time"][row]) < self.rules.interval  # abs: a clock may go back
            is_awaited = isinstance(ranked.event, Request) or (
                isinstance(ranked.event, Refresh) and ranked.event.is_due
            )
            if (is_same or is_soon) and not is_awaited:
                return False
            time = max(time, float(last["time"][row]))
        elif self.rules.withdraw_stale and isinstance(ranked.event, Refresh) and ranked.event.is_due:
            return False  # the list was withdrawn
        else:
            row = self._new_row(user)
        self._turn += 1
        last["digest"][row], last["time"][row], last["turn"][row] = digest, time, self._turn
        self._last.dirty[row] = 1
        if self.rules.withdraw_stale and user != FALLBACK_USER:
            self._by_age.pop(row, None)  # to the end
            self._by_age[row] = None
        return True

    def _new_row(self, user: str) -> int:
        if self._users.is_full:
            turns = self._last.arrays["turn"][RESERVED : self._last.used]
            count = max(1, len(turns) // EVICTION_DIVISOR)
            oldest = np.argpartition(turns, count - 1)[:count] + RESERVED
            self._forget(sorted(oldest.tolist()))
        row = self._users.add(user)
        self._last.used = len(self._users.names)
        return row

    def _forget(self, rows: list[int]) -> None:
        self._last.empty(np.array(rows, np.int64))
        self._users.release(rows)
        for row in rows:
            self._by_age.pop(row, None)

    @override
    def dump(self) -> Snapshot:
        self._last.dirty[: self._last.used] = 1
        return self.dump_changes()

    @override
    def dump_changes(self) -> Snapshot:
        changes = dump_changes([self._last])
        if self._staleness is not None:
            changes |= self._staleness.dump_changes()
        return changes and changes | self._numbers()

    @override
    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        start = place
        part, place = dump_part([self._last], place, size)
        if self._staleness is not None and not start:
            part |= self._staleness.dump()
        return part | self._numbers(), place

    def _numbers(self) -> dict[str, NDArray[Any]]:
        ages = [nan if age is None else age for age in self._ages]
        return {"turn": np.array([self._turn]), "ages": np.array([*ages, self._now])}

    @override
    def load(self, snapshot: Snapshot) -> None:
        self._turn = int(snapshot["turn"][0])
        self._last.load_rows(snapshot)
        if "ages" in snapshot:  # not in state of version 0.1.0
            *ages, self._now = snapshot["ages"].tolist()
            self._ages = FallbackAges(*(None if isnan(age) else age for age in ages))
        if self._staleness is not None:
            self._staleness.load(snapshot)
        if self.rules.withdraw_stale:
            turns = self._last.arrays["turn"]
            rows = [row for name, row in self._users.rows.items() if name != FALLBACK_USER]
            self._by_age = dict.fromkeys(sorted(rows, key=lambda row: int(turns[row])))


def _texts(ages: FallbackAges | None) -> list[str]:
    """Return the ages as texts for a digest. Empty if none is known, as in version 0.1.0."""
    return [] if ages is None or ages == FallbackAges() else [repr(tuple(ages))]


def above(ranked: Ranked, min_score: float) -> Ranked:
    """Leave out of a list what has a lower score, or one that is no number.

    >>> above(Ranked(Refresh("u1", 5.0), None, ["tea", "jam", "pie"], [0.5, 0.2, 0.1]), 0.2)[2:4]
    (['tea', 'jam'], [0.5, 0.2])
    """
    if ranked.items is None or ranked.scores is None:
        return ranked
    kept = [place for place, score in enumerate(ranked.scores) if score >= min_score]
    return ranked._replace(
        items=[ranked.items[place] for place in kept],
        scores=[ranked.scores[place] for place in kept],
        why=ranked.why and [ranked.why[place] for place in kept],
    )
