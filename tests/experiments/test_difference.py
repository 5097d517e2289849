"""Differences of models and their intervals, on planted outcomes."""

from typing import Any

import numpy as np

from flows.experiments.compare import Difference, difference
from recmodels.evaluation.bootstrap import Interval


def outcomes(hits: "np.ndarray[Any, Any]") -> dict[str, Any]:
    events = np.arange(len(hits))
    return {"number": events, "position": np.where(hits, 0, -1), "item_digest": events.astype(np.uint32)}


def test_a_worse_model_is_told_from_an_equal_one() -> None:
    random = np.random.default_rng(1)
    first, equal = random.random((2, 20_000)) < 0.2
    worse = first & (random.random(20_000) < 0.9)
    told = {
        name: difference("hit_rate@10", outcomes(first), outcomes(other))
        for name, other in (("equal", equal), ("worse", worse), ("itself", first))
    }
    events, interval = told["worse"]
    assert events == 20_000
    assert interval.low < -0.02 < interval.high < 0.0
    assert told["equal"][1].holds_zero
    assert told["itself"][1] == Interval(0.0, 0.0, 0.0)
    assert "worse than a by 0.02" in Difference("b", "a", "hit_rate@10", events, interval).sentence()
    assert "No difference" in Difference("b", "a", "hit_rate@10", *told["itself"]).sentence()


def test_models_without_common_events_have_no_difference() -> None:
    first = outcomes(np.ones(3, bool))
    events, interval = difference("hit_rate@10", first, {**first, "number": np.arange(3) + 10})
    assert events == 0
    assert "nothing can be told" in Difference("b", "a", "hit_rate@10", events, interval).sentence()


def test_difference_that_depends_on_one_item_has_a_wider_interval() -> None:
    random = np.random.default_rng(3)
    hits, items = random.random(400) < 0.125, random.integers(100, size=400)
    halves = {}
    for name, item in {"many": items, "one": np.where(hits, 0, items)}.items():
        first, second = (outcomes(hit) | {"item_digest": item} for hit in (np.zeros(400, np.bool_), hits))
        _, interval = difference("hit_rate@10", first, second)
        assert interval.mean == hits.mean()
        halves[name] = interval.half_width
    assert halves["one"] > 2 * halves["many"]
