"""Exploration: who gets the slot, when, what is learned of it, and that nothing else changes."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from river import reco

from flows.model_watch import ModelWatch
from flows.replay import replay
from flows.report.measured import measured
from flows.sample import EVENTS
from flows.settings import Settings
from recmodels import Blend, Example, Popularity, RiverModel, checks
from recmodels.arms import Arms
from recmodels.base import Recommender
from recmodels.checks.consistency import expect_whole
from recmodels.checks.events import some_events, steps_of
from recmodels.explore import Explorer, _chance
from recmodels.known import know
from recmodels.trends import popular, rising
from tests.test_drift import CHANGE, a_stream_that_changes
from tests.test_flow import Flow, event


def explorer(kind: type[Recommender], share: float) -> checks.Factory:
    def make(**arguments: object) -> Recommender:
        return Explorer(kind(**arguments), share=share, arms=20)

    return make


CASES = [
    pytest.param(explorer(kind, share), check, id=f"{kind.__name__}-{share}-{check.__name__}")
    for kind, share in ((Popularity, 1.0), (Blend, 0.3))
    for check in checks.ALL
]


@pytest.mark.parametrize(("make", "check"), CASES)
def test_contract(make: checks.Factory, check: checks.Check) -> None:
    if reason := checks.reasons_to_skip(make).get(check.__name__):
        pytest.skip(reason)
    check(make)


def learn(model: Recommender, pairs: str) -> None:
    for pair in pairs.split():
        user, _, item = pair.partition(":")
        model.learn_one(user, item)


def names(model: Recommender, user: str, n: int = 3) -> list[str]:
    return [item for item, _ in model.top(user, n)]


POPULAR = "a:tea b:tea c:tea a:jam b:jam a:pie"


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


def test_without_a_share_it_is_the_model() -> None:
    events = some_events(200)
    plain, wrapped = Blend(), Explorer(Blend(), share=0.0)
    assert steps_of(plain, events, batch=7) == steps_of(wrapped, events, batch=7)


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


def test_what_is_hidden_or_had_gets_no_slot() -> None:
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
        assert not set(names(model, user)) & (had[user] | hidden)
        if turn % 50 == 49:
            model.forget_one(user)
            had.pop(user)


def test_an_item_with_nothing_but_returns_is_not_on_trial() -> None:
    model = Explorer(Popularity(), share=1.0)
    learn(model, POPULAR)
    model.learn_one("d", "broken", -1.0)
    assert "broken" not in names(model, "stranger", 10)


def test_a_slot_is_answered_by_the_users_next_interaction() -> None:
    model = Explorer(Popularity(), share=1.0)
    learn(model, POPULAR)
    for item in ("good", "bad"):
        model.learn_item(item)
    for turn in range(60):
        (shown,) = model.step_many([Example(f"u{turn}", "tea", 1.0, float(turn))], 2)
        model.step_many([Example("v", "jam", 1.0, float(turn))], 0)  # of another user: no answer
        model.learn_one(f"u{turn}", "good" if shown.items[-1] == "good" else "jam")
    chosen, not_chosen = model._trial.believed("good")
    assert chosen > 10
    assert not_chosen <= model._trial.believed("bad")[1]
    assert model._trial.believed("bad")[0] == 1.0


def test_a_return_answers_nothing() -> None:
    arms = Arms(3, 3)
    arms.add("tea")
    arms.show("ann", "tea", 1)
    arms.answer("ann", None)
    arms.answer("ann", "tea")
    assert arms.believed("tea") == (1.0, 1.0)


def test_the_unknown_are_believed_to_be_as_good_as_the_average() -> None:
    arms = Arms(3, 3)
    for item in ("known", "unknown"):
        arms.add(item)
    for k in range(100):
        arms.show("ann", "known", k)
        arms.answer("ann", "known" if k % 10 == 0 else "else")
    a, b = arms.believed("unknown")
    assert a / (a + b) == pytest.approx(0.1, rel=0.1)
    assert arms.believed("known")[0] == 11.0


def test_a_full_trial_gives_up_the_worst_then_the_oldest() -> None:
    arms = Arms(3, 3)
    for item in ("first", "bad", "good"):
        arms.add(item)
    for turn, item in enumerate(["bad", "good"] * 5):
        arms.show("ann", item, turn)
        arms.answer("ann", "good")
    arms.add("new")
    assert "bad" not in arms
    arms.add("newer")
    assert "first" not in arms
    assert "good" in arms
    assert len(arms) == 3


def test_an_arms_row_that_is_given_out_again_takes_no_answer_for_the_one_before() -> None:
    arms = Arms(1, 3)
    arms.add("old")
    arms.show("ann", "old", 1)
    arms.add("new")
    arms.answer("ann", "new")
    assert arms.believed("new") == (1.0, 1.0)


def test_slots_that_nobody_answers_are_bounded() -> None:
    arms = Arms(1, 5)
    arms.add("tea")
    for turn in range(1_000):
        arms.show(f"u{turn}", "tea", turn)
    arms.answer("u999", "tea")
    arms.answer("u0", "tea")
    assert arms.believed("tea") == (2.0, 1.0)
    assert len(arms.dump_changes()["explore.slots.rows"]) <= 6


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


@pytest.mark.parametrize("kind", [Popularity, Blend])
def test_where_items_come_and_go_batches_and_restarts_never_show(kind: Callable[..., Recommender]) -> None:
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


def test_reasons_and_weights_are_the_models_and_a_slot_says_that_it_is_one() -> None:
    model = Explorer(Blend(), share=1.0)
    learn(model, POPULAR)
    model.learn_item("new", {"title": "New"})
    whys = model.explain("a", 2)
    assert [(why.item, why.score) for why in whys] == model.top("a", 2)
    assert set(whys[-1].parts) == {"explore"}
    assert whys[:1] == model.model.explain("a", 2)[:1]
    assert model.member_weights() == model.model.member_weights() != {}
    assert model.scores_are_probabilities
    assert model.predict_many("a", ["tea", "new"]) == [model.predict_one("a", item) for item in ("tea", "new")]


def test_lists_that_say_why_name_the_slot() -> None:
    records = [event(f"u{k % 5}", f"i{k % 12}", k) for k in range(60)]
    said = [entry["why"] for out in Flow(records, explore=1.0, why=True, top=3).lists for entry in out["items"]]
    assert sum(set(why) == {"explore"} for why in said) > 30


def test_rivers_models_are_explored_too() -> None:
    model = Explorer(RiverModel(reco.BiasedMF(n_factors=3, seed=1)), share=1.0)
    learn(model, POPULAR)
    model.learn_item("new")
    assert names(model, "stranger", 2)[1] in ("pie", "jam", "tea", "new")
    assert model.version == "river.BiasedMF/1+explore"


def test_replay_with_exploration(tmp_path: Path) -> None:
    """The same lists whatever the batches; the price is small, and the report is of the lists that users get."""
    settings = Settings(repeats="exclude", explore=0.2)
    a = replay(EVENTS, settings, limit=3_000, out=tmp_path / "a.jsonl", batch=1)
    b = replay(EVENTS, settings, limit=3_000, out=tmp_path / "b.jsonl", batch=100)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert a.metrics == b.metrics
    assert '"model":"blend/1+explore"' in (tmp_path / "a.jsonl").read_text().splitlines()[0]
    plain = replay(EVENTS, Settings(repeats="exclude"), limit=3_000)
    assert 0.9 * plain.fresh.hit_rate < a.fresh.hit_rate < plain.fresh.hit_rate


def test_what_the_model_knows_and_saw_is_there_behind_the_explorer() -> None:
    events = a_stream_that_changes()[: CHANGE + 1_000]
    model = Explorer(Blend(), share=0.05)
    watch = ModelWatch()
    for start in range(0, len(events), 500):
        part = events[start : start + 500]
        watch.after(model, part, model.step_many(part, n=3))
    assert model.drift_moments
    assert model.drift_moments == model.model.drift_moments
    known = know(model, events[-1].user)
    assert known.events > 100
    assert known.recent[0] == events[-1].item
    assert popular(model) == popular(model.model)
    assert rising(model) == rising(model.model)


def test_the_page_marks_the_drift_that_an_explored_blend_saw(tmp_path: Path) -> None:
    log = tmp_path / "events.csv"
    rows = [f"{event.user},{event.item},{event.timestamp}" for event in a_stream_that_changes()[: CHANGE + 1_000]]
    log.write_text("\n".join(["user,item,timestamp", *rows]))
    watch = ModelWatch()
    result = replay(log, Settings(explore=0.05), watch=watch)
    found = measured(result, watch)
    assert any(moment > CHANGE for moment in found.drifts)
    assert all(sample.recent for sample in found.samples)


def test_what_an_explored_river_model_has_kept_is_there() -> None:
    model = Explorer(RiverModel(reco.BiasedMF(n_factors=2, seed=1), repeats="exclude"), share=0.5)
    learn(model, "ann:tea ann:jam")
    assert know(model, "ann").recent == ["jam", "tea"]
