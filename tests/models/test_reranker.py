"""The reranker, and the members that came with it: predecessors and age."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from recmodels import Blend, Example
from recmodels.checks.consistency import expect_whole
from recmodels.fused.model import RERANKER
from recmodels.kernels import reranker
from recmodels.kernels.compile import callable_from_python
from recmodels.kernels.members.age import log2
from recmodels.kernels.state import columns_of
from tests.support.teach import checkerboard, listed, teach

net_score = callable_from_python(reranker.score)
net_learn = callable_from_python(reranker.learn)
LENGTH, GAP = 3, 7


def taught(**arguments: object) -> Blend:
    """A blend that has learned a checkerboard twice."""
    model = Blend(max_users=100, max_items=100, **arguments)  # type: ignore[arg-type]
    events = checkerboard(seed=3)
    model.step_many(events + [event._replace(timestamp=event.timestamp + 1e6) for event in events], n=0)
    return model


def net_with_scores(scores: NDArray[np.float64]) -> Blend:
    """A blend whose candidate set has these scores and random columns, and whose net says something."""
    model, draw = Blend(max_users=10, max_items=1_000), np.random.default_rng(5)
    candidates, net = model.memory.state.shared.candidates, model.memory.state.reranker
    count = len(scores)
    candidates.size[:] = count, len(candidates.item), count
    candidates.column[:, :count] = draw.normal(size=(len(candidates.column), count))
    candidates.score[:count] = scores
    net.out[:] = draw.normal(size=len(net.out)) * 0.1
    return model


def loss(model: Blend, scores: NDArray[np.float64], target: int) -> float:
    """Minus the logarithm of the target's share, computed from the net's weights in double precision."""
    state = model.memory.state
    net, block = state.reranker, state.reranker.top
    places = block.place[: block.size[0]]
    scale = np.full(net.weight.shape[1], float(reranker.SCALE))
    scale[:5] = reranker.POPULAR_SCALE
    x = state.shared.candidates.column[:, places] * scale[:, None]
    hidden = net.weight.astype(float) @ x + (net.bias[LENGTH] + net.bias[GAP]).astype(float)[:, None]
    logits = scores.copy()
    logits[places] += net.out.astype(float) @ np.maximum(hidden, 0.0)
    return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[target])


@pytest.mark.slow
@pytest.mark.parametrize("target", [2, 39])
def test_the_net_goes_down_the_softmax_loss_even_where_the_item_is_below_the_top(target: int) -> None:
    scores = np.linspace(4.0, -4.0, 40)
    model = net_with_scores(scores)
    state = model.memory.state
    candidates, net = state.shared.candidates, state.reranker
    net_score(net, LENGTH, GAP, candidates)
    in_top = net.top.place[: net.top.size[0]].tolist()
    assert (2 in in_top, 39 in in_top) == (True, False)
    share = np.exp(candidates.score[:40] - candidates.score[:40].max())
    candidates.share[:40] = share / share.sum()
    slopes = []
    for array, place in ((net.out, 1), (net.weight, (1, 6)), (net.weight, (4, 2)), (net.bias, (LENGTH, 3))):
        kept = array[place]
        losses = []
        for moved in (kept + 0.01, kept - 0.01):
            array[place] = moved
            losses.append(loss(model, scores, target))
        array[place] = kept
        slopes.append((losses[0] - losses[1]) / 0.02)
    before = [net.out[1], net.weight[1, 6], net.weight[4, 2], net.bias[LENGTH, 3]]
    for squares in (net.squares, net.bias_squares, net.out_squares):
        squares[...] = 1e4
    net_learn(net, LENGTH, GAP, target, candidates)
    after = [net.out[1], net.weight[1, 6], net.weight[4, 2], net.bias[LENGTH, 3]]
    steps = (np.array(before, float) - np.array(after, float)) * 1e2 / float(reranker.LEARNING_RATE)
    assert np.abs(slopes).max() > 1e-3
    assert steps == pytest.approx(np.array(slopes), rel=0.05, abs=2e-3)


@pytest.mark.slow
def test_the_top_is_as_large_as_its_bound_allows() -> None:
    scores = np.linspace(4.0, -4.0, 40)
    model = net_with_scores(scores)
    state = model.memory.state
    net_score(state.reranker, LENGTH, GAP, state.shared.candidates)
    top = state.reranker.top.place[: state.reranker.top.size[0]]
    assert scores[top].min() >= 4.0 - reranker.TOP_RANGE
    assert len(top) == np.count_nonzero(scores > 4.0 - reranker.TOP_RANGE)
    crowded = net_with_scores(np.linspace(4.0, 3.0, 500)).memory.state
    net_score(crowded.reranker, LENGTH, GAP, crowded.shared.candidates)
    assert 0 < crowded.reranker.top.size[0] <= reranker.TOP_SIZE
    alike = net_with_scores(np.ones(500)).memory.state
    net_score(alike.reranker, LENGTH, GAP, alike.shared.candidates)
    assert alike.reranker.top.size[0] == 0, "more equals than the top can hold: the net says nothing"


def test_the_parts_of_an_item_add_up_to_its_place_in_the_list() -> None:
    model = taught()
    whys = model.explain("u0", 10)
    whole = [sum(why.parts.values()) for why in whys]
    assert whole == sorted(whole, reverse=True)
    assert max(abs(why.parts[RERANKER]) for why in whys) > 1e-3, "the net has learned something"
    state = model.memory.state.shared.candidates
    logits = state.score[: int(state.size[0])].astype(float)
    best = model.memory.items.row(whys[0].item)
    place = state.item[: int(state.size[0])].tolist().index(best)
    assert whole[0] == pytest.approx(logits[place] - logits.mean(), abs=1e-3)


@pytest.mark.parametrize("repeats", ["allow", "exclude"])
def test_items_that_are_scored_apart_from_the_list_have_the_score_of_the_list(repeats: str) -> None:
    model = taught(repeats=repeats)
    for user in ("u0", "u7"):
        top = model.top(user, 12)
        scores = model.predict_many(user, [item for item, _ in top])
        assert scores == pytest.approx([score for _, score in top], rel=1e-4)


def test_a_blend_without_the_reranker_has_neither_the_net_nor_its_members() -> None:
    model = taught(reranker=False)
    assert not model.memory.small["hidden_out"].any()
    assert not model.memory.tables["predecessors"].arrays["total"].any()
    assert RERANKER not in model.explain("u0", 1)[0].parts
    weights = model.member_weights()
    assert weights["recency"] == weights["came before the recent"] == 0.0
    expect_whole(model)


def test_a_state_from_before_the_reranker_is_taken_over() -> None:
    old, new = taught(), taught(reranker=False)
    record = {
        name: array
        for name, array in old.dump().items()
        if not name.startswith(("small.hidden", "predecessors", "habits"))
    }
    columns = columns_of("predecessors").start
    for name in ("small.weight", "small.step"):
        record[name] = record[name][:, :columns]
    new = Blend(max_users=100, max_items=100)
    new.load(record)
    expect_whole(new)
    assert not new.memory.small["hidden_out"].any()
    before = listed(new, "u0")
    assert before
    events = checkerboard(seed=4)
    new.step_many(events, n=0)
    assert new.memory.small["hidden_out"].any()
    expect_whole(new)


def test_predecessors_of_an_item_are_proposed() -> None:
    model = Blend(max_users=1_000, max_items=1_000)
    crowd = [(f"c{n}", f"hit {n % 120}") for n in range(600)]
    teach(model, [("ann", "rare tea"), ("ann", "jam"), *crowd])
    teach(model, [("bob", "jam")], start=1e4)
    model.top("bob", 10)
    candidates = model.memory.state.shared.candidates
    known = {model.memory.items.names[row] for row in candidates.item[: int(candidates.size[0])].tolist()}
    assert "rare tea" in known, "nobody took it after jam; ann took it before"
    own = model.memory.state.predecessors.rows
    assert own.item[model.memory.items.row("jam"), 0] == model.memory.items.row("rare tea")


def test_the_habit_of_a_user_is_the_age_of_what_they_take() -> None:
    model, draw = Blend(max_users=200, max_items=1_000), random.Random(2)
    for n in range(60):
        old = [Example(f"other{n % 20}", f"old {draw.randrange(5)}", 1.0, 60.0 * n) for _ in range(3)]
        new = [Example("pioneer", f"new {n}", 1.0, 60.0 * n), Example("loyal", f"old {n % 5}", 1.0, 60.0 * n)]
        model.step_many(old + new, n=0)
    habits, row = model.memory.state.age.users, model.memory.users.row
    ages = {user: habits.age[row(user)] / habits.weight[row(user)] for user in ("pioneer", "loyal")}
    assert ages["pioneer"] == 0.0
    assert ages["loyal"] > 1.0


def test_log2_is_right_to_a_few_ten_thousandths() -> None:
    fast = callable_from_python(log2)
    for x in (1.0, 1.5, 2.0, 3.0, 1000.0, 123456.7, 1e9):
        assert fast(np.float32(x)) == pytest.approx(np.log2(x), abs=3e-4)
