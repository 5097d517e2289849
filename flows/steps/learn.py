"""Learn and rank: the step that holds the model. It learns each event and makes the user's new list.

The output depends on the order of the events alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol, TypeAlias

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from typing_extensions import override

from flows.messages import (
    Forget,
    Interaction,
    ItemEvent,
    ItemList,
    ItemListRequest,
    Prepared,
    Ranked,
    Refresh,
    Request,
)
from flows.monitoring.counters import Counters
from flows.state.stateful import Snapshot, StatefulStep, StoreFor, stateful
from recmodels.base import Context, Example, Recommender, Step

MAX_REASONS: Final = 3
"""Number of reasons for an item of a list."""

DIGITS: Final = 6
"""Decimal places of a refreshed list's scores. More would only make the message longer."""


class Evaluator(Protocol):
    """Decides which events of a replay are scored, and against which candidates."""

    def step_many(self, model: Recommender, examples: Sequence[Example]) -> list[Step]:
        """Score and learn examples as `Recommender.step_many` does."""

    def learn_item(self, item: str, available: bool | None) -> None:
        """Note an item event."""

    def forget_one(self, user: str) -> None:
        """Note an erasure."""


class Observer(Protocol):
    """Receives every batch that a model has learned, and changes nothing."""

    def after(self, model: Recommender, examples: Sequence[Example], steps: Sequence[Step]) -> None:
        """Note a batch and the model's steps."""


@dataclass(frozen=True, kw_only=True)
class Learning:
    """Configuration of `learn`."""

    build_model: Callable[[], Recommender]
    top: int
    """Length of the lists."""
    score: bool = False
    """Whether each event is scored against the list just before it."""
    why: bool = False
    """Whether each item of a list gets its reasons. They take more time than the list."""
    watch: Observer | None = None
    """Observer of the model. None: there is none."""
    asker: Evaluator | None = None
    """Evaluator with a protocol of its own. None: every event is scored against the list of `top` items."""


Answer: TypeAlias = Ranked | ItemList


@operator
def learn(
    step_id: str, up: KeyedStream[Prepared], learning: Learning, counters: Counters, store: StoreFor
) -> KeyedStream[Answer]:
    """Learn every event, and attach the user's new list to interactions, erasures, requests and refreshes.

    Args:
        step_id: Id of the step. It names stored state.
        up: Prepared events by shard.
        learning: Configuration.
        counters: Counts learned events.
        store: Opens the stored state of a step.
    """
    return stateful("model", up, lambda: Learner(learning, counters), store)


@operator
def lists_of_users(step_id: str, up: KeyedStream[Answer]) -> KeyedStream[Ranked]:
    """Leave out the lists that belong to no user."""

    def select(batch: list[tuple[str, Answer]]) -> list[tuple[str, Ranked]]:
        return [(shard, answer) for shard, answer in batch if isinstance(answer, Ranked)]

    return op.flat_map_batch("select", up, select)


class Learner(StatefulStep[Prepared, Answer]):
    """Holds the model, and processes events by it.

    Args:
        learning: Configuration, with the function that builds the model.
        counters: Counts learned events.
    """

    def __init__(self, learning: Learning, counters: Counters) -> None:
        self.model = learning.build_model()
        self.top = learning.top
        self.score = learning.score
        self.why = learning.why
        self.watch = learning.watch
        self.asker = learning.asker
        self.counters = counters

    @override
    def process(self, batch: list[Prepared]) -> list[Answer]:
        ranked: list[Answer] = []
        events: list[Interaction] = []
        examples: list[Example] = []
        for event, example in batch:
            if example is not None and isinstance(event, Interaction):
                events.append(event)
                examples.append(example)
                continue
            self._learn(events, examples, ranked)
            events, examples = [], []
            if isinstance(event, ItemEvent):
                self.model.learn_item(event.item, event.features, event.available)
                self.counters.item_events += 1
                if self.asker is not None:
                    self.asker.learn_item(event.item, event.available)
            elif isinstance(event, Forget):
                self.model.forget_one(event.user)
                self.counters.forgotten += 1
                if self.asker is not None:
                    self.asker.forget_one(event.user)
                ranked.append(Ranked(event, None, None, None))
            elif isinstance(event, Request):
                ranked.append(self._answer(event))
            elif isinstance(event, Refresh):
                ranked.append(self._refresh(event))
            elif isinstance(event, ItemListRequest):
                ranked.append(self._items(event))
        self._learn(events, examples, ranked)
        return ranked

    def _learn(self, events: Sequence[Interaction], examples: Sequence[Example], ranked: list[Answer]) -> None:
        if events:
            if self.why:
                steps = self._explain(events, examples, ranked)
            else:
                steps = self._steps(examples)
                ranked.extend(
                    Ranked(event, position, items, scores, None, is_target)
                    for event, (position, items, scores, is_target) in zip(events, steps, strict=True)
                )
            self.counters.learned += len(events)
            if self.watch is not None:
                self.watch.after(self.model, examples, steps)

    def _steps(self, examples: Sequence[Example]) -> list[Step]:
        if self.asker is None:
            return self.model.step_many(examples, self.top, self.score)
        return self.asker.step_many(self.model, examples)

    def _explain(self, events: Sequence[Interaction], examples: Sequence[Example], ranked: list[Answer]) -> list[Step]:
        """Process events one by one, since a list can be explained only before the model learns the next event."""
        steps = []
        for event, example in zip(events, examples, strict=True):
            [step] = self._steps([example])
            reasons = self._reasons(event.user, step.items)
            ranked.append(Ranked(event, step.position, step.items, step.scores, reasons, step.is_target))
            steps.append(step)
        return steps

    def _reasons(self, user: str, items: Sequence[str], x: Context | None = None) -> list[dict[str, float]]:
        """Return the largest contributions to the score of each item of a user's list."""
        said = {why.item: why.parts for why in self.model.explain(user, len(items), x)}
        return [{name: round(part, 4) for name, part in islice(said.get(i, {}).items(), MAX_REASONS)} for i in items]

    def _answer(self, request: Request) -> Ranked:
        """Make the list of a request. An unknown user gets the model's list for a new user."""
        self.counters.requests += 1
        self.counters.requests_of_replay += request.is_of_replay
        x = {**(request.context or {}), "timestamp": request.timestamp}
        items, scores = self._list(request.user, x)
        why = self._reasons(request.user, items, x) if self.why else None
        return Ranked(request, None, items, scores, why)

    def _refresh(self, refresh: Refresh) -> Ranked:
        if refresh.withdraw:
            return Ranked(refresh, None, None, None)
        return Ranked(refresh, None, *self._list(refresh.user, {"timestamp": refresh.timestamp}))

    def _items(self, request: ItemListRequest) -> ItemList:
        """Make a list that belongs to no user. The tag of an item without tags is none: all items are meant."""
        key = request.item
        if request.kind == "related":
            listed = self.model.related(key, self.top)
        else:
            tags = self.model.tags(key) if key else []
            key = tags[request.turn % len(tags)] if tags else ""
            listed = self.model.trending(self.top, key)
        return ItemList(request, key, [item for item, _ in listed], [round(score, DIGITS) for _, score in listed])

    def _list(self, user: str, x: Context) -> tuple[list[str], list[float]]:
        listed = self.model.top(user, self.top, x)
        return [item for item, _ in listed], [round(score, DIGITS) for _, score in listed]

    @override
    def dump(self) -> Snapshot:
        return self.model.dump()

    @override
    def dump_changes(self) -> Snapshot:
        return self.model.dump_changes()

    @override
    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        return self.model.dump_part(place, size)

    @override
    def load(self, snapshot: Snapshot) -> None:
        self.model.load(snapshot)
