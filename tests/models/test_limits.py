"""Limits of models: rows, columns and lists at their bounds, and extreme rewards and times."""

import random
from math import log2

import numpy as np
import pytest
from river import reco

from recmodels import Blend, CoVisitation, Example, Popularity, Recommender, RiverModel
from recmodels.base import Context
from recmodels.checks.consistency import expect_whole
from recmodels.checks.equality import expect_same_record, expect_same_state
from recmodels.fused.model import FusedModel
from recmodels.kernels.compile import callable_from_python
from recmodels.kernels.members import covisitation
from recmodels.kernels.state import columns_of
from recmodels.kernels.state_pointer import Handle
from tests.support.teach import checkerboard, learn, listed


class Taken(Recommender):
    """Keeps what the base keeps, and nothing else."""

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        self.register(user, item, y)

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        return 0.0


def test_popular_items_of_equal_count_beyond_what_is_proposed_come_as_first_seen() -> None:
    model = Popularity(half_life=float("inf"))
    names = [f"i{k}" for k in range(300)]
    learn(model, " ".join(f"a:{name}" for name in names) + " " + " ".join(f"b:{name}" for name in reversed(names)))
    assert listed(model, "eve", 20) == names[:20]
    model.learn_item("i0", available=False)
    assert listed(model, "eve", 20) == names[1:21]
    model.learn_item("i0", available=True)
    assert listed(model, "eve", 20) == names[:20]


def row_of(model: FusedModel, item: str) -> dict[str, float]:
    table, names = model.memory.state.covisitation.items, model.memory.items.names
    row = model.memory.items.row(item)
    size = table.size[row]
    return {
        names[j]: pytest.approx(w, abs=1e-6)
        for j, w in zip(table.item[row, :size], table.weight[row, :size].tolist(), strict=True)
    }


def test_covisitation_by_hand() -> None:
    model = CoVisitation(learn_decay=0.5)
    learn(model, "u:a u:b u:c v:a v:c")
    # u: b follows a; c follows b, and a at a distance. v: c follows a.
    assert row_of(model, "a") == {"b": 1.0, "c": 1.5}
    assert row_of(model, "b") == {"c": 1.0}
    assert row_of(model, "c") == {}
    learn(model, "v:c")
    assert row_of(model, "c") == {}, "no item follows itself"
    assert row_of(model, "a") == {"b": 1.0, "c": 2.0}, "c is seen to follow a again, but at a distance"
    assert model.memory.state.shared.users.recent[model.memory.users.row("v"), :3].tolist() == [3, 1, 0], (
        "it counts once"
    )
    # x has had a only: the shares of a's total, 3, under the root, and popularity to break ties.
    learn(model, "x:a")
    share = {"b": 1.0 / 3.0, "c": 2.0 / 3.0}
    for item in "bc":
        tie = 1e-3 * log2({"b": 1, "c": 3}[item] / 3)
        assert model.predict_one("x", item) == pytest.approx(3.0 * share[item] ** 0.5 + tie, abs=1e-5)


def test_a_heavy_row_is_halved() -> None:
    model = CoVisitation()
    learn(model, "u:a u:b")
    state = model.memory.state.covisitation.items
    state.total[1] = 1.5e6
    state.weight[1, 0] = 1.2e6
    callable_from_python(covisitation.add)(state, 1, 2, np.float32(1.0))
    assert state.total[1] == 750_001.0
    assert state.weight[1, 0] == 600_001.0


def test_a_return_alone_puts_an_item_into_no_list() -> None:
    model = Blend()
    learn(model, "u:a v:b")
    model.learn_one("u", "returned", -1.0)
    assert set(listed(model, "u")) == {"a", "b"}
    model.learn_one("v", "returned", 1.0)
    assert set(listed(model, "u")) == {"a", "b", "returned"}


def candidate_columns(model: FusedModel, user: str) -> dict[str, list[float]]:
    memory = model.memory
    candidates = memory.state.shared.candidates
    model.top(user, 10)
    size = candidates.size[0]
    return {
        str(memory.items.names[item]): candidates.column[:, s].tolist()
        for s, item in enumerate(candidates.item[:size].tolist())
    }


def test_the_columns_of_three_histories() -> None:
    model = Blend()
    learn(model, "v:a v:x w:b w:y u:a u:b")
    columns = candidate_columns(model, "u")  # the last item is b, then a; b followed a in u's own history
    last, few, many = (np.square([columns[item][h] for item in "xyb"]) / 9 for h in columns_of("covisitation"))
    assert last == pytest.approx([0, 1, 0], abs=1e-6)
    assert few == pytest.approx([0.5 * 0.5 / 1.5, 1 / 1.5, 0.5 * 0.5 / 1.5], abs=1e-6)
    assert many == pytest.approx([0.9 * 0.5 / 1.9, 1 / 1.9, 0.9 * 0.5 / 1.9], abs=1e-6)
    assert max(columns[item][columns_of("popularity").start] for item in columns) == 0.0


def test_list_longer_than_all_candidates_can_be() -> None:
    model = Popularity()
    model.step_many([Example("u", f"i{k}") for k in range(9_000)], n=1)
    found = listed(model, "v", 9_000)
    assert len(found) == len(set(found)) == 8_192
    ranked = model.rank("v", [f"i{k}" for k in range(9_000)])
    assert len(set(ranked)) == 9_000
    assert ranked[0] == "i8999"


@pytest.mark.slow
def test_more_proposals_than_candidates() -> None:
    model = Blend(recent=100, row_length=256, n_factors=1)
    draw = random.Random(0)
    events = [Example(f"u{draw.randrange(20)}", f"i{draw.randrange(20_000)}", 1.0, k) for k in range(12_000)]
    for step in model.step_many(events, 10):
        assert len(set(step.items)) == len(step.items)
        assert np.isfinite(step.scores).all()
    assert len(listed(model, "u1", 20)) == 20


def test_lists_do_not_depend_on_where_arrays_lie_in_memory() -> None:
    """A loop that writes has a second version for arrays that lie close together: both must round alike."""
    records = []
    for distance in (36, 48, 64, 4096):
        model = Blend()
        memory, n_factors = model.memory, model.n_factors
        arena = np.zeros(3 * distance + 10_000, np.float32)
        near = memory.state.factorization._replace(
            gradient=arena[:n_factors], user_vector=arena[distance : distance + n_factors]
        )
        memory.handle = Handle(memory.state._replace(factorization=near))
        model.step_many(checkerboard(11), 5)
        records.append(model.dump())
    for record in records[1:]:
        expect_same_record(records[0], record)


@pytest.mark.parametrize("make", [Blend, Popularity])
def test_a_list_of_no_items(make: type[FusedModel]) -> None:
    model = make()
    learn(model, "u:a v:b")
    assert model.top("u", 0) == model.top("u", -1) == []


def test_a_position_is_one_in_the_list() -> None:
    """And learning never depends on how long a list is asked for."""
    events = checkerboard(13)
    short, long = Blend(), Blend()
    positions = [step.position for step in short.step_many(events, 3)]
    assert set(positions) == {-1, 0, 1, 2}
    whole = [step.position for step in long.step_many(events, 500)]
    assert [p if p is not None and 0 <= p < 3 else -1 for p in whole] == positions
    expect_same_state(short, long)


def test_a_position_is_where_top_lists_the_item_at_that_time() -> None:
    model = Blend()
    for event in checkerboard(17, users=20):
        listed = [item for item, _ in model.top(event.user, 5, {"timestamp": event.timestamp})]
        (step,) = model.step_many([event], 5)
        assert step.position == (listed.index(event.item) if event.item in listed else -1)


@pytest.mark.parametrize("reward", [1e-300, 1e-40, 5e-324, 1e300, float("nan"), float("inf"), -float("inf")])
def test_extreme_rewards_keep_the_weights_finite(reward: float) -> None:
    model = Blend()
    events = checkerboard(19)
    model.step_many(events[:100])
    model.step_many([event._replace(y=reward) for event in events[100:120]])
    model.step_many(events[120:])
    expect_whole(model)


def test_extreme_times_keep_a_user_usable() -> None:
    model = Blend()
    for time in (-50.0, -20.0, float("nan"), float("inf"), -float("inf")):
        model.step_many([Example("u", "a", 1.0, time), Example("v", "b", 1.0, time)])
    model.learn_one("u", "b")
    expect_whole(model)


def test_hidden_item_stays_hidden_when_others_are_hidden() -> None:
    model = RiverModel(reco.BiasedMF(n_factors=2, seed=1), max_items=3)
    for item in ("tea", "jam"):
        model.learn_one("ann", item)
    model.learn_item("tea", available=False)
    for k in range(50):
        model.learn_item(f"announced {k}", available=False)
    assert not model.is_available("tea")
    assert [item for item, _ in model.top("bob")] == ["jam"]
    assert [k for k in range(50) if not model.is_available(f"announced {k}")] == [47, 48, 49], "the last that were"
    model.learn_one("ann", "announced 48")
    for k in range(50, 60):
        model.learn_item(f"announced {k}", available=False)
    assert [item for item, _ in model.top("bob")] == ["jam"], "hidden before anybody had it, and since"
    model.learn_item("announced 48", available=True)
    assert [item for item, _ in model.top("bob")] == ["jam", "announced 48"]


def test_a_full_plain_model_forgets_users_and_takes_no_more_items() -> None:
    model = Taken(repeats="exclude", max_users=2, max_items=3)
    for user, item in [("ann", "tea"), ("bob", "tea"), ("ann", "jam"), ("cat", "pie"), ("cat", "ham")]:
        model.learn_one(user, item)
    assert [model.seen_by(user) for user in ("ann", "bob", "cat")] == [["tea", "jam"], [], ["pie"]]
    assert list(model.catalogue) == ["tea", "jam", "pie"]
    assert [model.knows("pie"), model.knows("ham")] == [True, False]


def test_rows_of_pairs_propose_up_to_a_bound_and_popular_items_still_come() -> None:
    model = Blend(recent=20)
    model.step_many([Example(f"v{k // 60}", f"i{k}", 1.0, float(k)) for k in range(60 * 60)], n=0)
    own = [f"i{180 * k + 30}" for k in range(20)]
    model.step_many([Example("u", item, 1.0, 4_000.0 + k) for k, item in enumerate(own)], n=0)
    model.step_many([Example(f"w{k}", f"hit{k % 30}", 1.0, 5_000.0 + k) for k in range(300)], n=0)
    names = set(candidate_columns(model, "u"))
    assert {f"hit{k}" for k in range(30)} <= names
    last = int(own[-1].removeprefix("i"))
    assert {f"i{k}" for k in range(last + 1, last + 21)} <= names
    summed = model.memory.state.predecessors.summed[0]
    assert summed == covisitation.MOST_PROPOSED < model.memory.state.shared.candidates.size[0]
