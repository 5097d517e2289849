"""Metrics as part of a replay's state, so that a resumed replay reports the whole log."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from numpy.typing import NDArray
from typing_extensions import override

from flows.evaluation.scorer import PrequentialScorer
from flows.messages import Decided
from flows.monitoring.counters import Counters
from flows.state.stateful import Snapshot, StatefulStep, StoreFor, stateful

ROWS: Final = "rows of outcomes"
"""Name of the array with the first row of a snapshot's columns, and the row after the last."""
REST: Final = "rest"
"""Name of the array with everything else, as JSON."""
NOT_KEPT: Final = ("received", "held")
"""Fields of the counters that belong to the process, not to the log."""


class StatefulMetrics(StatefulStep[Decided, Decided]):
    """A scorer and counters whose numbers are part of the snapshots.

    Each snapshot holds the new rows of the outcomes, and the changed numbers of users and items.

    Args:
        scores: The scorer.
        counters: Counters of the replay.

    Attributes:
        is_resumed: Whether numbers of an earlier process were loaded.
        seconds, cpu_seconds: Time that earlier processes took.
    """

    def __init__(self, scores: PrequentialScorer, counters: Counters) -> None:
        self.scores = scores
        self.counters = counters
        self.is_resumed = False
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self._started = time.perf_counter(), time.process_time()
        self._saved = 0
        self._users: set[str] = set()
        self._items: set[str] = set()

    @override
    def process(self, batch: list[Decided]) -> list[Decided]:
        for decided in batch:
            event = decided.ranked.event
            self._users.add(event.user)
            if (item := getattr(event, "item", None)) is not None:
                self._items.add(item)
            self.scores.add(decided)
        return []

    def clocks(self) -> tuple[float, float]:
        """Return the seconds and the CPU seconds of all processes so far."""
        wall, cpu = self._started
        return self.seconds + time.perf_counter() - wall, self.cpu_seconds + time.process_time() - cpu

    @override
    def dump(self) -> dict[str, NDArray[Any]]:
        self._saved = 0
        self._users, self._items = self.scores.known_users(), set(self.scores.items)
        return self.dump_changes()

    @override
    def dump_changes(self) -> dict[str, NDArray[Any]]:
        columns = vars(self.scores.outcomes)
        seconds, cpu_seconds = self.clocks()
        rest = {
            "scores": self.scores.numbers(self._users, self._items),
            "counters": _numbers_of(self.counters),
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
        }
        snapshot = {name: np.array(column[self._saved :]) for name, column in columns.items()}
        snapshot[ROWS] = np.array([self._saved, len(self.scores.outcomes)])
        snapshot[REST] = np.frombuffer(msgspec.json.encode(rest), np.uint8)
        self._saved = len(self.scores.outcomes)
        self._users, self._items = set(), set()
        return snapshot

    @override
    def load(self, snapshot: Snapshot) -> None:
        start, end = snapshot[ROWS].tolist()
        for name, column in vars(self.scores.outcomes).items():
            if len(snapshot[name]):
                if len(column) < start:
                    raise ValueError(f"expected {start:,} rows of {name}; found {len(column):,}")
                del column[start:]
                column.frombytes(np.ascontiguousarray(snapshot[name]).tobytes())
        self._saved = end
        rest = msgspec.json.decode(snapshot[REST].tobytes())
        self.scores.take_over(rest["scores"])
        _take_over(self.counters, rest["counters"])
        self.seconds, self.cpu_seconds = rest["seconds"], rest["cpu_seconds"]
        self.is_resumed = True


@operator
def measure(step_id: str, up: KeyedStream[Decided], measures: StatefulMetrics, store: StoreFor) -> None:
    """Score every list, and store the metrics at every snapshot of the engine.

    Args:
        step_id: Id of the step. It names stored state.
        up: Lists with the decision whether they are sent.
        measures: The scorer and the counters.
        store: Opens the stored state of a step.
    """
    stateful("measures", up, lambda: measures, store)


def _numbers_of(counters: Counters) -> dict[str, Any]:
    plain = {
        name: value
        for name, value in vars(counters).items()
        if name not in NOT_KEPT and (value is None or isinstance(value, int | float))
    }
    return {
        **plain,
        **({} if counters.rules is None else {"rules": counters.rules.counts()}),
        "event_types": dict(counters.event_types),
        "faults": [[*kind, count] for kind, count in counters.faults.items()],
    }


def _take_over(counters: Counters, numbers: Mapping[str, Any]) -> None:
    for name, value in numbers.items():
        if name not in ("event_types", "faults", "rules"):
            setattr(counters, name, value)
    counters.note_rules(None, numbers.get("rules"))
    counters.event_types = Counter(numbers["event_types"])
    counters.faults = Counter({(reason, field): count for reason, field, count in numbers["faults"]})
    counters.rejected = Counter()
    for reason, _, count in numbers["faults"]:
        counters.rejected[reason] += count
