"""Impressions: learned as negatives, never scored, and no obstacle to a later click."""

from typing import Any

import pytest

from flows.presets import PRESETS
from flows.settings import Settings
from recmodels.base import Example
from recmodels.specification import build_model
from tests.support.flow import Flow, event, sample_records

MODELS = ["blend", "river:reco.BiasedMF(n_factors=4, seed=1)"]
REPEATS = ["allow", "exclude"]


def shown(user: str, item: str, timestamp: float) -> bytes:
    return event(user, item, timestamp, event="impression")


def known(count: int = 5) -> list[bytes]:
    """Events that make items known."""
    return [event(f"u{n}", f"i{n % count}", float(n)) for n in range(20)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("repeats", REPEATS)
def test_an_impression_is_not_scored_and_a_click_after_it_is(model: str, repeats: str) -> None:
    flow = Flow([*known(), shown("ann", "i1", 30.0), event("ann", "i1", 31.0)], model=model, repeats=repeats)
    *_, impression, click = [each.ranked.position for each in flow.decided]
    assert impression is None
    assert click is not None
    assert click >= 0, "what was shown is still in the list"
    assert "i1" in flow.items(-2)
    assert ("i1" in flow.items(-1)) == (repeats == "allow"), "what was clicked is had"


def test_an_impression_is_no_recent_item() -> None:
    records = [
        event(f"u{n}", item, float(n)) for n in range(40) for item in (("tea", "milk") if n % 2 else ("jam", "rye"))
    ]
    flow = Flow([*records, event("ann", "tea", 50.0), shown("ann", "jam", 51.0)], repeats="exclude")
    assert flow.items(-2)[0] == flow.items(-1)[0] == "milk", "the list still answers the tea"


@pytest.mark.parametrize("repeats", REPEATS)
def test_a_click_after_impressions_leaves_the_history_of_a_click(repeats: str) -> None:
    def learned(*rewards: float) -> Any:
        model = build_model("blend(max_users=10, max_items=10, max_pairs=100)", repeats=repeats)
        model.step_many([Example("bob", item, 1.0, 1.0) for item in ("tea", "jam")])
        model.step_many([Example("ann", "tea", reward, 2.0) for reward in rewards])
        state = model.memory.state  # type: ignore[attr-defined]
        ann = model.memory.users.row("ann")  # type: ignore[attr-defined]
        cell = state.shared.users.newest[ann]
        return (
            state.shared.users.recent[ann].tolist(),
            state.shared.users.events[ann],
            cell and state.shared.history.amount[cell],
        )

    shown_and_clicked, clicked = learned(-0.05, -0.05, 1.0), learned(1.0)
    assert shown_and_clicked == clicked
    assert learned(-0.05)[1:] == (0, 0), "an impression alone leaves none"
    assert learned(1.0, -1.0)[2] == 0.0, "what was had and came back is known, and counts no more"


def test_shown_again_and_again_it_counts_against_an_item() -> None:
    model = build_model("river:reco.BiasedMF(n_factors=4, seed=1)")
    model.step_many([Example(f"u{n}", item, 1.0) for n in range(20) for item in ("tea", "jam")])
    model.step_many([Example(f"v{n}", "tea", -0.05) for n in range(200)])
    assert model.predict_one("new", "tea") < model.predict_one("new", "jam") / 4


def test_a_log_full_of_impressions_is_scored_by_its_clicks_alone() -> None:
    clicks = sample_records(300)
    with_views = [each for click in clicks for each in (click.replace(b'"rating"', b'"impression"'), click)]
    assert b'"impression"' in with_views[0]
    flow = Flow(with_views, repeats="exclude")
    assert flow.connections.counters.scored == 300
    assert flow.connections.counters.learned == 600


def test_an_impression_is_a_negative_without_being_told() -> None:
    assert -0.1 < Settings().rewards["impression"] < 0.0
    assert all(-0.1 < preset.rewards["impression"] < 0.0 for preset in PRESETS.values())
