"""Bootstrap intervals: coverage on series whose true mean is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from recmodels.evaluation.bootstrap import Interval, block_length, mean_interval

SERIES = 200


def moving(random: np.random.Generator, n: int = 3_000, width: int = 40) -> NDArray[np.float64]:
    """A series of mean 0 in which neighbours move together."""
    return np.convolve(random.normal(size=n + width - 1), np.ones(width), "valid")


def coverage(block: int | None) -> float:
    random = np.random.default_rng(7)
    return float(np.mean([mean_interval(moving(random), draws=400, block=block).holds_zero for _ in range(SERIES)]))


def test_intervals_hold_the_true_mean_as_often_as_they_say() -> None:
    assert coverage(None) >= 0.9


@pytest.mark.slow
def test_drawing_single_events_would_not() -> None:
    assert coverage(1) < 0.5


def test_independent_values_get_the_textbook_interval() -> None:
    x = np.random.default_rng(3).normal(5.0, 2.0, 10_000)
    found = mean_interval(x)
    assert found.mean == pytest.approx(x.mean())
    assert found.half_width == pytest.approx(1.96 * 2.0 / 100, rel=0.1)
    assert found.low < found.mean < found.high


def test_the_wider_level_is_wider() -> None:
    x = np.random.default_rng(3).normal(size=1_000)
    assert mean_interval(x, level=0.99).half_width > mean_interval(x, level=0.8).half_width


def test_the_same_seed_gives_the_same_interval() -> None:
    x = np.random.default_rng(3).normal(size=1_000)
    assert mean_interval(x, seed=4) == mean_interval(x, seed=4) != mean_interval(x, seed=5)


def test_blocks_drawn_in_parts_are_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(3).normal(size=2_000)
    whole = mean_interval(x)
    monkeypatch.setattr("recmodels.evaluation.bootstrap.DRAWN_AT_ONCE", 1_000)
    assert mean_interval(x).half_width == pytest.approx(whole.half_width, rel=0.1)


def test_the_rule_by_hand() -> None:
    """An AR(1) series: G / Σγ = 2ρ / (1 - ρ²), so that the length is (3/2 (2ρ / (1 - ρ²))² n)^(1/3)."""
    random, rho, n = np.random.default_rng(5), 0.9, 20_000
    x = np.zeros(n)
    for i, noise in enumerate(random.normal(size=n - 1), start=1):
        x[i] = rho * x[i - 1] + noise
    expected = (1.5 * (2 * rho / (1 - rho**2)) ** 2 * n) ** (1 / 3)
    assert block_length(x) == pytest.approx(expected, rel=0.3)


def with_items(random: np.random.Generator, n: int = 3_000) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A series of mean 0 to which each of fifty items brings something of its own, wherever it stands."""
    items = random.integers(50, size=n)
    return random.normal(size=n) + random.normal(size=50)[items], items


def test_correlation_within_items_widens_intervals() -> None:
    random = np.random.default_rng(11)
    series = [with_items(random) for _ in range(SERIES)]
    assert np.mean([mean_interval(x, draws=400, groups=items).holds_zero for x, items in series]) >= 0.9
    assert np.mean([mean_interval(x, draws=400).holds_zero for x, _ in series]) < 0.7


def test_independent_items_hardly_widen_intervals() -> None:
    random = np.random.default_rng(11)
    x, items = random.normal(size=5_000), random.integers(50, size=5_000)
    assert mean_interval(x).half_width <= mean_interval(x, groups=items).half_width < 1.3 * mean_interval(x).half_width
    assert mean_interval(np.ones(100), groups=np.arange(100)) == mean_interval(np.ones(100))


def test_small_and_empty_series() -> None:
    assert np.isnan(mean_interval(np.array([])))[:].all()
    assert mean_interval(np.array([2.0])) == Interval(2.0, 2.0, 2.0)
    assert mean_interval(np.array([])).holds_zero
    for n in range(2, 30):
        assert 1 <= block_length(np.arange(n, dtype=float)) <= n
