"""Exploration: which item gets a slot and when, what the model learns from it, and that nothing else changes."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from recmodels import Blend, Example, Popularity, checks
from recmodels.base import Recommender
from recmodels.checks.consistency import expect_whole
from recmodels.checks.events import some_events, steps_of
from recmodels.exploration.explorer import Explorer, _chance
from recmodels.exploration.thompson import ThompsonBandit
from tests.support.teach import POPULAR, learn, listed


def explorer(kind: type[Recommender], share: float) -> checks.Factory:
    def make(**arguments: object) -> Recommender:
        return Explorer(kind(**arguments), share=share, arms=20)

    return make


CASES = [
    pytest.param(explorer(kind, share), check, id=f"{kind.__name__}-{share}-{check.__name__}", marks=marks)
    for kind, share, marks in ((Popularity, 1.0, [pytest.mark.slow]), (Blend, 0.3, []))
    for check in checks.ALL
]


@pytest.mark.parametrize(("make", "check"), CASES)
def test_contract(make: checks.Factory, check: checks.Check) -> None:
    if reason := checks.reasons_to_skip(make).get(check.__name__):
        pytest.skip(reason)
    check(make)


def test_the_last_slot_goes_to_an_item_on_trial_with_the_models_score() -> None:
    model = Explorer(Popularity(), share=1.0)
    learn(model, POPULAR)
    model.learn_item("new", {"title": "New"})
    model.learn_one("d", "rare")
    own = model.model.top("stranger", 3)
    (a, b, (slot, score)) = model.top("stranger", 3)
    assert [a, b] == own[:2]
    assert slot not in [item for item, _ in own]
    assert score == model.model.predict_one("stranger", slot)


def test_explorer_without_a_share_equals_the_model() -> None:
    events = some_events(200)
    plain, wrapped = Blend(), Explorer(Blend(), share=0.0)
    assert steps_of(plain, events, batch=7) == steps_of(wrapped, events, batch=7)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_share_is_what_was_asked_for_and_only_the_last_place_differs(share: float) -> None:
    events = some_events(8_000, users=50, items=200)
    own, explored = (steps_of(model, events, batch=64) for model in (Blend(), Explorer(Blend(), share)))
    differ = [(a, b) for a, b in zip(own, explored, strict=True) if a.items != b.items]
    assert len(differ) / len(events) == pytest.approx(share, rel=0.15)
    assert all(a.items[:-1] == b.items[:-1] and b.items[-1] not in a.items for a, b in differ)
    moved = [(a.position, b.position) for a, b in zip(own, explored, strict=True) if a.position != b.position]
    assert moved, "no event was scored against a list with a slot"
    assert all(a == 4 or b == 4 for a, b in moved), "a place other than the last has changed"


def test_a_chance_is_even_and_of_its_seed() -> None:
    drawn = np.array([[_chance(seed, number) for number in range(20_000)] for seed in (0, 1)])
    counts, _ = np.histogram(drawn, bins=10, range=(0.0, 1.0))
    assert counts == pytest.approx(np.full(10, 4_000), rel=0.05)
    assert abs(np.corrcoef(drawn)[0, 1]) < 0.03
    assert abs(np.corrcoef(drawn[0, 1:], drawn[0, :-1])[0, 1]) < 0.03


def test_hidden_and_own_items_get_no_slot() -> None:
    model = Explorer(Blend(repeats="exclude"), share=1.0, arms=8)
    draw = random.Random(0)
    for item in range(12):
        model.learn_item(f"i{item}", {"title": "…"})
    had: dict[str, set[str]] = {}
    hidden: set[str] = set()
    for turn in range(400):
        item = f"i{draw.randrange(12)}"
        if turn % 7 == 0:
            model.learn_item(item, available=item in hidden)
            hidden ^= {item}
        user = f"u{draw.randrange(5)}"
        (step,) = model.step_many([Example(user, item, 1.0, float(turn))], 3)
        had.setdefault(user, set()).add(item)
        assert not set(step.items) & (had[user] | hidden)
        assert not set(listed(model, user, 3)) & (had[user] | hidden)
        if turn % 50 == 49:
            model.forget_one(user)
            had.pop(user)


def test_an_item_with_nothing_but_returns_is_not_on_trial() -> None:
    model = Explorer(Popularity(), share=1.0)
    learn(model, POPULAR)
    model.learn_one("d", "broken", -1.0)
    assert "broken" not in listed(model, "stranger", 10)


def test_a_slot_is_answered_by_the_users_next_interaction() -> None:
    model = Explorer(Popularity(), share=1.0)
    learn(model, POPULAR)
    for item in ("good", "bad"):
        model.learn_item(item)
    for turn in range(60):
        (shown,) = model.step_many([Example(f"u{turn}", "tea", 1.0, float(turn))], 2)
        model.step_many([Example("v", "jam", 1.0, float(turn))], 0)  # of another user: no answer
        model.learn_one(f"u{turn}", "good" if shown.items[-1] == "good" else "jam")
    chosen, not_chosen = model._trial.posterior("good")
    assert chosen > 10
    assert not_chosen <= model._trial.posterior("bad")[1]
    assert model._trial.posterior("bad")[0] == 1.0


def test_a_return_answers_nothing() -> None:
    arms = ThompsonBandit(3, 3)
    arms.add("tea")
    arms.show("ann", "tea", 1)
    arms.reward("ann", None)
    arms.reward("ann", "tea")
    assert arms.posterior("tea") == (1.0, 1.0)


@pytest.mark.slow
def test_a_good_item_that_nobody_finds_by_himself_is_found_by_exploring_only() -> None:
    """Users take the gem where they see it, else a habit of theirs. It was announced, and never touched."""

    def share_of_gem(share: float) -> float:
        model: Recommender = Explorer(Popularity(half_life=300.0), share=share)
        draw = random.Random(1)
        for item in range(40):
            model.learn_item("gem" if item == 17 else f"dull{item}", {"title": "…"})
        shown: dict[str, list[str]] = {}
        taken = []
        for turn in range(6_000):
            user = f"u{draw.randrange(100)}"
            takes_gem = "gem" in shown.get(user, ()) and draw.random() < 0.5
            item = "gem" if takes_gem else f"habit{int(100 * draw.random() ** 2)}"
            (step,) = model.step_many([Example(user, item, 1.0, float(turn))], 10)
            shown[user] = list(step.items)
            taken.append(takes_gem)
        return sum(taken[-1_000:]) / 1_000

    assert share_of_gem(0.0) == 0.0
    assert share_of_gem(0.2) > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Popularity, Blend])
def test_explorer_does_not_depend_on_batches_and_restarts(kind: Callable[..., Recommender]) -> None:
    models = [Explorer(kind(repeats="exclude", max_users=6, max_items=9), share=0.4, arms=4) for _ in range(3)]
    draw = random.Random(2)
    for part in range(40):
        events = [Example(f"u{draw.randrange(9)}", f"i{draw.randrange(14)}", 1.0, float(part)) for _ in range(20)]
        whole, single = models[0].step_many(events, 4), [models[1].step_many([event], 4)[0] for event in events]
        assert whole == single == models[2].step_many(events, 4)
        for model in models:
            model.learn_item(f"i{part % 14}", available=part % 3 != 0)
            model.forget_one(f"u{part % 9}")
            expect_whole(model.model)
        restarted = models[2].clone()
        restarted.load(models[2].dump())
        models[2] = restarted


def test_exploring_can_begin_and_end_with_the_state_of_a_job() -> None:
    events = some_events(200)
    plain, explorer = Blend(), Explorer(Blend(), share=1.0)
    plain.step_many(events)
    explorer.load(plain.dump())
    assert explorer.model.top("u1", 5) == plain.top("u1", 5)
    explorer.step_many(events)
    plain.load(explorer.dump())
    assert explorer.model.top("u1", 5) == plain.top("u1", 5)


def test_state_of_more_arms_is_refused() -> None:
    large, small = Explorer(Popularity(), 1.0, arms=50), Explorer(Popularity(), 1.0, arms=2)
    large.step_many(some_events())
    with pytest.raises(ValueError, match=r"explore\.arms"):
        small.load(large.dump())


@pytest.mark.parametrize(
    "wrong", [{"share": 1.5}, {"share": -0.1}, {"share": float("nan")}, {"arms": 0}, {"seed": -1}, {"model": "blend"}]
)
def test_arguments_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)) + ".* got "):
        Explorer(**{"model": Popularity(), **wrong})  # type: ignore[arg-type]
