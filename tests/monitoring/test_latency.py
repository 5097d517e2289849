"""The histogram of latencies."""

import math

import pytest

from flows.monitoring.histogram import LatencyHistogram
from flows.monitoring.metrics import EDGES


def test_buckets_are_exact_from_50_microseconds_on() -> None:
    histogram = LatencyHistogram()
    durations = [edge * factor for edge in EDGES for factor in (0.99, 1.0, 1.01)]
    for seconds in durations:
        histogram.add(seconds)
    buckets, count, total = histogram.cumulative(EDGES)
    assert buckets[0] == (50e-6, 2)
    assert [below for _, below in buckets] == [sum(s <= edge for s in durations) for edge in EDGES]
    assert count == len(durations)
    assert total == pytest.approx(sum(durations))


def test_asking_changes_nothing_and_forgets_nothing() -> None:
    histogram = LatencyHistogram()
    for number in range(1, 10_001):
        histogram.add(number * 1e-5)
        if number % 1_000 == 0:
            _, count, total = histogram.cumulative([0.05])
            assert count == number
            assert total == pytest.approx(number * (number + 1) / 2 * 1e-5)
    assert math.isclose(histogram.quantile(0.5), 0.05, rel_tol=0.02)
