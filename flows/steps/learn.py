"""Learn and rank: the step that holds the model. It learns each event and makes the user's new list.

The output depends on the order of the events alone.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

import numpy as np
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from typing_extensions import override

from flows.messages import (
    FALLBACK_USER,
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
from flows.state.roles import FIRST_ROLES, ROLES, Roles, arrays_of_slot, named_by_slot
from flows.state.stateful import Snapshot, StatefulStep, StoreFor, stateful
from flows.steps.challenger import Challenger, Challenging
from flows.steps.learner_state import CHALLENGER_PLACE, HELD_PLACE, IDLE_PLACE, MODEL_PLACE, Part, Parts, StoredModel
from flows.steps.model_errors import errors_of
from flows.steps.refresh_budget import RefreshBudget
from flows.steps.removal import HeldItems
from flows.steps.scoring import Evaluator, Observer
from recmodels.base import Context, Example, Recommender, Step
from recmodels.exploration import Explorer
from recmodels.rules import load_arrays, rules_of

logger = logging.getLogger(__name__)

MAX_REASONS: Final = 3
"""Number of reasons for an item of a list."""

DIGITS: Final = 6
"""Decimal places of a refreshed list's scores. More would only make the message longer."""


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
    refresh_removed: int = 0
    """Largest number of lists that are made anew after one event because they hold an item that became unavailable."""
    max_users: int = 1_000_000
    """Number of users whose lists are known for that."""
    takes_back: bool = False
    """Whether an event may take an earlier one back."""
    refresh_budget: float = 0.0
    """Lists of idle users that are made anew, per interaction."""
    challenging: Challenging | None = None
    """Configuration of a challenger. None: there is none."""
    roles: Roles = FIRST_ROLES
    """Numbers of the champion and of the challenger in the state."""
    is_silent: bool = False
    """Whether events are learned without their lists. Only tombstones of erased users are given on."""


Answer: TypeAlias = Ranked | ItemList


@operator
def learn(
    step_id: str,
    up: KeyedStream[Prepared],
    learning: Learning,
    counters: Counters,
    store: StoreFor,
    make_learner: Callable[[Learning, Counters], StatefulStep[Prepared, Answer]] | None = None,
) -> KeyedStream[Answer]:
    """Learn every event, and attach the user's new list to interactions, erasures, requests and refreshes.

    Args:
        step_id: Id of the step. It names stored state.
        up: Prepared events by shard.
        learning: Configuration.
        counters: Counts learned events.
        store: Opens the stored state of a step.
        make_learner: Makes the learner. None: that of one process.
    """
    make = make_learner or Learner
    return stateful("model", up, lambda: make(learning, counters), store)


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
        self.refresh_removed = learning.refresh_removed
        self.takes_back = learning.takes_back
        self.is_silent = learning.is_silent
        self.held = HeldItems(learning.max_users, learning.top)
        share = learning.refresh_budget
        self.budget = RefreshBudget(share, learning.max_users, learning.top) if share else None
        self.roles = learning.roles
        challenging = learning.challenging
        self.challenger = None if challenging is None else Challenger(challenging, learning.roles)
        parts = [Part(MODEL_PLACE, StoredModel(self.model, counters), self._of_champion)]
        parts.append(Part(HELD_PLACE, self.held, self._of_lists))
        if self.budget is not None:
            parts.append(Part(IDLE_PLACE, self.budget, self._of_lists))
        if self.challenger is not None:
            parts.append(Part(CHALLENGER_PLACE, self.challenger))
        self._parts = Parts(parts)
        self._loaded_champion = learning.roles.champion
        self._has_begun_parts = False  # in this process, so that all parts are of the models with the present roles
        self._now = 0.0
        self._has_told = False
        self.rules = rules_of(self.model)
        self.explorer = self.model if isinstance(self.model, Explorer) else None
        self.counters.explorer = self.explorer
        self.counters.note_rules(None if self.rules is None else self.rules.tally)

    @override
    def process(self, batch: list[Prepared]) -> list[Answer]:
        with errors_of(self.model, self.counters.learned):
            answers = self._process(batch)
        for note in () if self.rules is None else self.rules.tally.take_notes():
            logger.warning("%s", note)
        return answers

    def _process(self, batch: list[Prepared]) -> list[Answer]:
        ranked: list[Answer] = []
        events: list[Interaction] = []
        examples: list[Example] = []
        for event, example in batch:
            if example is not None and isinstance(event, Interaction):
                events.append(event)
                examples.append(example)
                is_round = self.budget is not None and len(events) == self.budget.until_round
                if (self.held.is_waiting or is_round) and not self.is_silent:
                    self._learn(events, examples, ranked)
                    events, examples = [], []
                    self._make_due(event, ranked)
                continue
            self._learn(events, examples, ranked)
            events, examples = [], []
            if isinstance(event, ItemEvent):
                was_out = self._is_out(event.item)
                self.model.learn_item(event.item, event.features, event.available)
                self.counters.item_events += 1
                if self.refresh_removed:
                    self.held.start()
                    if event.available is False or (not was_out and self._is_out(event.item)):
                        self.held.remove(event.item)
                        self._make_due(event, ranked)
                if self.asker is not None:
                    self.asker.learn_item(event.item, event.available)
                if self.challenger is not None:
                    self.challenger.learn_item(event.item, event.features, event.available)
            elif isinstance(event, Forget):
                self.model.forget_one(event.user)
                self.counters.forgotten += 1
                self.held.forget(event.user)
                if self.budget is not None:
                    self.budget.forget(event.user)
                if self.asker is not None:
                    self.asker.forget_one(event.user)
                if self.challenger is not None:
                    self.challenger.forget_one(event.user)
                ranked.append(Ranked(event, None, None, None))
            elif self.is_silent:
                self._pass_over(event)
            elif isinstance(event, Request):
                ranked.append(self._answer(event))
            elif isinstance(event, Refresh):
                ranked.append(self._refresh(event))
            elif isinstance(event, ItemListRequest):
                ranked.append(self._items(event))
        self._learn(events, examples, ranked)
        return ranked

    def _is_out(self, item: str) -> bool:
        """Say whether rules keep an item out of every list."""
        return self.rules is not None and self.rules.keeps_out(item)

    def _make_due(self, event: Interaction | ItemEvent, ranked: list[Answer]) -> None:
        """Make some of the lists anew that hold an item which has become unavailable."""
        if self.is_silent:
            return
        arrived = event.arrived if isinstance(event, Interaction) else time.perf_counter()
        for user in self.held.due(self.refresh_removed):
            ranked.append(self._refresh(Refresh(user, self._now, event.at, arrived, is_due=True)))

    def _learn(self, events: Sequence[Interaction], examples: Sequence[Example], ranked: list[Answer]) -> None:
        if events and self.is_silent:
            steps = self.model.step_many(examples, 0) if self.challenger is None else self._steps(examples)
            self._note_learned(events, examples, steps)
        elif events:
            start = len(ranked)
            if self.why:
                steps = self._explain(events, examples, ranked)
            else:
                steps = self._steps(examples)
                ranked.extend(
                    Ranked(event, step.position, step.items, step.scores, None, step.is_target)
                    for event, step in zip(events, steps, strict=True)
                )
            self._note_learned(events, examples, steps)
            if self.challenger is not None and self.challenger.exposure is not None:
                self._expose(ranked, start)
            if self.held.is_on:
                for each in ranked[start:]:
                    if isinstance(each, Ranked) and each.items is not None:
                        self._hold(each.event.user, each.event.timestamp, each.items)
            if self.budget is not None:
                self._note_returns(self.budget, events, steps, ranked)

    def _note_learned(self, events: Sequence[Interaction], examples: Sequence[Example], steps: Sequence[Step]) -> None:
        self.counters.learned += len(events)
        if self.takes_back:
            self._note_undone(events, steps)
        if self.challenger is not None:
            self.challenger.learn(examples, steps)
        if self.watch is not None:
            self.watch.after(self.model, examples, steps)

    def _pass_over(self, event: object) -> None:
        """Count a request of the past: nobody waits for its answer any more."""
        if isinstance(event, Request):
            self.counters.ignored["request of the past"] += 1

    def _expose(self, ranked: list[Answer], start: int) -> None:
        """Put the lists that some users see of the challenger in the place of the champion's."""
        assert self.challenger is not None
        version = self.model.version
        for place, each in enumerate(ranked[start:]):
            if isinstance(each, Ranked):
                ranked[start + place] = self.challenger.expose(each, place, version)

    def _asked(self, ranked: Ranked, x: Context) -> Ranked:
        """Return a list that was made without an event of its user, as the user sees it, and hold it."""
        if self.challenger is not None:
            ranked = self.challenger.expose_asked(ranked, x, self.model.version)
        user, items = ranked.event.user, ranked.items or ()
        if isinstance(ranked.event, Request) and ranked.event.is_of_replay:
            return ranked
        if self.explorer is not None and ranked.exposed is None:
            self.explorer.note_sent(user, items, ranked.event.timestamp)
        if self.held.is_on:
            self._hold(user, ranked.event.timestamp, items)
        if self.budget is not None and user == FALLBACK_USER:
            self.budget.hold_fallback(items)
        elif self.budget is not None:
            self.budget.hold_again(user, items)
        return ranked

    def _note_returns(
        self, budget: RefreshBudget, events: Sequence[Interaction], steps: Sequence[Step], ranked: list[Answer]
    ) -> None:
        """Let the budget learn from the users who came back, and make the lists that it pays for."""
        for event, step in zip(events, steps, strict=True):
            budget.observe(event.user, event.timestamp, event.item, step.position if step.is_target else None)
            budget.hold(event.user, event.timestamp, step.items)
            for user in budget.due():
                ranked.append(self._refresh(Refresh(user, budget.now, event.at, event.arrived)))

    def _hold(self, user: str, time: float, items: Sequence[str]) -> None:
        """Note a list that goes out, and the newest time of any."""
        self._now = max(self._now, time)
        self.held.hold(user, items)

    def _note_undone(self, events: Sequence[Interaction], steps: Sequence[Step]) -> None:
        """Count what was taken back, and say once which models cannot."""
        for event, step in zip(events, steps, strict=True):
            if step.is_undone is None:
                continue
            self.counters.undone += step.is_undone
            self.counters.not_undone += not step.is_undone
            if not self._has_told and (names := self.model.without_undo):
                self._has_told = True
                logger.warning(
                    "%s cannot take an event back: %r is learned as an event against its item",
                    ", ".join(names),
                    event.event,
                )

    def _steps(self, examples: Sequence[Example]) -> list[Step]:
        if self.asker is None and self.challenger is not None and not self.score:
            return self.challenger.steps_of(self.model, examples, self.top)
        if self.asker is None:
            return self.model.step_many(examples, self.top, self.score or self.budget is not None)
        return self.asker.step_many(self.model, examples)

    def _explain(self, events: Sequence[Interaction], examples: Sequence[Example], ranked: list[Answer]) -> list[Step]:
        """Process events one by one, since a list can be explained only before the model learns the next event."""
        steps = []
        for event, example in zip(events, examples, strict=True):
            [step] = self._steps([example])
            reasons = self._reasons(event.user, step.items, self.rules and self.rules.context_after(example))
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
        return self._asked(Ranked(request, None, items, scores, why), x)

    def _refresh(self, refresh: Refresh) -> Ranked:
        if refresh.withdraw:
            self.held.forget(refresh.user)
            return Ranked(refresh, None, None, None)
        x = {"timestamp": refresh.timestamp}
        return self._asked(Ranked(refresh, None, *self._list(refresh.user, x)), x)

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
        return self._with_roles(self._parts.dump())

    @override
    def dump_changes(self) -> Snapshot:
        return self._with_roles(self._parts.dump_changes())

    @override
    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        if place and not self._has_begun_parts and self._has_other_roles(place):
            return self.dump(), 0  # the parts before belong to models with other roles
        self._has_begun_parts |= not place
        part, behind = self._parts.dump_part(place, size)
        return self._with_roles(part), behind

    def _has_other_roles(self, place: int) -> bool:
        """Say whether the parts of the state before a place are not those of the present models."""
        if self._loaded_champion != self.roles.champion:
            return True
        return place > CHALLENGER_PLACE and self.challenger is not None and not self.challenger.is_resumed

    def _with_roles(self, snapshot: Snapshot) -> Snapshot:
        """Add the number of the champion, unless it is the first."""
        champion = self.roles.champion
        return {**snapshot, ROLES: np.array([champion])} if champion else snapshot

    def _of_champion(self, snapshot: Snapshot) -> Snapshot:
        """Name the arrays of the model by its number."""
        return named_by_slot(snapshot, self.roles.champion)

    def _of_lists(self, snapshot: Snapshot) -> Snapshot:
        """Name the arrays of lists and of idle users, apart from those of the model."""
        known = {f"lists.{name}": array for name, array in snapshot.items()}
        return {**known, "lists.now": np.array([self._now])} if known else {}

    @override
    def load(self, snapshot: Snapshot) -> None:
        own = {name.removeprefix("lists."): array for name, array in snapshot.items() if name.startswith("lists.")}
        self._loaded_champion = int(snapshot[ROLES][0]) if ROLES in snapshot else 0
        if arrays := arrays_of_slot(snapshot, self.roles.champion):
            load_arrays(self.model, arrays)
        if own:
            self._now = float(own["now"][0])
            if self.refresh_removed:
                self.held.load(own)
            if self.budget is not None:
                self.budget.load(own)
        if self.challenger is not None:
            self.challenger.load(snapshot)
