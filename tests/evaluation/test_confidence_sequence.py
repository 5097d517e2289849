"""Always-valid intervals: they hold however often one looks, and find a difference soon enough."""

from math import log

import numpy as np
import pytest
from numpy.typing import NDArray

from recmodels.evaluation.confidence_sequence import ConfidenceSequence, log_evidence

EVENTS, LOOKS, STREAMS = 60_000, 1_000, 200
LOOKED = np.linspace(EVENTS / LOOKS, EVENTS, LOOKS).astype(int) - 1
HIT_RATE = 0.2138
"""Of blend on ml-100k, by `freshrank replay ml-100k/events.csv.gz --repeats exclude`."""


def looks(values: NDArray[np.float64], mean: NDArray[np.float64] | float) -> NDArray[np.bool_]:
    """Say of each look whether the interval of 95 % leaves the true running mean out."""
    total, count = np.cumsum(values), np.arange(1, len(values) + 1)
    before = np.concatenate([[0.0], total[:-1] / count[:-1]])
    variation = np.cumsum((values - before) ** 2)
    deviation = np.abs(total - np.cumsum(np.broadcast_to(mean, values.shape)))
    return log_evidence(deviation[LOOKED], variation[LOOKED], 2.0) >= log(2 / 0.05)


def differences(random: np.random.Generator, gain: NDArray[np.float64] | float, disagree: float) -> NDArray[np.float64]:
    """Return 1, 0 and -1 with a mean of `gain`, where the two models disagree on a share of the events."""
    drawn = random.random(EVENTS)
    wins, losses = (disagree + gain) / 2, (disagree - gain) / 2
    return (drawn < wins).astype(float) - ((drawn >= wins) & (drawn < wins + losses))


@pytest.mark.parametrize("disagree", [0.02, 0.1, 0.4])
def test_equal_models_are_told_apart_in_at_most_five_of_a_hundred_streams(disagree: float) -> None:
    random = np.random.default_rng(1)
    ever = [looks(differences(random, 0.0, disagree), 0.0).any() for _ in range(STREAMS)]
    assert np.mean(ever) <= 0.05


def test_an_ordinary_interval_fails_when_one_looks_a_thousand_times() -> None:
    random = np.random.default_rng(1)
    total = np.cumsum([differences(random, 0.0, 0.1) for _ in range(STREAMS)], axis=1)[:, LOOKED]
    ordinary = np.abs(total) > 1.96 * np.sqrt(0.1 * (LOOKED + 1))
    assert ordinary.any(axis=1).mean() > 0.3


def test_interval_covers_a_mean_that_changes() -> None:
    random = np.random.default_rng(2)
    gain = 0.05 * np.sin(np.arange(EVENTS) / 5_000)
    ever = [looks(differences(random, gain, 0.1), gain).any() for _ in range(STREAMS)]
    assert np.mean(ever) <= 0.05


@pytest.mark.parametrize("disagree", [0.05, 0.1, 0.15])
def test_a_challenger_five_percent_better_is_found_within_60_000_events(disagree: float) -> None:
    random = np.random.default_rng(3)
    found = [looks(differences(random, 0.05 * HIT_RATE, disagree), 0.0).any() for _ in range(STREAMS)]
    assert np.mean(found) >= 0.95


@pytest.mark.parametrize("gain", [0.0, 0.03, -0.03])
def test_interval_excludes_zero_where_the_evidence_says_so(gain: float) -> None:
    sequence, random = ConfidenceSequence(-1.0, 1.0), np.random.default_rng(4)
    for value in differences(random, gain, 0.2)[:5_000]:
        sequence.update(float(value))
        if sequence.count % 500 == 0:
            found = sequence.interval()
            evidence = log_evidence(np.array(abs(sequence.total)), np.array(sequence.variation), 2.0)
            assert found.low <= found.mean <= found.high
            assert found.holds_zero == bool(evidence < log(2 / 0.05))
    assert sequence.interval(0.99).low < sequence.interval(0.9).low


def test_an_interval_without_values_is_everything() -> None:
    assert ConfidenceSequence(0.0, 1.0).interval() == (0.0, 0.0, 1.0)
