"""Metrics from outcomes agree with a replay's running metrics, and with numbers counted by hand."""

import numpy as np
import pytest

from flows.evaluation.ranking_metrics import event_values, mean_value, metric_names
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings

OUTCOMES = {
    "position": np.array([0, 2, -1, 9, 10]),
    "served": np.array([-1, 0, -1, 9, 11]),
    "any_age": np.array([-1, 0, -1, 9, 11]),
    "user_events": np.array([0, 9, 10, 11, 5]),
    "item_events": np.array([3, 50, 0, 9, 80]),
}


@pytest.mark.parametrize(
    ("name", "counts", "values"),
    [
        ("hit_rate@10", 5, [1, 1, 0, 1, 0]),
        ("hit_rate@2", 5, [1, 0, 0, 0, 0]),
        ("ndcg@10", 5, [1, 0.5, 0, 1 / np.log2(11), 0]),
        ("mrr@10", 5, [1, 1 / 3, 0, 0.1, 0]),
        ("served_hit_rate@10", 5, [0, 1, 0, 1, 0]),
        ("cold_user_hit_rate@10", 3, [1, 1, 0]),
        ("cold_item_hit_rate@10", 3, [1, 0, 1]),
    ],
)
def test_by_hand(name: str, counts: int, values: list[float]) -> None:
    which, found = event_values(name, OUTCOMES)
    assert which.sum() == counts
    assert found.tolist() == pytest.approx(values)


def test_metrics_of_outcomes_agree_with_the_replay() -> None:
    result = replay(EVENTS, Settings(model="covisitation", repeats="exclude"), limit=3_000)
    outcomes = result.outcomes.arrays()
    assert set(result.metrics) <= set(metric_names([10]))
    for name, value in result.metrics.items():
        assert mean_value(name, outcomes) == pytest.approx(value)


def test_no_events() -> None:
    empty = {name: column[:0] for name, column in OUTCOMES.items()}
    assert {mean_value(name, empty) for name in metric_names([10])} == {0.0}
