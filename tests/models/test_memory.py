"""Bounded memory: tables stay consistent under evictions, and results do not depend on batches or restarts."""

import copy
import gc
import os
import pickle
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recmodels import Blend, CoVisitation, Example
from recmodels.checks.consistency import expect_whole
from recmodels.checks.equality import expect_same_state
from recmodels.fused.model import FusedModel

TINY = {
    **{"max_users": 6, "max_items": 9, "max_pairs": 11, "max_history": 4, "max_tags": 11},
    **{"recent": 3, "row_length": 3, "n_factors": 4},
}
NARROW = {**TINY, "max_users": 3, "max_items": 2, "max_pairs": 2, "max_history": 1, "recent": 1, "row_length": 1}
LEAST = {**dict.fromkeys(TINY, 1), "max_tags": 8}
WIDE = {**TINY, "max_users": 30, "max_items": 150, "max_pairs": 400, "max_history": 40}
"""More items than popularity proposes."""


class Three:
    """One model that takes batches, one that takes events singly, and one that is restored after everything."""

    def __init__(self, repeats: str, **arguments: Any) -> None:
        self.batched, self.single, self.restored = (Blend(repeats=repeats, **arguments) for _ in range(3))
        self.all = (self.batched, self.single, self.restored)

    def interactions(self, pairs: list[tuple[int, int, float]], time: float) -> None:
        events = [Example(f"u{user}", f"i{item}", y, time + k) for k, (user, item, y) in enumerate(pairs)]
        steps = self.batched.step_many(events, 5)
        assert steps == [step for event in events for step in self.single.step_many([event], 5)]
        assert steps == self.restored.step_many(events, 5)
        for step in steps:
            assert len(set(step.items)) == len(step.items)
            assert None not in step.items
            assert all(a >= b for a, b in pairwise(step.scores))

    def available(self, item: int, available: bool) -> None:
        for model in self.all:
            model.learn_item(f"i{item}", available=available)

    def announce(self, item: int, tags: list[int]) -> None:
        for model in self.all:
            model.learn_item(f"i{item}", {"tags": [f"t{tag}" for tag in tags]})

    def forget(self, user: int) -> None:
        for model in self.all:
            model.forget_one(f"u{user}")

    def expect_whole(self) -> None:
        for model in self.all:
            expect_whole(model)
        self.restart()
        expect_same_state(self.batched, self.single)
        expect_same_state(self.batched, self.restored)

    def restart(self) -> None:
        fresh = self.restored.clone()
        fresh.load(self.restored.dump())
        self.restored = fresh
        self.all = (self.batched, self.single, self.restored)


USER, ITEM = st.integers(0, 9), st.integers(0, 14)
REWARD = st.sampled_from([1.0, 1.0, 1.0, 2.0, 0.0, -1.0])
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("interactions"), st.lists(st.tuples(USER, ITEM, REWARD), min_size=1, max_size=12)),
        st.tuples(st.just("available"), ITEM, st.booleans()),
        st.tuples(st.just("announce"), ITEM, st.lists(st.integers(0, 20), max_size=9)),
        st.tuples(st.just("forget"), USER),
    ),
    max_size=25,
)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [TINY, NARROW, LEAST], ids=["tiny", "narrow", "least"])
@pytest.mark.parametrize("repeats", ["allow", "exclude"])
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(deeds=DEEDS)
def test_tables_stay_whole(sizes: dict[str, int], repeats: str, deeds: list[Any]) -> None:
    three = Three(repeats, **sizes)
    for number, (deed, *arguments) in enumerate(deeds):
        more = [float(100 * number)] if deed == "interactions" else []
        getattr(three, deed)(*arguments, *more)
        three.expect_whole()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_tables_stay_whole_for_long(seed: int) -> None:
    draw = random.Random(seed)
    sizes, users, items = [(TINY, 12, 20), (WIDE, 50, 400), (WIDE, 20, 170), ({**WIDE, "max_pairs": 30}, 60, 200)][seed]
    three = Three(["allow", "exclude"][seed % 2], **sizes)
    for number in range(60):
        for _ in range(draw.randrange(4)):
            three.available(draw.randrange(items), draw.random() < 0.4)
            three.announce(draw.randrange(items), draw.sample(range(90), draw.randrange(9)))
        if draw.random() < 0.5:
            three.forget(draw.randrange(users))
        rewards = [1.0, 1.0, 1.0, 3.0, -1.0]
        pairs = [
            (draw.randrange(users), draw.randrange(items), draw.choice(rewards)) for _ in range(draw.randrange(80))
        ]
        three.interactions(pairs, 1_000.0 * number)
        three.expect_whole()


@pytest.mark.slow
@pytest.mark.parametrize(("repeats", "users"), [("allow", 100_000), ("exclude", 30_000)])
def test_small_tables_take_very_many_ids(repeats: str, users: int) -> None:
    model = Blend(repeats=repeats, max_users=1_000, max_items=2_000, max_pairs=5_000, max_history=20)
    draw = random.Random(1)
    for start in range(0, users, 1_000):
        newest = start // 4
        events = [
            Example(f"user {k}", f"item {max(0, newest - int(draw.expovariate(0.01)))}", 1.0, float(k))
            for k in range(start, start + 1_000)
        ]
        for step in model.step_many(events, 5):
            assert start < 5_000 or len(step.items) == 5
    expect_whole(model)
    assert len(model.memory.users) <= 1_000
    assert len(model.memory.items) <= 2_000
    assert sum(len(array) for name, array in model.dump().items() if name.endswith(".rows")) < 20_000
    listed = [int(item.split()[1]) for item, _ in model.top("stranger", 10)]
    assert len(listed) == 10
    assert min(listed) > 0.9 * users / 4, "what was touched last is not what is listed"


def test_least_recently_used_rows_are_evicted() -> None:
    model = CoVisitation(max_users=3, max_items=3)
    for user, item in [("a", "x"), ("b", "y"), ("c", "z"), ("a", "x"), ("d", "w")]:
        model.learn_one(user, item)
    assert set(model.memory.users.rows) == {"a", "c", "d"}
    assert set(model.memory.items.rows) == {"x", "z", "w"}
    assert not model.has_seen("b", "y")
    expect_whole(model)


def test_announcing_an_item_is_using_it() -> None:
    model = CoVisitation(max_items=2)
    model.learn_one("a", "x")
    model.learn_one("a", "y")
    model.learn_item("hidden", available=False)
    model.learn_one("a", "z")
    assert set(model.memory.items.rows) == {"hidden", "z"}, "what is hidden must not be the first to be forgotten"
    model.learn_one("a", "hidden")
    assert [item for item, _ in model.top("b")] == ["z"]


def test_full_histories_make_room_when_those_who_go_had_none() -> None:
    model = Blend(max_pairs=2, max_users=200)
    for k in range(2):
        model.learn_one("keeper", f"i{k}")
    for k in range(150):
        model.memory.user_row(f"without history {k}")  # the stalest rows: nobody has learned anything of them
    model.memory.mark_used()
    model.learn_one("new", "i0")
    assert model.has_seen("new", "i0")
    assert not model.has_seen("keeper", "i0")
    expect_whole(model)


def test_released_user_rows_do_not_count_as_the_stalest() -> None:
    model = Blend(max_pairs=3)
    for k in range(3):
        model.learn_one(f"u{k}", "i")
    model.forget_one("u0")
    for k in range(3, 40):
        model.learn_one(f"u{k}", "i")  # with the freed row among the stalest this would never end
    expect_whole(model)
    assert model.has_seen("u39", "i")


def test_a_long_history_gives_up_its_oldest_item() -> None:
    model = Blend(repeats="exclude", max_history=3)
    for k in range(5):
        model.learn_one("u", f"i{k}")
    assert [k for k in range(5) if model.has_seen("u", f"i{k}")] == [2, 3, 4]
    expect_whole(model)


@pytest.mark.slow
def test_hidden_items_do_not_crowd_out_the_others() -> None:
    model = Blend(max_users=300, max_items=400)
    for k in range(250):
        model.learn_one(f"u{k % 250}", f"i{k}")
    for k in range(150):
        model.learn_item(f"i{k}", available=False)
        if k % 10 == 0:
            expect_whole(model)
    for _ in range(3):
        for k in range(150):
            model.learn_one("fan", f"i{k}")  # those who have it still use it
    expect_whole(model)
    shown = model.memory.state.popularity.top[0]
    assert (model.memory.state.shared.items.hidden[shown] == 0).mean() > 0.7
    for k in range(150):
        model.learn_item(f"i{k}", available=True)
        if k % 10 == 0:
            expect_whole(model)
    expect_whole(model)


def test_saying_again_that_an_item_is_available_changes_nothing() -> None:
    model = Blend()
    model.learn_one("u", "i")
    model.dump()
    for item, available in (("i", True), ("i", None), ("unknown", True), ("unknown", None)):
        model.learn_item(item, available=available)
    assert all(len(array) == 0 for name, array in model.dump_changes().items() if name.endswith(".rows"))
    assert len(model.memory.items) == 1


def test_state_of_other_arguments_is_refused() -> None:
    record = learned(Blend(n_factors=4)).dump()
    for arguments, said in (({"n_factors": 5}, "n_factors|shape"), ({"n_factors": 4, "max_users": 1}, "at most 2")):
        model = Blend(**arguments)
        with pytest.raises(ValueError, match=said):
            model.load(record)
        assert len(model.memory.users) == 0, "half of the state was taken over"


def test_pickles_and_copies_are_as_small_as_the_rows_in_use() -> None:
    model = learned(Blend())
    assert len(pickle.dumps(model)) < 200_000
    expect_same_state(model, pickle.loads(pickle.dumps(model)))
    assert pickle.loads(pickle.dumps(Blend())).top("u") == []


def test_a_copy_tells_its_store_everything() -> None:
    model = learned(Blend())
    model.dump()
    restored = Blend()
    restored.load(copy.deepcopy(model).dump_changes())
    expect_same_state(model, restored)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_users": 0},
        {"max_items": -1},
        {"max_pairs": 0},
        {"max_history": 0},
        {"recent": 0},
        {"row_length": 0},
        {"n_factors": 0},
        {"n_factors": 2.5},
        {"max_users": True},
        {"max_users": 2**31},
        {"half_lives": (1.0, 2.0)},
        {"half_lives": (0.0,) * 5},
        {"half_lives": (float("nan"),) * 5},
        {"learn_decay": 1.5},
        {"history_decay": -0.1},
        {"l2": float("nan")},
        {"learning_rate": "fast"},
        {"seed": -1},
        {"repeats": "never"},
    ],
    ids=str,
)
def test_arguments_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)) + ".* got "):
        Blend(**wrong)


def learned(model: FusedModel) -> FusedModel:
    draw = np.random.default_rng(0)
    for user, item in draw.integers(0, 8, (50, 2)).tolist():
        model.learn_one(f"u{user}", f"i{item}")
    return model


def test_an_unavailable_item_stays_so_when_its_row_is_given_up() -> None:
    model = Blend(**TINY)
    for item in ("removed", "kept"):
        model.step_many([Example("u", item, 1.0, 0.0)])
    model.learn_item("removed", available=False)
    model.step_many([Example("u", f"i{k}", 1.0, float(k)) for k in range(40)])
    assert model.memory.items.row("removed") == 0, "its row is another's by now"
    restored = Blend(**TINY)
    restored.load(model.dump())
    for each in (model, restored, copy.deepcopy(model)):
        expect_whole(each)
        assert not each.is_available("removed")
        assert each.is_available("kept")
        each.step_many([Example("u", "removed", 1.0, 50.0), Example("u", "kept", 1.0, 51.0)])
        assert {"removed", "kept"} & {item for item, _ in each.top("u", 100)} == {"kept"}
        expect_whole(each)
    model.step_many([Example("u", f"i{k}", 1.0, float(k)) for k in range(40)])
    model.learn_item("removed", available=True)
    assert model.memory.items.row("removed") == 0, "what it is worth is known when somebody comes for it"
    model.step_many([Example("u", "removed", 1.0, 99.0)])
    assert "removed" in [item for item, _ in model.top("u", 100)]


def test_unavailable_items_without_a_row_are_bounded() -> None:
    model = Blend(**TINY)
    for k in range(200):
        model.learn_item(f"hidden {k}", available=False)
    expect_whole(model)
    assert len(model.memory.unavailable) <= TINY["max_items"]
    assert not model.is_available("hidden 199")
    assert not model.is_available("hidden 190")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc, which Linux has")
@pytest.mark.slow
def test_memory_of_models_that_are_dropped_goes_back_to_the_system() -> None:
    def resident_mb() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    before = resident_mb()
    for _ in range(6):
        models = [Blend(seed=seed) for seed in range(3)]
        for model in models:
            model.learn_one("ann", "tea")
        del model, models
        gc.collect()
    assert resident_mb() < before + 200.0
