"""Each check of the contract is shown to fail on a model that breaks its rule, and to pass on one that does not."""

import copy
import itertools
import random
from collections import Counter
from math import inf, isfinite
from typing import Any, ClassVar

import numpy as np
import pytest

from recmodels import Popularity, Recommender, checks
from recmodels.checks.equality import is_same
from recmodels.checks.events import Factory
from recmodels.rewards import bounded


class Sound(Recommender):
    """Counts, in plain Python: small, and right."""

    def __init__(self, repeats: str = "allow", max_users: int = 10_000, max_items: int = 10_000, seed: int = 0) -> None:
        super().__init__(repeats=repeats, seed=seed, max_users=max_users, max_items=max_items)
        self.counts: Counter[str] = Counter()
        self.last: dict[str, str] = {}

    def _unit_test_skips(self) -> dict[str, str]:
        return {}

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        if self.remember(user, item, y):
            self.counts[item] += bounded(y)
            self.last.pop(user, None)
            self.last[user] = item
            self.make_room()

    def make_room(self) -> None:
        while len(self.last) > self.max_users:
            self.forget_one(next(iter(self.last)))

    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return self.counts.get(item, 0.0) + 0.25 * (self.last.get(user) == item)

    def forget_one(self, user: str) -> None:
        super().forget_one(user)
        self.last.pop(user, None)


class PredictWrites(Sound):
    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        self.last.setdefault(user, "")  # what a defaultdict does
        return super().predict_one(user, item, x)


class RankWrites(Sound):
    def rank(self, user: str, items: Any, x: Any = None) -> list[str]:
        self.counts.update(dict.fromkeys(items, 0))
        return super().rank(user, items, x)


class TopWrites(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        self.asked = getattr(self, "asked", 0) + 1
        return super().top(user, n, x)


class Random(Sound):
    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return random.random()


class SortsTiesByName(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        return sorted(super().top(user, 10_000, x), key=lambda pair: (-pair[1], pair[0]))[:n]


class ScoresStrangersByName(Sound):
    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return (
            super().predict_one(user, item, x) if item in self.catalogue else -float(len(item) + ord(item[-1:] or "a"))
        )


class NeverExcludes(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        repeats, self.repeats = self.repeats, "allow"
        try:
            return super().top(user, n, x)
        finally:
            self.repeats = repeats


class AlwaysExcludes(Sound):
    def __init__(self, repeats: str = "allow", max_users: int = 10_000, max_items: int = 10_000, seed: int = 0) -> None:
        super().__init__("exclude", max_users, max_items, seed)


class Reversed(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        return super().top(user, n, x)[::-1]


class OtherScores(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        return [(item, score / 2) for item, score in super().top(user, n, x)]


class RanksByName(Sound):
    def rank(self, user: str, items: Any, x: Any = None) -> list[str]:
        return sorted(items)


class ListsTwice(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        return [pair for pair in super().top(user, n, x) for _ in range(2)][:n]


class NeedsEvents(Sound):
    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return super().predict_one(user, item, x) / len(self.catalogue)


class NothingForStrangers(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        return super().top(user, n, x) if user in self.last else []


class ListsUnavailable(Sound):
    def learn_item(self, item: str, x: Any = None, available: bool | None = None) -> None:
        pass


class ItemEventsAreInteractions(Sound):
    def learn_item(self, item: str, x: Any = None, available: bool | None = None) -> None:
        super().learn_item(item, x, available)
        self.catalogue.setdefault(item, None)


class BelievesRewards(Sound):
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        super().learn_one(user, item, y, x)
        self.counts[item] += y - bounded(y) if isfinite(y) else y


class BelievesTimes(Sound):
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        super().learn_one(user, item, y, x)
        self.counts[item] += (x or {}).get("timestamp", 0.0)


class IdsAreAscii(Sound):
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        assert item.isascii()
        super().learn_one(user, item, y, x)


class Once(Sound):
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        super().learn_one(user, item, y, x)
        self.counts[item] *= 1e30 if self.counts[item] > 40 else 1.0


class ScoresEverything(Sound):
    def _position(self, user: str, item: str, y: float, n: int, x: Any) -> int | None:
        return super()._position(user, item, 1.0, n, x)


class ScoresAfterwards(Sound):
    def _position(self, user: str, item: str, y: float, n: int, x: Any) -> int | None:
        before = super()._position(user, item, y, n, x)
        return before if before is None else 0


class ListsBefore(Sound):
    def step_many(self, examples: Any, n: int = 10, score: bool = False) -> Any:
        before = [self.top(example.user, n) for example in examples]
        steps = super().step_many(examples, n, score)
        return [
            step._replace(items=[i for i, _ in listed], scores=[s for _, s in listed])
            for step, listed in zip(steps, before, strict=True)
        ]


class LearnsWhatItLists(Sound):
    def step_many(self, examples: Any, n: int = 10, score: bool = False) -> Any:
        steps = super().step_many(examples, n, score)
        self.counts.update(item for step in steps for item in step.items)
        return steps


class ListsAtTheEnd(Sound):
    def step_many(self, examples: Any, n: int = 10, score: bool = False) -> Any:
        steps = super().step_many(examples, n, score)
        lists = [self.top(example.user, n) for example in examples]
        return [
            step._replace(items=[i for i, _ in listed], scores=[s for _, s in listed])
            for step, listed in zip(steps, lists, strict=True)
        ]


class NeverLearns(Sound):
    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return 0.0


class LosesCounts(Sound):
    def load(self, record: Any) -> None:
        super().load(record)
        self.counts = Counter()


class ChangesOfTheFirstOnly(Sound):
    def dump_changes(self) -> Any:
        self.first = getattr(self, "first", None) or super().dump()
        return self.first


class DumpsViews(Popularity):
    def dump(self) -> Any:
        return {**super().dump(), "small.counters": self.memory.small["counters"]}


class SharedCounts(Sound):
    shared: ClassVar[Counter[str]] = Counter()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.counts = type(self).shared

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        super().learn_one(user, item, y, x)
        type(self).shared = self.counts


class RemembersTheForgotten(Sound):
    def forget_one(self, user: str) -> None:
        super().forget_one(user)
        self.gone = user


class ForgetsTooMuch(Sound):
    def forget_one(self, user: str) -> None:
        super().forget_one(user)
        self.counts.pop(user, None)  # an item of the same id


class KeepsWhatWasSeen(Sound):
    def forget_one(self, user: str) -> None:
        self.last.pop(user, None)


class Grows(Sound):
    def make_room(self) -> None:
        pass


class GrowsByHiding(Sound):
    def learn_item(self, item: str, x: Any = None, available: bool | None = None) -> None:
        if not available:
            self.unavailable.add(item)


class GrowsByExcluding(Sound):
    def make_room(self) -> None:
        while len(self.last) > self.max_users:
            del self.last[next(iter(self.last))]

    def remember(self, user: str, item: str, y: float = 1.0) -> bool:
        self._seen.setdefault(user, {})[item] = None
        return super().remember(user, item, y)


class NoRanker:
    pass


class RenamesAnArgument(Sound):
    def _get_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super()._get_params()
        params.pop("seed")
        return params


class MutableDefault(Sound):
    def __init__(self, repeats: str = "allow", seed: int = 0, names: list[str] = []) -> None:  # noqa: B006  # that is it
        super().__init__(repeats=repeats, seed=seed)
        self.names = names


class TakesAnything(Sound):
    def __init__(self, repeats: str = "allow", seed: int = 0) -> None:
        super().__init__(repeats="allow", seed=seed)
        self.repeats = repeats


class ReprByAddress(Sound):
    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self)}>"


class CloneIsSelf(Sound):
    def clone(self, new_params: Any = None, include_attributes: bool = False) -> Any:
        return self


class VersionCounts(Sound):
    @property
    def version(self) -> str:
        return f"counts of {len(self.counts)}"


class WrongRow(Popularity):
    """Forgets to note what has changed."""

    def dump_changes(self) -> Any:
        for table in self.memory.tables.values():
            table.dirty[: table.used : 2] = 0
        return super().dump_changes()


BROKEN: dict[str, list[Factory]] = {
    "check_predict_one_never_writes": [PredictWrites],
    "check_rank_never_writes": [RankWrites, PredictWrites],
    "check_top_never_writes": [TopWrites, PredictWrites],
    "check_lists_are_deterministic": [Random],
    "check_equal_scores_keep_the_order_first_seen": [SortsTiesByName],
    "check_unknown_items_rank_last_as_given": [ScoresStrangersByName, RanksByName],
    "check_excluded_repeats_are_left_out": [NeverExcludes],
    "check_allowed_repeats_are_listed": [AlwaysExcludes],
    "check_top_is_sorted_by_score": [Reversed],
    "check_top_agrees_with_predict_one": [OtherScores, Random],
    "check_top_agrees_with_rank": [RanksByName, Reversed],
    "check_top_holds_each_item_once": [ListsTwice, Reversed],
    "check_empty_catalogue_gives_empty_lists": [NeedsEvents],
    "check_strangers_get_a_list": [NothingForStrangers, Random],
    "check_unavailable_items_are_not_listed": [ListsUnavailable],
    "check_untouched_items_are_not_listed": [ItemEventsAreInteractions, ListsUnavailable],
    "check_strange_rewards_are_no_error": [BelievesRewards],
    "check_strange_times_are_no_error": [BelievesTimes],
    "check_strange_ids_are_no_error": [IdsAreAscii],
    "check_same_event_twice_is_no_error": [Once],
    "check_only_new_positive_events_are_scored": [ScoresEverything],
    "check_position_is_where_top_lists_the_item": [ScoresAfterwards],
    "check_step_many_lists_what_top_lists": [ListsBefore],
    "check_step_many_learns_what_learn_one_learns": [LearnsWhatItLists],
    "check_batches_never_show": [ListsAtTheEnd],
    "check_learning_teaches": [NeverLearns],
    "check_loaded_models_go_on_alike": [LosesCounts],
    "check_changes_add_up": [ChangesOfTheFirstOnly, WrongRow],
    "check_changes_add_up_from_nothing": [ChangesOfTheFirstOnly, WrongRow],
    "check_dumps_are_copies": [DumpsViews],
    "check_state_is_not_pickled": [Sound],
    "check_copies_go_their_own_way": [SharedCounts],
    "check_forget_one_leaves_no_trace": [RemembersTheForgotten, KeepsWhatWasSeen],
    "check_forget_one_leaves_the_others": [ForgetsTooMuch],
    "check_forgotten_users_may_come_back": [KeepsWhatWasSeen],
    "check_memory_is_bounded": [Grows, GrowsByHiding, GrowsByExcluding],
    "check_model_is_a_river_ranker": [NoRanker],
    "check_arguments_are_attributes": [RenamesAnArgument],
    "check_defaults_are_immutable": [MutableDefault],
    "check_wrong_repeats_are_refused": [TakesAnything],
    "check_repr_names_the_arguments": [ReprByAddress],
    "check_clone_has_the_arguments_and_no_state": [CloneIsSelf],
    "check_version_is_a_word": [VersionCounts],
}
CHECKS = {check.__name__: check for check in checks.ALL}
CASES = [(name, broken) for name, models in BROKEN.items() for broken in models]


def test_every_check_is_here() -> None:
    assert BROKEN.keys() == CHECKS.keys()


@pytest.mark.parametrize(("name", "broken"), CASES, ids=[f"{name}-{model.__name__}" for name, model in CASES])
def test_check_fails_on_a_broken_model(name: str, broken: Factory) -> None:
    with pytest.raises((AssertionError, ZeroDivisionError)):
        CHECKS[name](broken)


@pytest.mark.parametrize("name", BROKEN)
def test_check_passes_on_a_sound_model(name: str) -> None:
    CHECKS[name](Popularity if name in ("check_state_is_not_pickled", "check_dumps_are_copies") else Sound)


def test_a_model_opts_out_by_name_with_a_reason() -> None:
    class Modest(Random):
        def _unit_test_skips(self) -> dict[str, str]:
            return {"check_lists_are_deterministic": "it throws dice"}

    held_to = {check.__name__ for check in checks.yield_checks(Modest)}
    assert CHECKS.keys() - held_to == {"check_lists_are_deterministic"}
    assert checks.reasons_to_skip(Modest) == {"check_lists_are_deterministic": "it throws dice"}


def test_equality_looks_all_the_way_down() -> None:
    class Box:
        def __init__(self, inside: Any) -> None:
            self.inside = inside

    same = [1, 1.0, "a", None, float("nan"), inf, {"a": [1, {2}]}, (1, 2), random.Random(3), np.arange(3), Box([1])]
    other = [2, 1.5, "b", True, 0.0, -inf, {"a": [1, {3}]}, (1, 3), random.Random(4), np.arange(3.0), Box([2])]
    for value, another in zip(same, other, strict=True):
        assert is_same(Box(value), copy.deepcopy(Box(value)))
        assert not is_same(Box(value), Box(another))
    for a, b in itertools.combinations(same, 2):
        assert not is_same(a, b)
