"""Exploration with a window: impressions and interactions within it are the outcomes of slots."""

import random
from pathlib import Path
from typing import Any

import pytest

from flows.replay import replay
from flows.settings import Settings
from recmodels import Blend, Example, Popularity
from recmodels.exploration.explorer import Explorer
from recmodels.exploration.outcomes import Outcomes
from recmodels.exploration.thompson import ThompsonBandit
from tests.support.flow import Flow, event
from tests.support.teach import POPULAR, learn

START = 1_000.0
"""Behind all that the model has learned before."""


def impression(user: str, item: str, time: float) -> Example:
    return Example(user, item, -0.05, START + time, {"event": "impression"})


def click(user: str, item: str, time: float, y: float = 1.0) -> Example:
    return Example(user, item, y, START + time)


def shop() -> Explorer:
    """Return an explorer that gives each list a slot, and has one new item on trial."""
    model = Explorer(Popularity(), share=1.0, window=60.0, arms=1)
    learn(model, POPULAR)
    model.learn_item("gem", {"title": "Gem"})
    return model


def slot_of(model: Explorer, user: str, time: float) -> str:
    [step] = model.step_many([click(user, "tea", time)], 2)
    return step.items[-1]


@pytest.mark.parametrize(
    ("events", "outcomes"),
    [
        ([], (0, 0)),
        ([impression("eve", "gem", 5.0)], (1, 0)),
        ([impression("eve", "gem", 5.0), click("eve", "gem", 9.0)], (1, 1)),
        ([click("eve", "gem", 9.0), click("eve", "gem", 9.5)], (1, 1)),
        ([click("eve", "gem", 62.0)], (0, 0)),
        ([impression("eve", "gem", 5.0), click("eve", "gem", 62.0)], (1, 0)),
        ([impression("eve", "gem", 0.5), impression("eve", "gem", 62.0)], (0, 0)),
        ([impression("bob", "gem", 5.0), click("bob", "gem", 9.0)], (0, 0)),
        ([impression("eve", "gem", 5.0), click("eve", "gem", 9.0, -1.0)], (1, 0)),
        ([impression("eve", "gem", float("nan")), click("eve", "tea", float("nan"))], (0, 0)),
    ],
    ids=[
        "nobody saw it",
        "shown",
        "shown and taken",
        "taken twice",
        "too late",
        "shown, and taken too late",
        "shown before and after",
        "of another user",
        "sent back",
        "without a time",
    ],
)
def test_a_slot_has_the_outcome_that_impressions_and_clicks_give(
    events: list[Example], outcomes: tuple[int, int]
) -> None:
    model = shop()
    assert slot_of(model, "eve", 1.0) == "gem"
    for example in events:
        model.step_many([example], 0)
    model.step_many([click("zoe", "tea", 500.0)], 0)
    assert model._trial.outcomes("gem") == outcomes
    assert model.totals == outcomes


def test_a_list_on_request_has_outcomes_once_it_is_sent() -> None:
    for is_sent in (False, True):
        model = shop()
        items = [item for item, _ in model.top("eve", 2, {"timestamp": 1.0})]
        assert items[-1] == "gem"
        if is_sent:
            model.note_sent("eve", items, START + 1.0)
        model.step_many([impression("eve", "gem", 2.0), click("eve", "gem", 3.0)], 0)
        assert model.totals == ((1, 1) if is_sent else (0, 0))


def test_an_erased_user_answers_nothing() -> None:
    model = shop()
    slot_of(model, "eve", 1.0)
    model.forget_one("eve")
    model.step_many([impression("eve", "gem", 2.0), click("eve", "gem", 3.0)], 0)
    assert model.totals == (0, 0)


def test_a_dropped_arms_slot_is_not_credited_to_the_arm_in_its_place() -> None:
    bandit = ThompsonBandit(1, 1)
    outcomes = Outcomes(bandit, 60.0, 10)
    bandit.add("old")
    outcomes.begin("eve", "old", 1.0)
    outcomes.see("eve", "old", 2.0)
    bandit.add("new")
    assert not outcomes.take("eve", "new", 3.0)
    outcomes.end_before(100.0)
    assert bandit.outcomes("new") == (0, 0)


def test_slots_that_wait_are_bounded() -> None:
    bandit = ThompsonBandit(1, 1)
    outcomes = Outcomes(bandit, 60.0, 5)
    bandit.add("tea")
    for number in range(1_000):
        outcomes.begin(f"u{number}", "tea", 1.0)
        outcomes.see(f"u{number}", "tea", 1.0)
        outcomes.end_before(1.0)
    assert len(outcomes.dump_changes()["explore.shown.rows"]) <= 6
    assert len(outcomes._waiting) <= 6
    outcomes.end_before(100.0)
    assert bandit.totals == (5, 0)


@pytest.mark.parametrize("kind", [Popularity, Blend])
def test_outcomes_do_not_depend_on_batches_and_restarts(kind: type[Popularity | Blend]) -> None:
    models = [Explorer(kind(), share=0.5, arms=6, window=30.0) for _ in range(3)]
    draw = random.Random(3)
    time = 0.0
    for part in range(30):
        events = []
        for _ in range(20):
            time += draw.randrange(5)
            user, item = f"u{draw.randrange(5)}", f"i{draw.randrange(10)}"
            events.append(impression(user, item, time) if draw.random() < 0.6 else Example(user, item, 1.0, time))
        whole, single = models[0].step_many(events, 3), [models[1].step_many([each], 3)[0] for each in events]
        assert whole == single == models[2].step_many(events, 3)
        for model in models:
            model.learn_item(f"i{part % 10}", {"title": "…"})
            model.forget_one(f"u{part % 5}")
        restarted = models[2].clone()
        restarted.load(models[2].dump())
        models[2] = restarted
    assert models[0].totals == models[1].totals == models[2].totals
    shown, taken = models[0].totals
    assert shown > taken > 0


def test_outcomes_can_begin_and_end_with_the_state_of_a_job() -> None:
    without, within = Explorer(Popularity(), share=1.0, arms=1), shop()
    learn(without, POPULAR)
    within.load(without.dump())
    assert slot_of(within, "eve", 1.0) in ("tea", "jam", "pie", "gem")
    without.load(within.dump())
    assert without.top("eve", 2)


def test_the_job_learns_slots_from_impressions_where_it_attributes() -> None:
    start = [event("u0", "tea", 1.0), b'{"kind":"item","item":"gem","timestamp":2,"features":{}}']
    asked = [event("eve", "tea", 3.0), b'{"kind":"request","user":"bob","timestamp":4,"request":"r1"}']
    seen = [event(user, "gem", 5.0, event="impression") for user in ("eve", "bob", "ann")]
    taken = [event("bob", "gem", 6.0, event="click"), event("zoe", "tea", 900.0)]
    settings: dict[str, Any] = {"explore": 1.0, "top": 2, "model": "popularity"}
    flow = Flow([*start, *asked, *seen, *taken], attribution_window=60.0, **settings)
    assert flow.connections.counters.explorer is not None
    assert flow.connections.counters.explorer.totals == (2, 1)


def test_the_report_says_what_became_of_slots(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\n".join(event(f"u{n % 3}", f"i{n % 7}", float(n)) for n in range(60)))
    explored = replay(log, Settings(model="popularity", explore=1.0, attribution_window=30.0, top=2)).report()
    assert explored["explored"]["taken"] <= explored["explored"]["shown"]
    assert "explored" not in replay(log, Settings(model="popularity")).report()
