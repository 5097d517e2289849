"""Exploration: a slot of some lists goes to an item with little evidence so far."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.base import Context, Example, Recommender, Step, Why, against, time_of
from recmodels.exploration.outcomes import Outcomes
from recmodels.exploration.thompson import ThompsonBandit
from recmodels.kernels.splitmix import GOLDEN_GAMMA, mix
from recmodels.rewards import bounded
from recmodels.validation import expect_counts, expect_numbers
from recmodels.wrapper import Wrapper

WORD: Final = (1 << 64) - 1
MOST_SLOTS: Final = 10_000
"""Maximum number of slots that wait for an answer. Slots of users who never return are dropped at this number."""
LONGEST_WINDOW: Final = 1e9
"""Maximum window, in seconds."""
IMPRESSION: Final = "impression"
"""Type of the events that say that an item was shown."""


class Explorer(Wrapper):
    """Wraps any model, and gives the last slot of a share of its lists to an item on trial.

    A model recommends items that were chosen before, so an item in no list stays unknown, however good it is. Each item
    is on trial from its first interaction or item event. Thompson sampling picks the item of a slot: it draws a
    probability from the posterior of each item, and the highest wins (`recmodels.exploration.thompson`). So new items
    are tried, good ones stay, and bad ones disappear.

    The outcome of a slot is the user's next interaction: with that item or with another. With a `window`, impressions
    decide (`recmodels.exploration.outcomes`). A slot is taken if the user interacts with its item within the window. It
    is not taken if an event of type `impression` says that the item was shown, and the window ends. A slot that nobody
    saw says nothing.

    The slot is the last of the list, where it costs least and leaves the order of the others. The item keeps the
    model's own score. Unavailable items get no slot. Nor do the user's own items where repeats are excluded. `top` and
    `Step.position` refer to the list with the slot, which the user gets.

    Whether a list has a slot depends only on the seed and on the number of learned events. Reads change nothing.
    River's `bandit.ThompsonSampling` changes with each `pull`, so it is not used here.

    Args:
        model: Any model.
        share: Share of the lists that have a slot, from 0 to 1.
        arms: Maximum number of items on trial. Beyond it the item with the lowest posterior mean is dropped, the
            oldest of equals.
        seed: Seed of the draws.
        window: Seconds of event time after a list in which impressions and interactions answer its slot. 0: the user's
            next interaction answers it.

    Source: Chapelle and Li, An Empirical Evaluation of Thompson Sampling, NIPS 2011.

    >>> from recmodels import Popularity
    >>> model = Explorer(Popularity(), share=1.0)
    >>> model.learn_one("ann", "tea")
    >>> model.learn_one("bob", "jam")
    >>> model.learn_item("pie", {"title": "Pie"})
    >>> [item for item, score in model.top("eve", n=2)], [item for item, score in model.model.top("eve", n=2)]
    (['jam', 'pie'], ['jam', 'tea'])
    """

    def __init__(
        self, model: Recommender, share: float = 0.05, arms: int = 1_000, seed: int = 0, window: float = 0.0
    ) -> None:
        super().__init__(model)
        expect_numbers(0.0, 1.0, share=share)
        expect_numbers(0.0, LONGEST_WINDOW, window=window)
        expect_counts(arms=arms)
        expect_counts(0, seed=seed)
        self.seed = seed
        self.share = share
        self.arms = arms
        self.window = window
        self._trial = ThompsonBandit(arms, MOST_SLOTS)
        self._outcomes = Outcomes(self._trial, window, MOST_SLOTS) if window else None
        self._learned = 0
        self._now = -inf
        self._newest_slot = ("", "", -1)  # user and item of the newest list with a slot that was read, and when

    def __repr__(self) -> str:
        window = f", window={self.window}" if self.window else ""
        return (
            f"{type(self).__name__} (model={self.model!r}, share={self.share}, arms={self.arms}, "
            f"seed={self.seed}{window})"
        )

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Learn one interaction. It is first the outcome of a slot, if the user's list had one."""
        is_new = bounded(y) > 0.0 and not self.model.knows(item)
        self.model.learn_one(user, item, y, x)
        self._learn(user, item, y, is_new, x, time_of(x))

    def undo_one(self, user: str, item: str, kind: str = "", y: float = -1.0, x: Context | None = None) -> bool:
        """Have the model take back an interaction. It answers no slot."""
        is_undone = self.model.undo_one(user, item, kind, y, x)
        self._learn(user, item, against(y), False, None, time_of(x))
        return is_undone

    def top(self, user: str, n: int = 10, x: Context | None = None) -> list[tuple[str, float]]:
        """Return the user's list, with a slot if the present draw gives one."""
        listed = self.model.top(user, n, x)
        item = self._item_for(user, [known for known, _ in listed], n)
        if item is None:
            return listed
        self._newest_slot = (user, item, self._learned)
        return [*listed[: n - 1], (item, self.model.predict_one(user, item, x))]

    def note_sent(self, user: str, items: Sequence[str], timestamp: float) -> None:
        """Note that a list which `top` has returned goes out, so that an impression can answer its slot.

        Args:
            user: Id of the user.
            items: The list.
            timestamp: Time of the list in Unix seconds.
        """
        known, item, learned = self._newest_slot
        if self._outcomes is not None and (known, learned) == (user, self._learned) and items and items[-1] == item:
            self._outcomes.begin(user, item, timestamp)

    def explain(self, user: str, n: int = 10, x: Context | None = None) -> list[Why]:
        """Return the user's list with the model's reasons. The reason of an item on trial is the trial."""
        listed = self.model.explain(user, n, x)
        item = self._item_for(user, [why.item for why in listed], n)
        if item is None:
            return listed
        score = self.model.predict_one(user, item, x)
        return [*listed[: n - 1], Why(item, score, {"explore": score})]

    def step_many(self, examples: Sequence[Example], n: int = 10, score: bool = False) -> list[Step]:
        """Process examples in order. One call of the model covers those up to the next slot or the next new item.

        Each list made here counts as shown. In this, `step_many` differs from `learn_one`.
        """
        steps: list[Step] = []
        while len(steps) < len(examples):
            start = len(steps)
            first, stop = examples[start], start + 1
            is_new = bounded(first.y) > 0.0 and not self.model.knows(first.item)
            if self.model.knows(first.item):  # items that are known now stay known
                while stop < len(examples) and self.model.knows(examples[stop].item):
                    if self._is_drawn(stop - start):
                        break
                    stop += 1
            before = None
            if n > 0 and bounded(first.y) > 0.0 and self._is_drawn(0):
                x = {"timestamp": first.timestamp, **(first.x or {})}
                before = [item for item, _ in self.model.top(first.user, n, x)]
                slot = self._item_for(first.user, before, n)
                before = before if slot is None else [*before[: n - 1], slot]
            part = self.model.step_many(examples[start:stop], n, score)
            if before is not None and part[0].position is not None:
                part[0] = part[0]._replace(position=before.index(first.item) if first.item in before else -1)
            for example in examples[start:stop]:
                self._learn(example.user, example.item, example.y, is_new, example.x, example.timestamp)
            part[-1] = self._with_slot(examples[stop - 1], part[-1], n)
            steps += part
        return steps

    def learn_item(self, item: str, x: Context | None = None, available: bool | None = None) -> None:
        """Learn an item's attributes and availability. A new item goes on trial."""
        if not self.model.knows(item):
            self._trial.add(item)
        self.model.learn_item(item, x, available)

    def forget_one(self, user: str) -> None:
        """Erase a user from the model and from the slots without an outcome."""
        self.model.forget_one(user)
        self._trial.reward(user, None)
        if self._outcomes is not None:
            self._outcomes.forget(user)

    @property
    def totals(self) -> tuple[int, int]:
        """Number of slots with an outcome, and of those whose item was taken."""
        return self._trial.totals

    def _unit_test_skips(self) -> dict[str, str]:
        return self.model._unit_test_skips() | {
            "check_top_holds_each_item_once": "the slot is the last of any list, so a short list begins no long one",
            "check_untouched_items_are_not_listed": "an item of which nobody knows anything is what a slot is for",
            "check_step_many_learns_what_learn_one_learns": "a list that is made is shown, and that is remembered",
        }

    @property
    def version(self) -> str:
        """Names the model in every list it makes."""
        return self.version_of(self.model.version)

    @staticmethod
    def version_of(version: str) -> str:
        """Return the version of an explorer around a model of this version."""
        return f"{version}+explore"

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state: the model's, and `explore.*`."""
        self._trial.mark_changed()
        if self._outcomes is not None:
            self._outcomes.mark_changed()
        return self.model.dump() | self._dump_own()

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that changed since the last dump."""
        return self.model.dump_changes() | self._dump_own()

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return a part of the model's state. The last part includes the items on trial, which are small."""
        part, place = self.model.dump_part(place, size)
        if place:
            return part, place
        waiting = {} if self._outcomes is None else self._outcomes.copy_rows()
        return part | self._trial.copy_rows() | waiting | self._count(), place

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind. A dump of the model alone works, too, so exploration can start at any time."""
        self.model.load(record)
        self._trial.load(record)
        self._learned = int(record.get("explore.learned", [self._learned])[0])
        self._now = float(record.get("explore.now", [self._now])[0])
        if self._outcomes is not None:
            self._outcomes.load(record)

    def _dump_own(self) -> dict[str, NDArray[Any]]:
        waiting = {} if self._outcomes is None else self._outcomes.dump_changes()
        return self._trial.dump_changes() | waiting | self._count()

    def _count(self) -> dict[str, NDArray[Any]]:
        counted = {"explore.learned": np.array([self._learned])}
        return counted if self._outcomes is None else counted | {"explore.now": np.array([self._now])}

    def _learn(self, user: str, item: str, y: float, is_new: bool, x: Context | None, time: float) -> None:
        self._learned += 1
        if self._outcomes is None:
            self._trial.reward(user, item if bounded(y) > 0.0 else None)
        else:
            self._join(self._outcomes, user, item, y, x, time)
        if is_new:
            self._trial.add(item)

    def _join(self, outcomes: Outcomes, user: str, item: str, y: float, x: Context | None, time: float) -> None:
        """Join an event to the slot that it answers."""
        self._now = max(self._now, time)  # a time that is NaN changes nothing
        outcomes.end_before(self._now)
        if x is not None and x.get("event") == IMPRESSION:
            outcomes.see(user, item, time)
        elif bounded(y) > 0.0:
            outcomes.take(user, item, time)

    def _is_drawn(self, later: int = 0) -> bool:
        """Return whether the lists after this event have a slot, or those after a later event."""
        return _chance(self.seed, self._learned + later) < self.share

    def _item_for(self, user: str, listed: Sequence[str], n: int) -> str | None:
        if n <= 0 or not self._is_drawn():
            return None

        def is_eligible(item: str) -> bool:
            if item in listed or not self.model.may_list(user, item):
                return False
            return self.repeats == "allow" or not self.model.has_seen(user, item)

        return self._trial.draw(np.random.default_rng([self.seed, self._learned]), is_eligible)

    def _with_slot(self, example: Example, step: Step, n: int) -> Step:
        item = self._item_for(example.user, step.items, n)
        if item is None:
            return step
        if self._outcomes is None:
            self._trial.show(example.user, item, self._learned)
        else:
            self._outcomes.begin(example.user, item, example.timestamp)
        score = round(float(self.model.predict_one(example.user, item, example.x)), 6)
        return step._replace(items=[*step.items[: n - 1], item], scores=[*step.scores[: n - 1], score])


def _chance(seed: int, number: int) -> float:
    """Return a pseudo-random number from 0 to 1 for a seed and a number (SplitMix64)."""
    word = (seed * 0xD1342543DE82EF95 + (number + 1) * int(GOLDEN_GAMMA)) & WORD
    return int(mix(np.array([word], np.uint64))[0]) / (WORD + 1)
