"""Odd input beyond the checks of the contract: odd tags and prices, huge values and floods of ids.

The contract's checks (`recmodels.checks`) cover odd rewards, times and ids, an empty catalogue, new users, unknown and
hidden items, and repeated events.

The flood of ids is small by default. `FRESHRANK_TEST_IDS=10000000 pytest -s tests/models/test_bad_input.py -k flood`
runs it in full, and says how much memory it took.
"""

import os
import resource
import sys
from importlib.util import find_spec
from math import isfinite

import pytest

from recmodels import Blend, Contextual, Example, Recommender, RiverModel, build_model
from recmodels.checks.consistency import expect_whole
from recmodels.checks.equality import expect_same_state
from recmodels.exploration.explorer import Explorer
from recmodels.specification import BY_NAME
from tests.support.flow import Flow, event
from tests.support.teach import listed, teach

IDS = int(os.environ.get("FRESHRANK_TEST_IDS", "60000"))
IS_DEEP_THERE = all(find_spec(library) for library in ("jax", "keras"))
# Of the deep models none is trained here, as there are fewer events than `retrain_every`: the contract does that.
LIGHT = [name for name in BY_NAME if IS_DEEP_THERE or not name.startswith("deep:")]
NAMED = [*LIGHT, "river:reco.BiasedMF(n_factors=4, seed=1)", "explore"]
PAIRS = [(f"u{n % 50}", f"i{n * n % 37}") for n in range(600)]


def make(name: str, repeats: str = "allow") -> Recommender:
    return Explorer(Blend(repeats=repeats), share=1.0) if name == "explore" else build_model(name, repeats)


def taught(name: str, repeats: str = "allow", count: int = 150) -> Recommender:
    model = make(name, repeats)
    teach(model, PAIRS[:count])
    return model


every_model = pytest.mark.parametrize("name", NAMED)


@every_model
@pytest.mark.parametrize("repeats", ["allow", "exclude"])
def test_n_larger_than_the_catalogue(name: str, repeats: str) -> None:
    model = taught(name, repeats)
    whole = listed(model, "nobody", 100_000)
    assert sorted(whole) == sorted({item for _, item in PAIRS[:150]})
    (step,) = model.step_many([Example("u1", "i1", 1.0, 1_000.0)], 1_000)
    assert len(step.items) == len(set(step.items)) == len(step.scores) <= len(whole)


def test_the_same_event_twice_with_an_id_is_learned_once() -> None:
    once = [event("ann", "tea", 1, id="e1"), event("bob", "jam", 2, id="e2")]
    flow, again = Flow(once), Flow([once[0], *once, once[1]])
    assert again.lists == [
        {**one, "source": other["source"]} for one, other in zip(flow.lists, again.lists, strict=True)
    ]
    assert again.connections.counters.duplicate == 2


@every_model
def test_an_item_event_for_an_item_nobody_touched(name: str) -> None:
    model = taught(name)
    before = listed(model, "nobody", 1_000)
    for x in (None, {}, {"title": "New", "tags": ["a", "b"], "price": 3.0}, {"tags": 7, "price": "dear"}):
        model.learn_item("untouched", x, available=True)
        model.learn_item("hidden", x, available=False)
    assert set(before) <= set(listed(model, "nobody", 1_000)) <= {*before, "untouched"}
    assert isfinite(model.predict_one("nobody", "untouched"))
    teach(model, [("u1", "hidden"), ("u1", "untouched")], start=1_000.0)
    assert {"hidden", "untouched"} & set(listed(model, "nobody", 1_000)) == {"untouched"}


ODD_TAGS = [[], [None], [1.5, True], ["x"] * 10_000, "one", {"a": 1}, [["nested"]], ["\ud800"]]
ODD_PRICES = [0, -1.0, 1e9, 1e308, 10**400, float("nan"), float("inf"), "5", None, True]


@every_model
def test_item_events_with_odd_tags_and_prices(name: str) -> None:
    model = taught(name, count=40)
    told = [{"tags": tags} for tags in ODD_TAGS] + [{"price": price, "tags": ["a"]} for price in ODD_PRICES]
    for number, features in enumerate(told):
        model.learn_item("i1", features)
        teach(model, PAIRS[:10], start=1_000.0 * (number + 1))
        assert all(isfinite(score) for _, score in model.top("u1", 10)), features


@every_model
def test_values_of_zero_or_less_lift_nothing(name: str) -> None:
    for y in (0.0, -1.0, -1e9):
        model = taught(name, "allow")
        bottom = listed(model, "nobody", 1_000)[-1]
        model.step_many([Example(f"v{k}", bottom, y, 1_000.0 + k) for k in range(20)], n=0)
        assert bottom not in listed(model, "nobody", 5) or name.startswith("river"), y  # River's draws are of all items


@every_model
def test_one_value_of_a_billion_moves_nothing_for_long(name: str) -> None:
    """A model that has met it lists nearly what one lists that has met an ordinary value instead."""
    calm, shaken = taught(name, count=600), taught(name, count=600)
    calm.step_many([Example("u1", "i36", 1.0, 601.0)], n=0)
    shaken.step_many([Example("u1", "i36", 1e9, 601.0)], n=0)
    assert all(abs(score) < 1e3 for _, score in shaken.top("u3", 1_000))
    for model in (calm, shaken):
        teach(model, PAIRS, start=700.0)
    for user in ("u3", "u40", "nobody"):
        n = 9  # of an explorer the last is drawn
        assert len(set(listed(calm, user)[:n]) & set(listed(shaken, user)[:n])) >= 7, user


@pytest.mark.parametrize("value", [0, -5, 1e9, 1e308])
def test_the_value_of_an_event_never_outweighs_its_type(value: float) -> None:
    """The reward is by type of event. What it was worth is context."""
    events = [("ann", "tea", 1), ("ann", "jam", 2), ("bob", "tea", 3)]
    ordinary = Flow([event(*each) for each in events])
    assert Flow([event(*each, value=value) for each in events]).lists == ordinary.lists


@pytest.mark.slow
def test_a_flood_of_ids_in_small_tables() -> None:
    """As many users as there are events, and items that nobody meets again: memory stays, and so do the lists."""
    model = Blend(max_users=10_000, max_items=10_000, max_pairs=40_000)
    batch = 1_000
    sizes, wrong = [], 0
    for start in range(0, IDS, batch):
        events = [
            Example(f"user {n}", f"hit {n * n % 7}" if n % 3 else f"passing {n}", 1.0, float(n))
            for n in range(start, start + batch)
        ]
        is_asked = start // batch % 10 == 9
        steps = model.step_many(events, 10 if is_asked else 0)
        if is_asked:
            wrong += sum(sum(item.startswith("hit") for item in step.items) < 4 for step in steps)  # of 0, 1, 2 and 4
        if (start + batch) % (IDS // 10) < batch:
            sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    sys.stdout.write(f"{IDS:,} ids; peak RSS in MB, tenth by tenth: {[round(size) for size in sizes]}\n")
    expect_whole(model)
    assert len(model.memory.users) <= 10_000
    assert len(model.memory.items) <= 10_000
    assert wrong == 0, f"{wrong} lists without what everybody takes"
    assert sorted(listed(model, "stranger", 4)) == ["hit 0", "hit 1", "hit 2", "hit 4"]
    assert sizes[-1] - sizes[len(sizes) // 2] < 20, f"memory grows: {sizes}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        Contextual(max_users=200, max_items=300, n_features=256),
        Explorer(Blend(max_users=200, max_items=300, max_tags=300), share=0.5, arms=50),
        RiverModel(build_model("river:reco.BiasedMF(n_factors=4, seed=1)").model, max_users=200, max_items=300),  # type: ignore[attr-defined]
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_flood_of_ids_in_other_models(model: Recommender) -> None:
    sizes = []
    for start in range(0, 1_500, 250):
        for n in range(start, start + 250):
            model.learn_item(f"told {n}", {"tags": [f"tag {n}"], "price": float(n)})
            model.step_many([Example(f"user {n}", f"hit {n % 3}" if n % 2 else f"passing {n}", 1.0, float(n))], n % 2)
        sizes.append(sum(array.nbytes for array in model.dump().values()))
    assert max(sizes[3:]) < 1.3 * sizes[2], sizes
    assert set(listed(model, "stranger", 20)) & {"hit 0", "hit 1", "hit 2"}


def test_bad_input_leaves_no_trace_in_what_is_read() -> None:
    """Asking for strangers, for nothing and for too much changes no model."""
    asked, silent = taught("blend"), taught("blend")
    for user in ("", "nobody", "u1", "\ud800", "x" * 100_000):
        asked.top(user, 0), asked.top(user, -3), asked.top(user, 5_000)
        asked.rank(user, ["", "nothing", "i1"])
        asked.predict_one(user, "nothing", {"timestamp": float("nan"), "device": []})
    expect_same_state(asked, silent)
