"""The scorer: fresh lists of the model, and served lists of the output topic."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any
from zlib import crc32

from bytewax.outputs import DynamicSink, StatelessSinkPartition
from typing_extensions import override

from flows.evaluation.beyond_accuracy import ListMetrics
from flows.evaluation.calibration import Reliability
from flows.evaluation.outcomes import Outcomes
from flows.evaluation.ranking_metrics import mean_value
from flows.messages import FALLBACK_USER, Decided, FallbackAges, Interaction, Refresh, Request
from flows.steps.staleness import heeded


class PrequentialScorer(DynamicSink[Decided]):
    """Measures test-then-learn: each event against the list just before it.

    Args:
        k: Length of the list that counts.
        lists: Receives every emitted list. None: lists are not measured.
        reliability: Receives every list and event, if the scores of lists are probabilities.

    Attributes:
        outcomes: One row for each scored event. Every ranking metric is computed from them. A row has the item's
            rank in the model's list just before the event, and in the list that a reader of the topic shows. That
            is the user's own list, the fallback list, or both merged, by the ages on the fallback list.
        users, items: Number of events by id, without erased users.
        erased: Erased users. One who comes back is a new user.
        events: Number of interactions, scored or not.
        filled: Number of lists with items.
        with_requests: Whether lists on the topic are also scored with the requests that the replay inserts before
            visits.
        targets: Returns the items that are a hit, by the number of an interaction and its item. None: the item alone.
    """

    def __init__(self, k: int = 10, lists: ListMetrics | None = None, reliability: Reliability | None = None) -> None:
        self.lists = lists
        self.reliability = reliability
        self.k = k
        self.outcomes = Outcomes()
        self.users: dict[str, int] = {}
        self.items: dict[str, int] = {}
        self.events = 0
        self.filled = 0
        self.erased = 0
        self.targets: Callable[[int, str], Collection[str]] | None = None
        self.with_requests = False
        self._held: dict[str, tuple[Sequence[str], float]] = {}
        """By user: the list that the topic holds, and the time of its event."""
        self._ages: FallbackAges | None = None
        self._requested: dict[str, Sequence[str]] = {}
        """Lists that answer requests of the replay, until the topic holds a newer one."""

    def add(self, decided: Decided) -> None:
        """Score one event, then note the list that goes out after it."""
        if self.reliability is not None:
            self.reliability.add(decided)
        event, position, items, *_ = decided.ranked
        user = event.user
        if isinstance(event, Request) and event.is_of_replay and items is not None:
            self._requested[user] = items
            return
        if items is None:
            self._held.pop(user, None)
            self._requested.pop(user, None)
            if user in self.users and not isinstance(event, Refresh):
                del self.users[user]
                self.erased += 1
            return
        if not isinstance(event, Interaction):
            if decided.is_emitted:
                self._hold(user, items, event.timestamp)
                if user == FALLBACK_USER:
                    self._ages = decided.ranked.ages
            return
        item = event.item
        user_events, item_events = self.users.get(user, 0), self.items.get(item, 0)
        if position is not None:
            fallback, _ = self._held.get(FALLBACK_USER, ((), 0.0))
            own, time = self._held.get(user, (None, 0.0))
            shown = fallback if own is None else heeded(own, fallback, event.timestamp - time, self._ages)
            targets = (item,) if self.targets is None else self.targets(self.events, item)
            served = _place(shown, targets)
            any_age = served if own is None or shown is own else _place(own, targets)
            requested = _place(self._requested.get(user, shown), targets) if self.with_requests else None
            self.outcomes.append(
                self.events,
                event.timestamp,
                position,
                served,
                any_age,
                user_events,
                item_events,
                crc32(item.encode()),
                requested,
            )
        self.events += 1
        self.filled += len(items) > 0
        self.users[user] = user_events + 1
        self.items[item] = item_events + 1
        if self.lists is not None:
            self.lists.update(item, items if decided.is_emitted else None, self.items, self.events)
        if decided.is_emitted:
            self._held.pop(user, None)  # to the end of the dict
            self._hold(user, items, event.timestamp)

    @property
    def hit_rate(self) -> float:
        """Hit rate of the model's own lists, 0 without scored events."""
        return mean_value(f"hit_rate@{self.k}", self.outcomes.arrays())

    @property
    def served_hit_rate(self) -> float:
        """Hit rate of the lists that a reader of the topic shows, 0 without scored events."""
        return mean_value(f"served_hit_rate@{self.k}", self.outcomes.arrays())

    def _hold(self, user: str, items: Sequence[str], time: float) -> None:
        self._held[user] = (items, time)
        self._requested.pop(user, None)

    def known_users(self) -> set[str]:
        """Return every user of whom something is noted."""
        lists = set() if self.reliability is None else set(self.reliability.held)
        return {*self.users, *self._held, *lists}

    def numbers(self, users: Collection[str], items: Collection[str]) -> dict[str, Any]:
        """Return all sums, and what is noted of some users and items, as plain numbers and lists.

        The rows of the outcomes are not among them.
        """
        held = [[user, list(listed), time] for user, (listed, time) in self._held.items() if user in users]
        return {
            "ages": self._ages,
            "events": self.events,
            "filled": self.filled,
            "erased": self.erased,
            "users": {user: self.users[user] for user in users if user in self.users},
            "items": {item: self.items[item] for item in items if item in self.items},
            "held": held,
            "gone": [user for user in users if user not in self._held],
            "reliability": None if self.reliability is None else self.reliability.numbers(users),
        }

    def take_over(self, numbers: Mapping[str, Any]) -> None:
        """Take over what `numbers` returned."""
        self._ages = None if numbers["ages"] is None else FallbackAges(*numbers["ages"])
        self.events, self.filled, self.erased = numbers["events"], numbers["filled"], numbers["erased"]
        self.users |= numbers["users"]
        self.items |= numbers["items"]
        for user in numbers["gone"]:
            self._held.pop(user, None)
            if user not in numbers["users"]:
                self.users.pop(user, None)
        for user, items, time in numbers["held"]:
            self._held.pop(user, None)  # to the end of the dict, as it came
            self._held[user] = (items, time)
        if self.reliability is not None and numbers["reliability"] is not None:
            self.reliability.take_over(numbers["reliability"])

    def last_lists(self, count: int) -> dict[str, Sequence[str]]:
        """Return the lists that were emitted last, one for each user, the newest first."""
        users = ((user, items) for user, (items, _) in reversed(self._held.items()) if user != FALLBACK_USER)
        return dict(islice(users, count))

    @override
    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_ScoresPart":
        return _ScoresPart(self)


def _place(held: Sequence[str], targets: Collection[str]) -> int:
    return next((place for place, listed in enumerate(held) if listed in targets), -1)


class _ScoresPart(StatelessSinkPartition[Decided]):
    def __init__(self, scores: PrequentialScorer) -> None:
        self._scores = scores

    @override
    def write_batch(self, items: list[Decided]) -> None:
        for decided in items:
            self._scores.add(decided)
