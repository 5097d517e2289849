"""Scores lists as they pass: what the model would have said, and what the output topic really held."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from bytewax.outputs import DynamicSink, StatelessSinkPartition
from typing_extensions import override

from flows.messages import STRANGERS, Decided, Refresh
from flows.reliability import Reliability
from recmodels.evaluate import RankingMetrics


class Scores(DynamicSink[Decided]):
    """Measures test-then-learn: each event against the list just before it.

    Args:
        k: Length of the list that counts.
        reliability: Told of everything, too, if the scores of lists are probabilities.

    Attributes:
        fresh: Of the list the model would have given at the time of the event.
        served: Of the list that was last emitted for the user, or else for strangers. What it lacks is the price of
            staleness.
        users, items: How many there were.
    """

    def __init__(self, k: int = 10, reliability: Reliability | None = None) -> None:
        self.reliability = reliability
        self.fresh = RankingMetrics(k)
        self.served = RankingMetrics(k)
        self.items: set[str] = set()
        self._held: dict[str, Sequence[str]] = {}
        self._users: set[str] = set()

    @property
    def users(self) -> int:
        """How many users there were."""
        return len(self._users)

    def add(self, decided: Decided) -> None:
        """Score one event, then note the list that goes out after it."""
        if self.reliability is not None:
            self.reliability.add(decided)
        event, position, items, _ = decided.ranked
        user = event.user
        if items is None:
            self._held.pop(user, None)
            return
        if isinstance(event, Refresh):
            if decided.is_emitted:
                self._held[user] = items
            return
        self._users.add(user)
        item = event.item  # type: ignore[union-attr]  # only an erasure has none
        self.items.add(item)
        if position is not None:
            self.fresh.update(position)
            held = self._held.get(user, self._held.get(STRANGERS, ()))
            self.served.update(held.index(item) if item in held else -1)
        if decided.is_emitted:
            self._held.pop(user, None)  # to the end of the dict
            self._held[user] = items

    def last_lists(self, count: int) -> dict[str, Sequence[str]]:
        """Return the lists that were emitted last, one for each user, the newest first."""
        users = ((user, items) for user, items in reversed(self._held.items()) if user != STRANGERS)
        return dict(islice(users, count))

    @override
    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_ScoresPart":
        return _ScoresPart(self)


class _ScoresPart(StatelessSinkPartition[Decided]):
    def __init__(self, scores: Scores) -> None:
        self._scores = scores

    @override
    def write_batch(self, items: list[Decided]) -> None:
        for decided in items:
            self._scores.add(decided)


class Discard(DynamicSink[tuple[str, Any]]):
    """Takes what nobody wants to keep."""

    @override
    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_DiscardPart":
        return _DiscardPart()


class _DiscardPart(StatelessSinkPartition[tuple[str, Any]]):
    @override
    def write_batch(self, items: list[tuple[str, Any]]) -> None:
        pass
