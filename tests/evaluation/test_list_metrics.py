"""Metrics of lists: counted by hand, and equal to those of the lists that a replay emits."""

from math import log2
from pathlib import Path

import orjson
import pytest

from flows.evaluation.beyond_accuracy import ListMetrics
from flows.evaluation.scorer import PrequentialScorer
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings

COUNTS = {"tea": 6, "jam": 3, "pie": 1}


def test_by_hand() -> None:
    metrics = ListMetrics(k=2)
    metrics.update("tea", ["tea", "jam", "pie"], COUNTS, 10)
    metrics.update("pie", ["tea", "pie"], COUNTS, 10)
    metrics.update("jam", None, COUNTS, 10)  # no list went out
    found = metrics.values([*COUNTS, "new"])
    assert found["coverage@2"] == 3 / 4
    assert found["novelty@2"] == pytest.approx(-(2 * log2(0.6) + log2(0.3) + log2(0.1)) / 4)
    assert found["popularity_lift@2"] == pytest.approx(((0.6 + 0.3 + 0.6 + 0.1) / 4) / ((0.6 + 0.1 + 0.3) / 3))
    # Listed 2, 1, 1 and 0 times: two of them differ by 0.75 on average, halved, over the mean of 1.
    assert found["gini@2"] == pytest.approx(0.75 / 2)


def test_lists_that_are_all_alike_are_unequal_and_lists_that_take_turns_are_not() -> None:
    alike, turns = ListMetrics(k=1), ListMetrics(k=1)
    items = [f"i{number}" for number in range(100)]
    counts = dict.fromkeys(items, 1)
    for item in items:
        alike.update(item, ["i0"], counts, 100)
        turns.update(item, [item], counts, 100)
    assert alike.values(items)["gini@1"] == pytest.approx(0.99)
    assert turns.values(items)["gini@1"] == pytest.approx(0.0)
    assert (alike.values(items)["coverage@1"], turns.values(items)["coverage@1"]) == (0.01, 1.0)


def test_metrics_of_no_lists_are_zero() -> None:
    assert set(ListMetrics(k=3).values([]).values()) == {0.0}


def test_a_replay_tells_of_each_list_that_goes_out(tmp_path: Path) -> None:
    lists = ListMetrics(k=5)
    out = tmp_path / "lists.jsonl"
    settings = Settings(model="covisitation", emit="changed", fallback=False)
    replay(EVENTS, settings, limit=2_000, out=out, scores=PrequentialScorer(10, lists))
    written = [orjson.loads(line)["items"][:5] for line in out.read_bytes().splitlines()]
    assert sum(map(len, written)) == lists.listed.total()
    assert {entry["item"] for items in written for entry in items} == set(lists.listed)


@pytest.mark.slow
def test_popular_lists_have_a_popularity_bias() -> None:
    found = {}
    for model in ("popularity", "covisitation"):
        scores = PrequentialScorer(10, ListMetrics(10))
        replay(EVENTS, Settings(model=model, repeats="exclude"), limit=5_000, scores=scores)
        assert scores.lists is not None
        found[model] = scores.lists.values(scores.items)
    assert found["popularity"]["popularity_lift@10"] > found["covisitation"]["popularity_lift@10"] > 0
    assert found["popularity"]["gini@10"] > found["covisitation"]["gini@10"]
    assert found["popularity"]["coverage@10"] < found["covisitation"]["coverage@10"]
    assert found["popularity"]["novelty@10"] < found["covisitation"]["novelty@10"]
