"""Emit: the list policy. It decides which lists go out, and never changes the model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from typing_extensions import override

from flows.messages import FALLBACK_USER, Decided, Ranked, Refresh, Request
from flows.monitoring.counters import Counters
from flows.state.stateful import Record, StatefulStep, StoreFor, keep
from recmodels.storage.id_table import RESERVED, IdTable
from recmodels.storage.tables import Table, dump_changes, dump_part

GIVEN_UP: Final = 64
"""When all users' rows are taken, one in so many is given up at a time."""

Policy: TypeAlias = Literal["every", "changed"]
"""Emit a list after every event, or only if its items are others, or in another order, than those last emitted. The
list for strangers is only ever emitted if it has changed. The answer to a request is always emitted: somebody waits."""


@dataclass(frozen=True, kw_only=True)
class Emission:
    """Which lists go out: the arguments of `Emitter`."""

    policy: Policy
    interval: float
    max_users: int
    min_score: float | None


@operator
def emit(
    step_id: str, up: KeyedStream[Ranked], rules: Emission, counters: Counters, store: StoreFor
) -> KeyedStream[Decided]:
    """Decide for each list whether it goes out, and with which items."""
    return keep("lists", up, lambda: Emitter(counters=counters, **vars(rules)), store)


class Emitter(StatefulStep[Ranked, Decided]):
    """Knows of each user what was emitted last and when.

    Args:
        policy: "every" or "changed".
        interval: Seconds, by the events' time, between two lists of one user; 0: no limit.
        max_users: So many users are known. Those whose lists are the oldest are given up for new ones.
        counters: Counts lists.
        min_score: Items below this score are left out, and a list may be left empty; None: all stay.

    >>> from flows.messages import Interaction
    >>> emitter = Emitter("changed", 0.0, 1_000, Counters())
    >>> event = Interaction("u1", "i1", 10.0)
    >>> [d.is_emitted for d in emitter.process([Ranked(event, None, items, [1.0]) for items in ("a", "a", "b")])]
    [True, False, True]
    """

    def __init__(
        self, policy: Policy, interval: float, max_users: int, counters: Counters, min_score: float | None = None
    ) -> None:
        self.policy = policy
        self.interval = interval
        self.counters = counters
        self.min_score = min_score
        self._users = IdTable(max_users + RESERVED)
        columns: dict[str, Any] = {"digest": (np.int64, ()), "time": (np.float64, ()), "turn": (np.int64, ())}
        self._last = Table("lists", max_users + RESERVED, self._users, **columns)
        self._turn = 0
        self._lets_all_out = policy == "every" and not interval

    @override
    def process(self, batch: list[Ranked]) -> list[Decided]:
        if self.min_score is not None:
            batch = [above(ranked, self.min_score) for ranked in batch]
        return [Decided(ranked, self._decide(ranked)) for ranked in batch]

    def _decide(self, ranked: Ranked) -> bool:
        is_out = (self._lets_all_out and ranked.event.user != FALLBACK_USER) or self._remember(ranked)
        if not is_out:
            self.counters.suppressed += 1
            return False
        self.counters.emitted += 1
        if isinstance(ranked.event, Refresh):
            self.counters.refreshed += ranked.items is not None
            self.counters.withdrawn += ranked.items is None
        return True

    def _remember(self, ranked: Ranked) -> bool:
        """Say whether a list goes out, and if so, remember it."""
        user, time = ranked.event.user, ranked.event.timestamp
        row, last = self._users.row(user), self._last.arrays
        if ranked.items is None:
            self._forget([row] if row else [])
            return True
        by_change = self.policy == "changed" or user == FALLBACK_USER
        digest = _digest(ranked.items) if by_change else 0
        if row:
            is_same = by_change and digest == last["digest"][row]
            is_soon = abs(time - last["time"][row]) < self.interval  # a clock that falls back silences nobody
            if (is_same or is_soon) and not isinstance(ranked.event, Request):
                return False
            time = max(time, float(last["time"][row]))
        else:
            row = self._new_row(user)
        self._turn += 1
        last["digest"][row], last["time"][row], last["turn"][row] = digest, time, self._turn
        self._last.dirty[row] = 1
        return True

    def _new_row(self, user: str) -> int:
        if self._users.is_full:
            turns = self._last.arrays["turn"][RESERVED : self._last.used]
            count = max(1, len(turns) // GIVEN_UP)
            oldest = np.argpartition(turns, count - 1)[:count] + RESERVED
            self._forget(sorted(oldest.tolist()))
        row = self._users.add(user)
        self._last.used = len(self._users.names)
        return row

    def _forget(self, rows: list[int]) -> None:
        self._last.empty(np.array(rows, np.int64))
        self._users.release(rows)

    @override
    def dump(self) -> Record:
        self._last.dirty[: self._last.used] = 1
        return self.dump_changes()

    @override
    def dump_changes(self) -> Record:
        changes = dump_changes([self._last])
        return changes and changes | {"turn": np.array([self._turn])}

    @override
    def dump_part(self, place: int, size: int) -> tuple[Record, int]:
        part, place = dump_part([self._last], place, size)
        return part | {"turn": np.array([self._turn])}, place

    @override
    def load(self, record: Record) -> None:
        self._turn = int(record["turn"][0])
        self._last.load_rows(record)


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


def _digest(items: Sequence[str]) -> int:
    text = "\0".join(items)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
