"""Each check of the contract is shown to fail on a model that breaks its rule, and to pass on one that does not."""

import copy
import itertools
import random
from math import inf
from typing import Any

import numpy as np
import pytest

from recmodels import Popularity, checks
from recmodels.checks.equality import is_same
from recmodels.checks.events import Factory
from tests.support.broken_answers import (
    AlwaysExcludes,
    BelievesRewards,
    BelievesTimes,
    IdsAreAscii,
    ItemEventsAreInteractions,
    ItemListsWrite,
    LearnsWhatItLists,
    ListsAtTheEnd,
    ListsBefore,
    ListsTwice,
    ListsUnavailable,
    NeedsEvents,
    NeverExcludes,
    NothingForStrangers,
    Once,
    OrdersByHash,
    OtherScores,
    PredictWrites,
    Random,
    RanksByName,
    RankWrites,
    Reversed,
    SaysItUndoes,
    ScoresAfterwards,
    ScoresEverything,
    ScoresStrangersByName,
    SortsTiesByName,
    Sound,
    TopWrites,
    UndoesNothing,
    Unseeded,
)
from tests.support.broken_state import (
    ChangesOfTheFirstOnly,
    CloneIsSelf,
    DumpsViews,
    ForgetsTooMuch,
    Grows,
    GrowsByExcluding,
    GrowsByHiding,
    IgnoresDeltas,
    KeepsWhatWasSeen,
    LosesCounts,
    MutableDefault,
    NeverLearns,
    NoRanker,
    PassesOn,
    RemembersTheForgotten,
    RenamesAnArgument,
    RepeatsDeltas,
    ReprByAddress,
    SharedCounts,
    SharesInSilence,
    TakesAnything,
    VersionCounts,
    WrongRow,
)

BROKEN: dict[str, list[Factory]] = {
    "check_predict_one_never_writes": [PredictWrites],
    "check_rank_never_writes": [RankWrites, PredictWrites],
    "check_top_never_writes": [TopWrites, PredictWrites],
    "check_item_lists_never_write": [ItemListsWrite],
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
    "check_undo_says_whether_it_took_back": [SaysItUndoes],
    "check_undone_item_is_not_had": [UndoesNothing],
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
    "check_lists_are_the_same_in_every_process": [Unseeded, OrdersByHash],
    "check_deltas_teach_other_models": [IgnoresDeltas, SharesInSilence],
    "check_deltas_are_taken_once": [RepeatsDeltas, PassesOn],
}

CHECKS = {check.__name__: check for check in checks.ALL}

CASES = [(name, broken) for name, models in BROKEN.items() for broken in models]


def test_every_check_has_a_broken_model() -> None:
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
