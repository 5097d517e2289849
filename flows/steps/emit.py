"""Emit: the list policy. It decides which lists are sent, and never changes the model."""

from collections.abc import Sequence
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
from flows.steps.hashing import digest_of_list, short_digest
from flows.steps.list_budget import BURST_SECONDS, ListBudget
from flows.steps.list_change import gain_of, share_of_change
from flows.steps.staleness import Staleness
from recmodels.storage.id_table import RESERVED, IdTable
from recmodels.storage.tables import Table, dump_changes, dump_part

MOST_WITHDRAWN: Final = 32
"""Largest number of stale lists that are withdrawn after one event."""
EVICTION_DIVISOR: Final = 64
"""When the table of users is full, one row in this number is evicted at a time."""

DEPTH: Final = 10
"""Number of items of a sent list that are remembered, where it matters how much a list has changed."""

Policy: TypeAlias = Literal["every", "changed", "requests"]
"""Emit a list after every event, or only if its items or their order changed since the last one, or only the answers to
requests. The fallback list is emitted only if its items or its ages changed. An answer is always emitted."""


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
    least_change: float = 0.0
    """Share of a list's weight that must be new (`flows.steps.list_change`). 0: no limit."""
    budget: float = 0.0
    """Lists per second of event time (`flows.steps.list_budget`). 0: no limit."""
    burst: float = BURST_SECONDS
    """Seconds of unspent budget that are saved up."""
    by_score: bool = False
    """Whether the use of a list is the sum of the scores of its new items. They must be probabilities."""


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
        self._sees_change = rules.least_change > 0 or rules.budget > 0
        if self._sees_change:
            columns["items"] = (np.uint32, (DEPTH,))
        self._budget = ListBudget(rules.budget, rules.burst) if rules.budget else None
        self._last = Table("lists", rules.max_users + RESERVED, self._users, **columns)
        self._turn = 0
        is_limited = rules.interval or rules.withdraw_stale or self._sees_change
        self._lets_all_out = rules.policy == "every" and not is_limited
        self._staleness = Staleness() if rules.fallback else None
        self._ages = FallbackAges()  # of the fallback list on the topic
        self._now = -inf
        self._by_age: dict[int, None] = {}  # rows of users who have a list, the oldest list first

    @override
    def process(self, batch: list[Ranked]) -> list[Decided]:
        if (least := self.rules.min_score) is not None:
            batch = [above(ranked, least) for ranked in batch]
        if self._staleness is None and self._budget is None:
            return [Decided(ranked, self._decide(ranked)) for ranked in batch]
        decided: list[Decided] = []
        for ranked in batch:
            if self._staleness is None:
                decided.append(Decided(ranked, self._decide(ranked)))
            else:
                decided.append(self._follow(ranked, self._staleness))
            if self._budget is not None:
                decided += [Decided(each, True) for each in self._let_out(self._budget, ranked.event.timestamp)]
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

    def _let_out(self, budget: ListBudget, now: float) -> list[Ranked]:
        """Return the lists that the budget allows now, and remember that they are sent."""
        due = budget.due(now)
        for ranked in due:
            user, items = ranked.event.user, ranked.items or ()
            row = self._users.row(user)
            self._note(row or self._new_row(user), user, self._digest(ranked), ranked.event.timestamp, items)
            self.counters.emitted += 1
            if self._staleness is not None:
                self._staleness.hold(user, ranked.event.timestamp, items)
        return due

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
            return False
        self.counters.emitted += 1
        if isinstance(ranked.event, Refresh):
            is_fallback = ranked.event.user == FALLBACK_USER
            self.counters.fallbacks += is_fallback
            self.counters.refreshed += ranked.items is not None and not is_fallback
            self.counters.withdrawn += ranked.items is None
        return True

    def _remember(self, ranked: Ranked) -> bool:
        """Say whether a list is sent now, and if so, remember it. Otherwise it waits, or it is counted as kept in."""
        event, budget = ranked.event, self._budget
        user = event.user
        row = self._users.row(user)
        if ranked.items is None:
            self._forget([row] if row else [])
            if budget is not None:
                self.counters.suppressed += budget.forget(user)
            return True
        digest = self._digest(ranked)
        if not self._passes(ranked, row, digest):
            self.counters.suppressed += 1
            return False
        if budget is not None and user != FALLBACK_USER:
            if not isinstance(event, Request):
                self.counters.suppressed += budget.wait(ranked, self._gain(ranked, row))
                return False
            budget.spend()
            self.counters.suppressed += budget.forget(user)
        self._note(row or self._new_row(user), user, digest, event.timestamp, ranked.items)
        return True

    def _passes(self, ranked: Ranked, row: int, digest: int) -> bool:
        """Say whether the policy lets a list out."""
        event, rules, last = ranked.event, self.rules, self._last.arrays
        if isinstance(event, Request):
            return True
        is_due, is_of_user = isinstance(event, Refresh) and event.is_due, event.user != FALLBACK_USER
        if rules.policy == "requests" and is_of_user and not (row and is_due):
            return False
        if not row:
            return not (rules.withdraw_stale and is_due)  # the list was withdrawn
        if is_due:
            return True
        is_same = (rules.policy == "changed" or not is_of_user) and digest == last["digest"][row]
        is_soon = abs(event.timestamp - last["time"][row]) < rules.interval  # abs: a clock may go back
        return not (is_same or is_soon or (rules.least_change > 0 and is_of_user and self._is_near(ranked, row)))

    def _is_near(self, ranked: Ranked, row: int) -> bool:
        """Say whether a list has changed too little since the user's last one."""
        return share_of_change((ranked.items or ())[:DEPTH], self._held(row)) <= self.rules.least_change

    def _gain(self, ranked: Ranked, row: int) -> float:
        """Return the use of a list. A user without a list is shown the fallback list."""
        items, held = (ranked.items or ())[:DEPTH], self._held(row or self._users.row(FALLBACK_USER))
        if self.rules.by_score:
            return gain_of(items, (ranked.scores or ())[:DEPTH], held)
        return share_of_change(items, held)

    def _held(self, row: int) -> set[int]:
        return set(self._last.arrays["items"][row].tolist()) - {0} if row else set()

    def _digest(self, ranked: Ranked) -> int:
        by_change = self.rules.policy == "changed" or ranked.event.user == FALLBACK_USER
        return digest_of_list([*(ranked.items or ()), *_texts(ranked.ages)]) if by_change else 0

    def _note(self, row: int, user: str, digest: int, time: float, items: Sequence[str]) -> None:
        """Remember a list that is sent."""
        last = self._last.arrays
        time = max(time, float(last["time"][row])) if last["turn"][row] else time
        self._turn += 1
        last["digest"][row], last["time"][row], last["turn"][row] = digest, time, self._turn
        if self._sees_change:
            digests = [short_digest(item) for item in items[:DEPTH]]
            last["items"][row] = digests + [0] * (DEPTH - len(digests))
        self._last.dirty[row] = 1
        if self.rules.withdraw_stale and user != FALLBACK_USER:
            self._by_age.pop(row, None)  # to the end
            self._by_age[row] = None

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
        if self._budget is not None:
            changes |= self._budget.dump_changes()
        return changes and changes | self._numbers()

    @override
    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        start = place
        part, place = dump_part([self._last], place, size)
        if self._staleness is not None and not start:
            part |= self._staleness.dump()
        if self._budget is not None and not start:
            part |= self._budget.dump()
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
        if self._budget is not None:
            self._budget.load(snapshot)
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
