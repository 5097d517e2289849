"""Rules and diversity around a model."""

from collections.abc import Callable, Collection, Mapping, Sequence
from math import log
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.base import Context, Example, Recommender, Step, Why
from recmodels.kernels.selection import RULES
from recmodels.rules.force import clock, without_time
from recmodels.rules.judge import EVENTS, ITEM_EVENTS, unknown_features, without_item_events
from recmodels.rules.rule import Rule
from recmodels.rules.selector import Chosen, Selector, pairs
from recmodels.rules.tally import Tally
from recmodels.storage.place import joined, split
from recmodels.storage.records import Records
from recmodels.validation import expect_counts, expect_numbers
from recmodels.wrapper import Wrapper

CANDIDATES: Final = 50
"""Number of candidates that the model is asked for, or twice the length of the list if that is more."""
DEEPER: Final = 8
"""Factor by which more candidates are asked for if the rules leave too few."""
MOST_CANDIDATES: Final = 3_200
"""Largest number of candidates."""
MOST_HIDDEN: Final = 256
"""Number of items that a user can hide. Beyond it the item that was hidden first is shown again."""
MODEL, FEATURES, HIDDEN, PARTS = 0, 1, 2, 3
"""The parts of a state that is dumped in pieces."""


class Ruled(Wrapper):
    """Wraps any model, and applies rules and diversity to its candidates.

    The model ranks 50 candidates for a list of ten. Rules then leave out, limit, raise and pin items, and maximal
    marginal relevance spreads the rest (`recmodels.kernels.selection`). If too few are left, the model is asked for
    more. An item keeps the model's own score. The model learns every event as it would without rules.

    - `position` of a step refers to the list with rules. It is None unless `score` is set, since that list must be
      made for it.
    - An item that its user has hidden is in no list of the user. An event of a type in `unhide` shows it again, and
      the model does not learn that event.
    - `related` and `trending` leave out what rules without a context exclude. `rank` knows no rules.

    Args:
        model: Any model.
        rules: The rules, at most 62.
        diversity: Weight of the difference from the items above in the list, from 0 to 1. 0: order by score.
        hide: Types of event by which users hide an item.
        unhide: Types of event by which they take that back.
        hidden_users: Number of users whose hidden items are remembered. Beyond it the first is dropped.

    Attributes:
        tally: Counts of what the rules did.

    >>> from recmodels import Popularity
    >>> no_tea = Rule(name="no tea", action="exclude", where=lambda features: features["item"] == "tea")
    >>> model = Ruled(Popularity(), [no_tea], hide=["hide"])
    >>> for user, item in [("ann", "tea"), ("bob", "tea"), ("ann", "jam"), ("bob", "pie")]:
    ...     model.learn_one(user, item)
    >>> model.learn_one("eve", "pie", -1.0, {"event": "hide"})
    >>> [[item for item, score in model.top(user)] for user in ("ann", "eve")]
    [['pie', 'jam'], ['jam']]
    """

    def __init__(
        self,
        model: Recommender,
        rules: Sequence[Rule] = (),
        diversity: float = 0.0,
        hide: Collection[str] = (),
        unhide: Collection[str] = (),
        hidden_users: int = 100_000,
    ) -> None:
        super().__init__(model)
        expect_numbers(0.0, 1.0, diversity=diversity)
        expect_counts(hidden_users=hidden_users)
        if len(rules) > RULES:
            raise ValueError(f"expected at most {RULES} rules; got {len(rules)}")
        self.rules = list(rules)  # River's clone takes an empty tuple for a class with arguments
        self.diversity = diversity
        self.hide = frozenset(hide)
        self.unhide = frozenset(unhide)
        self.hidden_users = hidden_users
        self.tally = Tally()
        self._hidden = Records("rules.hidden", hidden_users)
        self._selector = Selector(model, self.rules, diversity, self._hidden, self.tally)
        # A list may need more candidates, and similarity is that of the moment: before the next event is learned.
        self._is_alone = diversity > 0 or any(rule.action != "boost" for rule in self.rules)
        self._depth = CANDIDATES
        self._learned = 0
        self._item_events = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__} (model={self.model!r}, rules={len(self.rules)}, diversity={self.diversity})"

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Learn one interaction, unless it only shows a hidden item again."""
        kind = (x or {}).get("event")
        if kind in self.unhide:
            self._show(user, item)
            return
        if kind in self.hide:
            self._hide(user, item)
        self.model.learn_one(user, item, y, x)
        self._count_learned(1)

    def enable_undo(self) -> None:
        """Have the model keep what it needs to take interactions back."""
        self.model.enable_undo()
        self._selector.forget_tables()

    def undo_one(self, user: str, item: str, kind: str = "", y: float = -1.0, x: Context | None = None) -> bool:
        """Take back an interaction. An item that it hid is shown again."""
        if kind in self.hide:
            self._show(user, item)
        return self.model.undo_one(user, item, kind, y, x)

    def top(self, user: str, n: int = 10, x: Context | None = None) -> list[tuple[str, float]]:
        """Return the user's list under the rules that are in force in the context."""
        return pairs(self._deep(user, n, x))

    def explain(self, user: str, n: int = 10, x: Context | None = None) -> list[Why]:
        """Return the user's list with the model's reasons, and before them those of rules and of diversity.

        `rule NAME` is the place for a pin, and the natural logarithm of the factor for a boost. `diversity` is the
        number of items with a higher score that the item has passed.
        """
        depth, whys, chosen = self._depth_for(n), [], []
        while depth:
            whys = self.model.explain(user, depth, x)
            items, scores = [why.item for why in whys], [why.score for why in whys]
            chosen = self._selector.select(user, items, scores, n, x, is_counted=False)
            if len(chosen) >= n or len(items) < depth or depth >= MOST_CANDIDATES:
                break
            depth = min(depth * DEEPER, MOST_CANDIDATES)
        parts = {why.item: why.parts for why in whys}
        in_force = self._selector.force.bits(user, x)
        return [
            Why(item, score, {**self._reasons(item, place, passed, in_force), **parts.get(item, {})})
            for place, (item, score, _, passed) in enumerate(chosen)
        ]

    def related(self, item: str, n: int = 10) -> list[tuple[str, float]]:
        """Return what the model says, without what rules exclude in every context."""
        return self._allowed(lambda depth: self.model.related(item, depth), n)

    def trending(self, n: int = 10, tag: str = "") -> list[tuple[str, float]]:
        """Return what the model says, without what rules exclude in every context."""
        return self._allowed(lambda depth: self.model.trending(depth, tag), n)

    def step_many(self, examples: Sequence[Example], n: int = 10, score: bool = False) -> list[Step]:
        """Process examples in order. Where a list depends on more than the candidates of its step, each is alone."""
        steps: list[Step] = []
        start = 0
        while start < len(examples):
            if score or self._is_alone or self._may_hide(examples[start]):
                steps.append(self._step(examples[start], n, score))
                start += 1
                continue
            stop = start + 1
            while stop < len(examples) and not self._may_hide(examples[stop]):
                stop += 1
            part = examples[start:stop]
            for example, step in zip(part, self.model.step_many(part, self._depth_for(n), False), strict=True):
                chosen = self._selector.select(example.user, step.items, step.scores, n, self._context(example))
                steps.append(self._with_list(step._replace(position=None), chosen))
            self._count_learned(len(part))
            start = stop
        self._selector.count_removed()
        return steps

    def learn_item(self, item: str, x: Context | None = None, available: bool | None = None) -> None:
        """Learn an item's features and availability."""
        self._selector.catalogue.learn(item, x)
        self.model.learn_item(item, x, available)
        self._item_events += 1
        if self._item_events == ITEM_EVENTS:
            self.tally.notes += unknown_features(self.rules, self._selector.catalogue.names)

    def forget_one(self, user: str) -> None:
        """Erase a user, and the items that the user has hidden."""
        self._hidden.remove(user)
        self.model.forget_one(user)

    def may_list(self, user: str, item: str) -> bool:
        """Return whether the user's list may hold an item in every context."""
        if not self.model.may_list(user, item) or item in (self._hidden.get(user) or ()):
            return False
        return not self._selector.breaks(item, (1 << len(self.rules)) - 1)

    def keeps_out(self, item: str) -> bool:
        """Return whether rules without a context keep an item out of every list."""
        return self._selector.breaks(item, self._selector.force.always)

    def hidden_by(self, user: str) -> list[str]:
        """Return the items that a user has hidden, the first one first."""
        return list(self._hidden.get(user) or ())

    def context_after(self, example: Example) -> Context:
        """Return the context in which the list after an example is explained: the model sees no time, rules do."""
        return {**clock(example.timestamp), **without_time(example.x)}

    def similarity(self, items: Sequence[str]) -> float:
        """Return the mean similarity of two items of a list, from 0 to 1, as `recmodels.kernels.selection` says."""
        return self._selector.similarity(items)

    def _unit_test_skips(self) -> dict[str, str]:
        return self.model._unit_test_skips() | {
            "check_top_is_sorted_by_score": "diversity and rules set the order, and each item keeps the model's score",
            "check_top_agrees_with_rank": "rules are about lists, and rank orders given items",
        }

    @property
    def version(self) -> str:
        """Names the model in every list it makes."""
        return self.version_of(self.model.version)

    @staticmethod
    def version_of(version: str) -> str:
        """Return the version of a model of this version with rules around it."""
        return f"{version}+rules"

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state: the model's, and `rules.*`."""
        return self.model.dump() | self._features.dump() | self._hidden.dump() | self._numbers()

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that changed since the last dump."""
        changes = self.model.dump_changes() | self._features.dump_changes() | self._hidden.dump_changes()
        return changes and changes | self._numbers()

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return a part of the state: of the model's, then of the features, then of the hidden items."""
        which, inner = split(place, PARTS)
        if which == MODEL:
            part, inner = self.model.dump_part(inner, size)
            return part, joined(MODEL, inner, PARTS) if inner else joined(FEATURES, 0, PARTS)
        table = self._features if which == FEATURES else self._hidden
        part, inner = table.dump_part(inner, size)
        if inner:
            return part, joined(which, inner, PARTS)
        return part | self._numbers(), joined(HIDDEN, 0, PARTS) if which == FEATURES else 0

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind. A dump of the model alone works, too, so rules can begin at any time."""
        of_model = {name: array for name, array in record.items() if not name.startswith("rules.")}
        if of_model:
            self.model.load(of_model)
        self._selector.catalogue.load(record)
        self._hidden.load(record)
        if "rules.numbers" in record:
            self._depth, self._learned, self._item_events = record["rules.numbers"].tolist()

    @property
    def _features(self) -> Records:
        return self._selector.catalogue.features

    def _numbers(self) -> dict[str, NDArray[Any]]:
        return {"rules.numbers": np.array([self._depth, self._learned, self._item_events])}

    def _hide(self, user: str, item: str) -> None:
        hidden = [other for other in self._hidden.get(user) or () if other != item]
        self._hidden[user] = [*hidden, item][-MOST_HIDDEN:]

    def _show(self, user: str, item: str) -> None:
        rest = [other for other in self._hidden.get(user) or () if other != item]
        if rest:
            self._hidden[user] = rest
        else:
            self._hidden.remove(user)

    def _may_hide(self, example: Example) -> bool:
        if not self.hide:
            return False
        kind = (example.x or {}).get("event")
        return kind in self.hide or kind in self.unhide or example.undoes in self.hide or example.user in self._hidden

    def _step(self, example: Example, n: int, score: bool) -> Step:
        """Process one example: its list may need more candidates than the first ones."""
        user, item, x = example.user, example.item, example.x
        kind, depth = (x or {}).get("event"), self._depth_for(n)
        if kind in self.unhide:
            self._show(user, item)
            chosen = self._deep(user, n, without_time(x), self._context(example))
            return self._with_list(Step(None, [], [], False), chosen)
        if example.undoes is not None and example.undoes in self.hide:
            self._show(user, item)
        before = None
        if score and n > 0 and example.undoes is None and self._is_target(user, item, example.y):
            now = {**(x or {}), "timestamp": example.timestamp}
            before = [i for i, _ in pairs(self._deep(user, n, now, is_counted=False))]
        if kind in self.hide and example.undoes is None:
            self._hide(user, item)
        [step] = self.model.step_many([example], depth, score)
        chosen = self._selector.select(user, step.items, step.scores, n, self._context(example))
        if len(chosen) < n and len(step.items) == depth:
            self._depth = min(2 * self._depth, CANDIDATES * DEEPER)
            chosen = self._deep(user, n, without_time(x), self._context(example), is_again=True)
        elif len(chosen) < n and len(chosen) < len(step.items):
            self._selector.note_short(user, len(chosen))
        elif self._depth > CANDIDATES and chosen and max(slot for _, _, slot, _ in chosen) < self._depth // 4:
            self._depth -= 1
        self._count_learned(1)
        position = None
        if before is not None and step.position is not None:
            position = before.index(item) if item in before else -1
            self._score(position, step.position, n)
            self._compare(step.items[:n], [i for i, _ in pairs(chosen)])
        return self._with_list(step._replace(position=position), chosen)

    def _score(self, position: int, without: int, n: int) -> None:
        self.tally.scored += 1
        self.tally.hits += position >= 0
        self.tally.hits_without += 0 <= without < n

    def _compare(self, without: Sequence[str], items: Sequence[str]) -> None:
        """Measure how alike the items of a list are, with rules and without."""
        self.tally.compared += 1
        self.tally.similarity_without += self.similarity(without)
        self.tally.similarity += self.similarity(items)

    def _with_list(self, step: Step, chosen: Sequence[Chosen]) -> Step:
        self.tally.lists += 1
        scores = [round(float(score), 6) for _, score, _, _ in chosen]
        return step._replace(items=[item for item, _, _, _ in chosen], scores=scores)

    def _context(self, example: Example) -> Context | None:
        """Return the context in which rules are looked up for the list after an example."""
        if not self._selector.force.is_conditional:
            return example.x
        return {**(example.x or {}), "timestamp": example.timestamp}

    def _deep(
        self,
        user: str,
        n: int,
        x: Context | None,
        of_rules: Context | None = None,
        *,
        is_counted: bool = True,
        is_again: bool = False,
    ) -> list[Chosen]:
        """Ask the model for a list, and for more candidates as long as the rules leave too few.

        Args:
            user: Id of the user.
            n: Length of the list.
            x: Context for the model.
            of_rules: Context for the rules. None: the same.
            is_counted: Whether the list counts. One that is only scored does not.
            is_again: Whether the items that rules left out have been counted.
        """
        depth = self._depth_for(n)
        chosen: list[Chosen] = []
        while depth:
            listed = self.model.top(user, depth, x)
            items, scores = [item for item, _ in listed], [score for _, score in listed]
            chosen = self._selector.select(user, items, scores, n, of_rules or x, is_counted and not is_again)
            is_again = True
            if len(chosen) >= n or len(listed) < depth or depth >= MOST_CANDIDATES:
                if is_counted and len(chosen) < min(n, len(listed)):
                    self._selector.note_short(user, len(chosen))
                break
            depth = min(depth * DEEPER, MOST_CANDIDATES)
            self.tally.deepened += is_counted
        self._selector.count_removed()
        return chosen

    def _depth_for(self, n: int) -> int:
        return max(self._depth, 2 * n) if n > 0 else 0

    def _reasons(self, item: str, place: int, passed: int, in_force: int) -> dict[str, float]:
        """Return what rules and diversity did for an item of a list."""
        said: dict[str, float] = {}
        met = self._selector.met(item)
        for k, rule in enumerate(self.rules):
            if not in_force >> k & 1:
                continue
            if rule.action == "pin" and rule.item == item:
                said[f"rule {rule.name}"] = float(place + 1)
            elif rule.action == "boost" and met >> k & 1:
                said[f"rule {rule.name}"] = log(rule.by)
        if passed:
            said["diversity"] = float(passed)
        return said

    def _allowed(self, ask: Callable[[int], list[tuple[str, float]]], n: int) -> list[tuple[str, float]]:
        if n <= 0 or not any(rule.action in ("exclude", "require") for rule in self.rules):
            return ask(n)
        return [pair for pair in ask(max(CANDIDATES, 4 * n)) if not self.keeps_out(pair[0])][:n]

    def _count_learned(self, count: int) -> None:
        before, self._learned = self._learned, self._learned + count
        if before < EVENTS <= self._learned and not self._item_events:
            self.tally.notes += without_item_events(self.rules)
