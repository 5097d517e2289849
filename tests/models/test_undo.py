"""Taking an interaction back: what was counted is counted no more, as if it had never been."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from river import reco

from recmodels import Blend, Content, Contextual, Example, Popularity, Recommender, RiverModel
from recmodels.checks.consistency import expect_whole
from recmodels.exploration.explorer import Explorer
from recmodels.fused.model import FusedModel
from recmodels.kernels.ledger import KEPT
from recmodels.kernels.shared import EVENTS

KINDS = ("like", "view")
REWARDS = {"like": 1.0, "view": 0.25}
NOTHING = Example("nobody", "nothing", -1.0)


class Op(NamedTuple):
    """An interaction, or the undo of one."""

    user: str
    item: str
    kind: str
    is_undo: bool


ops = st.lists(
    st.builds(
        Op,
        st.sampled_from(["ann", "bob", "cat"]),
        st.sampled_from(["tea", "jam", "pie", "ham", "fig"]),
        st.sampled_from(KINDS),
        st.booleans(),
    ),
    max_size=KEPT,
)


def logs(some: Sequence[Op]) -> tuple[list[Example], list[Example]]:
    """Return a log with undos, and the same one in which the events that are undone are nothing."""
    whole: list[Example] = []
    rest: list[Example] = []
    standing: dict[Op, list[int]] = {}
    for minute, op in enumerate(some):
        time, key = 60.0 * minute, op._replace(is_undo=False)
        if not op.is_undo:
            standing.setdefault(key, []).append(len(rest))
            rest.append(Example(op.user, op.item, REWARDS[op.kind], time, {"event": op.kind}))
            whole.append(rest[-1])
        elif standing.get(key):
            rest[standing[key].pop()] = NOTHING
            whole.append(Example(op.user, op.item, -1.0, time, {"event": f"un{op.kind}"}, undoes=op.kind))
    return whole, rest


def learned(model: FusedModel, examples: Sequence[Example]) -> FusedModel:
    for item in ("tea", "jam"):
        if isinstance(model, Content):
            model.learn_item(item, {"tags": [f"of {item}", "drink or spread"]})
    model.enable_undo()
    model.step_many(examples, 3)
    expect_whole(model)
    return model


def counts(model: FusedModel) -> dict[str, Any]:
    """Return all that is counted, by names."""
    memory, state = model.memory, model.memory.state
    names, shared = memory.items.names, state.shared
    now = float(shared.counters[EVENTS])
    found: dict[str, Any] = {}
    for item, row in memory.items.rows.items():
        if model.knows(item) and item != NOTHING.item:
            levels = state.popularity.items.level[row] - now * state.popularity.decay
            if shared.items.newness[row] < 1.0:
                found[f"popularity of {item}"] = (2.0**levels).tolist()
            found[f"newness of {item}"] = [float(shared.items.newness[row])]
            for name, table in (("after", state.covisitation.items), ("before", state.predecessors.rows)):
                size = int(table.size[row])
                for entry, weight in zip(table.item[row, :size], table.weight[row, :size], strict=True):
                    found[f"{names[entry]} {name} {item}"] = [float(weight)]
                found[f"total {name} {item}"] = [float(table.total[row])]
    for user, row in memory.users.rows.items():
        cell, place = int(shared.users.newest[row]), 0
        while cell:
            found[f"history of {user}: {place}. {names[shared.history.item[cell]]}"] = [
                float(shared.history.amount[cell])
            ]
            cell, place = int(shared.history.next[cell]), place + 1
        recent = [names[entry] for entry in shared.users.recent[row] if entry]
        found[f"recent of {user}: {recent}"] = [float(shared.users.events[row]), float(shared.users.gap[row])]
        found[f"last time of {user}"] = [float(shared.users.last_time[row])]
        if isinstance(model, Content):
            tags, weights = state.content.users.tag[row], state.content.users.weight[row]
            for tag, weight in zip(tags[tags > 0], weights[tags > 0], strict=True):
                found[f"{user} likes {memory.tags.names[tag]}"] = [float(weight)]
    return {name: value for name, value in found.items() if any(value) or name.startswith("recent")}


def expect_same_counts(a: FusedModel, b: FusedModel) -> None:
    one, other = counts(a), counts(b)
    users = {user for user in b.memory.users.rows if user != NOTHING.user}
    strange = [name for name in one.keys() ^ other.keys() if any(user in name for user in users) or " of " not in name]
    assert not [name for name in strange if "recent of" not in name or "[]" not in name]
    for name in one.keys() & other.keys():
        assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-5), name


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(some=ops)
def test_events_and_their_undo_equal_a_log_without_them(some: list[Op]) -> None:
    whole, rest = logs(some)
    bounds = {"max_users": 9, "max_items": 9, "max_pairs": 99, "max_tags": 9}
    for kind, more in ((Blend, {}), (Blend, {"decay_by": "time", "repeats": "exclude"}), (Content, {})):
        with_undo, without = (learned(kind(**bounds, **more), log) for log in (whole, rest))
        expect_same_counts(with_undo, without)
        for user in ("ann", "bob", "cat"):
            for item in ("tea", "jam", "pie", "ham", "fig"):
                assert with_undo.has_seen(user, item) == without.has_seen(user, item)
                assert with_undo.knows(item) == without.knows(item) or kind is Content


def test_undone_item_leaves_first_place_and_may_be_recommended_again() -> None:
    model = Popularity(half_life=float("inf"), repeats="exclude", max_users=200, max_items=200)
    model.enable_undo()
    model.step_many(
        [Example(f"u{k}", item, 1.0, float(k)) for k in range(20) for item in ("kept", "returned", "returned")]
    )
    assert model.top("eve", 1)[0][0] == "returned"
    assert "returned" not in dict(model.top("u3"))
    steps = model.step_many([Example(f"u{k}", "returned", -1.0, 100.0, None, "") for k in range(20)] * 2, 2)
    assert all(step.is_undone for step in steps)
    assert [item for item, _ in model.top("eve")] == ["kept"]
    assert not model.knows("returned")
    model.learn_one("zoe", "returned")
    assert [item for item, _ in model.top("u3")] == ["returned"]


def test_items_beyond_the_top_take_the_place_of_an_undone_one() -> None:
    model = Popularity(half_life=float("inf"), max_users=600, max_items=600)
    model.enable_undo()
    items = [f"i{k:03}" for k in range(150)]
    model.step_many([Example(f"u{k % 90}", item, 1.0, 0.0) for k, item in enumerate(items * 2)])
    for k in range(0, 150, 7):
        users = [f"u{n % 90}" for n, item in enumerate(items * 2) if item == items[k]]
        assert model.undo_one(users[-1], items[k])
        if k % 2:
            assert model.undo_one(users[0], items[k])
        expect_whole(model)


def test_undo_of_what_never_was_speaks_against_the_item() -> None:
    model = Blend(max_users=9, max_items=9, max_pairs=99)
    model.enable_undo()
    model.step_many([Example("ann", "tea", 1.0, 0.0, {"event": "view"}), Example("bob", "jam", 1.0, 1.0)])
    for user, item, kind in (("ann", "tea", "like"), ("ann", "jam", ""), ("eve", "tea", ""), ("eve", "new", "")):
        assert not model.undo_one(user, item, kind)
        expect_whole(model)
    assert model.has_seen("ann", "tea")
    assert model.undo_one("ann", "tea", "view")
    assert not model.has_seen("ann", "tea")


def test_undo_of_an_event_older_than_the_ledger_takes_it_from_history_and_endless_popularity() -> None:
    model = Blend(max_users=9, max_items=99, max_pairs=999, repeats="exclude")
    model.enable_undo()
    model.step_many([Example("bob", "tea", 1.0, 0.0)])
    model.step_many([Example("ann", item, 1.0, float(k)) for k, item in enumerate(["tea", *map(str, range(KEPT + 5))])])
    assert model.undo_one("ann", "tea")
    expect_whole(model)
    assert not model.has_seen("ann", "tea")
    level = model.memory.state.popularity.items.level[model.memory.items.row("tea")]
    assert level[-1] == pytest.approx(0.0, abs=1e-9), "one of two is left of the count that never decays"
    assert not model.undo_one("ann", "tea")


def test_state_without_a_ledger_loads_into_a_model_with_one_and_back() -> None:
    plain, book, back = (Blend(max_users=9, max_items=9, max_pairs=99) for _ in range(3))
    plain.step_many([Example("ann", "tea", 1.0, 0.0), Example("ann", "jam", 1.0, 1.0)])
    book.enable_undo()
    book.load(plain.dump())
    expect_whole(book)
    assert book.undo_one("ann", "tea"), "what is older than the ledger is in the history"
    book.step_many([Example("ann", "pie", 1.0, 2.0)])
    assert book.undo_one("ann", "pie")
    back.load(book.dump())
    expect_whole(back)
    assert back.top("ann") == book.top("ann")
    again = Blend(max_users=9, max_items=9, max_pairs=99)
    again.enable_undo()
    again.load(book.dump())
    assert np.array_equal(again.memory.state.shared.ledger.item, book.memory.state.shared.ledger.item)


@pytest.mark.parametrize(
    "model", [RiverModel(reco.BiasedMF(n_factors=2, seed=1), repeats="exclude"), Contextual(repeats="exclude")]
)
def test_every_model_leaves_an_undone_item_out_of_what_the_user_had(model: Recommender) -> None:
    for explored in (model, Explorer(model, share=0.5)):
        explored.enable_undo()
        for user, item in (("ann", "tea"), ("ann", "tea"), ("bob", "jam")):
            explored.learn_one(user, item)
        takes_back = not explored.without_undo
        assert explored.undo_one("ann", "tea") is takes_back
        assert explored.has_seen("ann", "tea"), "there were two"
        assert explored.undo_one("ann", "tea") is takes_back
        assert not explored.has_seen("ann", "tea")


def test_blend_says_which_member_cannot_take_back() -> None:
    model = Blend(outside="river:reco.BiasedMF(n_factors=2, seed=1)", max_users=9, max_items=9, max_pairs=99)
    model.enable_undo()
    assert model.without_undo == ["river.BiasedMF"]
    steps = model.step_many([Example("ann", "tea"), Example("ann", "tea", -1.0, undoes=""), Example("ann", "jam")], 2)
    assert [step.is_undone for step in steps] == [None, True, None]
    expect_whole(model)
