"""Popularity with decay by events and by event time."""

import numpy as np
import pytest

from recmodels import Blend, Example, Popularity
from recmodels.inspection.trends import popular
from tests.support.teach import listed, teach


def test_popularity_halves_at_its_half_life() -> None:
    model = Popularity(half_life=4.0)
    teach(model, [("a", "old"), ("a", "x"), ("a", "x"), ("a", "x"), ("a", "new")])  # "old" is 4 events older than "new"
    assert model.predict_one("b", "old") - model.predict_one("b", "new") == pytest.approx(-1.0)
    x = np.log2(2 ** (-3 / 4) + 2 ** (-2 / 4) + 2 ** (-1 / 4))
    assert model.predict_one("b", "new") - model.predict_one("b", "x") == pytest.approx(0.0 - x, abs=1e-6)
    teach(model, [("a", "new")] * 2)
    assert listed(model, "b", 3) == ["new", "x", "old"]


def test_popularity_halves_by_the_time_of_events() -> None:
    model = Popularity(half_life=60.0, decay_by="time")
    times = [("old", 0.0), ("mid", 60.0), ("mid", 60.0), ("new", 120.0), ("late", 30.0)]
    model.step_many([Example("a", item, 1.0, time) for item, time in times])
    levels = {item: model.predict_one("b", item) for item, _ in times}
    assert levels["mid"] - levels["new"] == pytest.approx(0.0), "two events, one half-life ago"
    assert levels["old"] - levels["new"] == pytest.approx(-2.0)
    assert levels["late"] == levels["new"], "time never moves backwards: a late event counts as of the newest time"
    [(first, *_), *_] = popular(model, half_life=60.0)
    assert first == "mid"
    found = {row.item: row.events for row in popular(model, half_life=60.0)}
    assert found == pytest.approx({"old": 0.25, "mid": 1.0, "new": 1.0, "late": 1.0})


def test_wrong_times_and_hidden_items_do_not_distort_popularity_by_time() -> None:
    model = Popularity(half_life=60.0, decay_by="time")
    model.step_many([Example("a", "x", 1.0, 0.0), Example("a", "y", 1.0, 1.7e12), Example("a", "y", 1.0, 1e306)])
    model.step_many([Example("a", "z", 1.0, 60.0)])
    assert model.predict_one("b", "x") - model.predict_one("b", "z") == pytest.approx(-1.0), "milliseconds are no time"
    blend = Blend(half_lives=(30.0, 60.0, 90.0, 120.0, 150.0), decay_by="time")
    blend.learn_item("hidden", available=False)
    blend.step_many([Example("a", "old", 1.0, 0.0), Example("c", "hidden", 1.0, 1e6)])
    blend.learn_item("new", {"tags": ["t"]})
    blend.top("d")
    columns = blend.memory.state.shared.candidates.column[:5, :2]
    assert np.isfinite(columns).all()
    assert columns.max() == 14.0, "days above what nobody has touched since is as far as anything goes"


def test_popularity_without_end_counts() -> None:
    model = Popularity(half_life=float("inf"))
    teach(model, [("a", "x")] * 8 + [("a", "y")] * 2)
    assert model.predict_one("b", "y") - model.predict_one("b", "x") == pytest.approx(-2.0)
