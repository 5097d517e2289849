"""Models on data whose right answer is known, and their memory under pressure."""

import random

import numpy as np
import pytest

from recmodels import Blend, CoVisitation, Example, Factorization, History
from recmodels.checks.consistency import expect_whole
from recmodels.fused.model import FusedModel
from recmodels.kernels import weights
from recmodels.kernels.compile import callable_from_python
from recmodels.kernels.members import factorization
from recmodels.kernels.shared import Event
from recmodels.kernels.state import columns_of
from tests.support.teach import listed, teach


def test_a_full_row_gives_up_its_weakest() -> None:
    model = CoVisitation(row_length=2, recent=1)
    teach(model, [("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("w", "a"), ("w", "c"), ("x", "a"), ("x", "d")])
    state, row = model.memory.state.covisitation.items, model.memory.items.row
    assert set(state.item[row("a")].tolist()) == {row("b"), row("d")}
    assert state.total[row("a")] == 4.0, "what had to go still counts in the whole"


@pytest.mark.parametrize("kind", [CoVisitation, Factorization, Blend])
def test_a_cycle_is_learned(kind: type[FusedModel]) -> None:
    model = kind()
    teach(model, [(f"u{n % 5}", "abcde"[n // 5 % 5]) for n in range(1_500)])
    for place, item in enumerate("abcde"):
        teach(model, [(f"new{item}", item)], start=2_000.0)
        assert listed(model, f"new{item}", 1) == ["bcdea"[place]]


@pytest.mark.parametrize("kind", [CoVisitation, Factorization, Blend])
def test_a_checkerboard_is_learned(kind: type[FusedModel]) -> None:
    draw = random.Random(7)
    model = kind(repeats="exclude")
    sides = {f"u{n}": n % 2 for n in range(60)}
    for _ in range(25):
        for user in draw.sample(sorted(sides), 60):
            teach(model, [(user, f"i{2 * draw.randrange(40) + sides[user]}")])
    for user, side in list(sides.items())[:10]:
        own = [int(item[1:]) % 2 == side for item in listed(model, user, 5)]
        assert sum(own) >= 4, f"{user} is of side {side}"


def test_history_knows_how_often_and_how_recently() -> None:
    model = History()
    teach(model, [("u", "often")] * 3 + [("u", "once"), ("u", "last"), ("v", "other")])
    assert listed(model, "u")[:3] == ["often", "last", "once"]
    model.step_many([Example("u", "often", -1.0)] * 5, n=0)
    assert listed(model, "u")[0] == "last", "what was returned is not had again"


def test_factorisation_generalises_where_covisitation_cannot() -> None:
    """Two groups of items that are never seen in one history, joined by users who saw a third of each."""
    draw = random.Random(3)
    model = Blend(repeats="exclude", reranker=False)  # predecessors say it, too, and leave less to learn
    for n in range(1_500):
        side = n % 2
        teach(model, [(f"u{n}", f"i{2 * k + side}") for k in draw.sample(range(30), 6)])
    column = {item: model.memory.items.row(item) for item in ("i0", "i2", "i1")}
    out = model.memory.state.factorization.items.out
    same = float(out[column["i0"]] @ out[column["i2"]])
    other = float(out[column["i0"]] @ out[column["i1"]])
    assert same > 0.0 > other


weights_score, weights_share, weights_learn = map(callable_from_python, (weights.score, weights.share, weights.learn))
factorization_score, factorization_learn = map(callable_from_python, (factorization.score, factorization.learn))


def prepared() -> FusedModel:
    """A blend with some candidates, scores and shares for user u1, all in its scratch."""
    draw = random.Random(1)
    model = Blend()
    teach(model, [(f"u{draw.randrange(9)}", f"i{draw.randrange(30)}") for _ in range(400)])
    model.top("u1", 5)
    return model


def loss(model: FusedModel, target: int, length: int = 4, gap: int = 8) -> float:
    """Minus the logarithm of the target's share, of the columns and weights as they are."""
    state = model.memory.state
    size = int(state.shared.candidates.size[0])
    columns = state.shared.candidates.column[:, :size].astype(np.float64)
    logits = (state.weights.weight[length] + state.weights.weight[gap]) @ columns
    return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[target])


@pytest.mark.slow
def test_the_weights_go_down_the_softmax_loss() -> None:
    model = prepared()
    state = model.memory.state
    weights_score(state.weights, 4, 8, state.shared.candidates)
    weights_share(state.shared.candidates)
    slopes = []
    for column in range(state.weights.weight.shape[1]):
        for sign in (1, -1):
            state.weights.weight[4, column] += sign * 1e-4 * (1 if sign == 1 else 2)
            slopes.append(loss(model, 3))
        state.weights.weight[4, column] += 1e-4
    numeric = (np.array(slopes[::2]) - np.array(slopes[1::2])) / 2e-4
    before, state.weights.squares[...] = state.weights.weight[4].copy(), 0.0
    state.weights.squares[4] = 1e12  # so that the step is the gradient, scaled
    state.weights.squares[8] = 1e12
    weights_learn(state.weights, 4, 8, 3, 1e6, state.shared.candidates)
    assert before - state.weights.weight[4] == pytest.approx(numeric, rel=1e-2, abs=1e-4)


@pytest.mark.slow
def test_the_factors_go_down_the_softmax_loss() -> None:
    model = prepared()
    state = model.memory.state
    user, target, column = model.memory.users.row("u1"), 3, columns_of("factorization").start
    own = state.factorization._replace(rate=1e2, regularization=0.0)

    def score() -> float:
        factorization_score(own, state.shared, user)
        weights_score(state.weights, 4, 8, state.shared.candidates)
        weights_share(state.shared.candidates)
        return loss(model, target)

    state.weights.weight[4, column], state.weights.weight[8, column] = 1.0, 0.0
    item = int(state.shared.candidates.item[5])
    newest = int(state.shared.users.recent[user, 0])
    places = [
        (own.items.out[item], 0),
        (own.items.history[newest], 1),
        (own.users.own[user], 2),
        (own.items.bias[item : item + 1], 0),
    ]
    slopes = []
    for row, k in places:
        kept = row[k]
        row[k] = kept + 1e-2
        up = score()
        row[k] = kept - 1e-2
        slopes.append((up - score()) / 2e-2)
        row[k] = kept
    score()
    before = [float(row[k]) for row, k in places]
    for squares in (own.items.out_squares, own.items.bias_squares, own.items.history_squares, own.users.own_squares):
        squares[:] = 1e8
    chosen = int(state.shared.candidates.item[target])
    factorization_learn(own, state.shared, Event(user, chosen, 1.0, 0.0, 1, target, False))
    moved = [(old - float(row[k])) * 1e2 for old, (row, k) in zip(before, places, strict=True)]
    assert moved == pytest.approx(slopes, rel=0.05, abs=2e-3)


@pytest.mark.parametrize("repeats", ["allow", "exclude"])
@pytest.mark.parametrize("seed", [1, 2])
def test_tables_stay_consistent_under_pressure(repeats: str, seed: int) -> None:
    draw = random.Random(seed)
    model = Blend(repeats=repeats, max_users=70, max_items=150, max_pairs=400, max_history=9, row_length=8, recent=5)
    for turn in range(60):
        batch = [
            Example(
                f"u{draw.randrange(200)}",
                f"i{min(int(draw.paretovariate(0.6)), 900)}",
                draw.choice([1, 1, 1, -1]),
                turn,
            )
            for _ in range(draw.randrange(1, 60))
        ]
        model.step_many(batch, draw.choice([0, 5]))
        if turn % 3 == 0:
            model.forget_one(f"u{draw.randrange(200)}")
        if turn % 4 == 0:
            model.learn_item(f"i{draw.randrange(1, 40)}", available=draw.random() < 0.5)
        expect_whole(model)


@pytest.mark.slow
def test_evictions_never_show_in_batches() -> None:
    draw = random.Random(5)
    events = [Example(f"u{draw.randrange(300)}", f"i{draw.randrange(200)}", 1.0, n) for n in range(2_000)]
    lists = []
    for size in (1, 7, 1_000):
        model = Blend(max_users=40, max_items=64, max_pairs=200, repeats="exclude")
        lists.append([s for k in range(0, len(events), size) for s in model.step_many(events[k : k + size], 5)])
    assert lists[0] == lists[1] == lists[2]


@pytest.mark.slow
def test_memory_is_bounded_whatever_comes() -> None:
    model = Blend(max_users=1_000, max_items=500, max_pairs=5_000)
    draw = random.Random(9)
    for start in range(0, 50_000, 1_000):
        teach(model, [(f"u{start + n}", f"i{start + n if n % 3 else draw.randrange(50)}") for n in range(1_000)])
    expect_whole(model)
    assert len(model.memory.users.names) <= 1_001
    assert len(model.memory.items.names) <= 501
    popular = listed(model, "stranger", 10)
    assert all(int(item[1:]) < 50 for item in popular[:5]), "what keeps coming is not forgotten"


def test_an_unlikely_value_moves_nothing_for_long() -> None:
    model, calm = Blend(), Blend()
    pairs = [(f"u{n % 50}", f"i{n * n % 37}") for n in range(2_000)]
    teach(model, pairs)
    teach(calm, pairs)
    model.step_many([Example("u1", "i36", 1e9, 2_000.0)], n=0)
    for one in (model, calm):
        teach(one, pairs, start=2_001.0)
    assert len(set(listed(model, "u3")) & set(listed(calm, "u3"))) >= 8
