"""Off-policy estimates: what a policy would have earned, from a log that another policy wrote.

A log with propensities says with which probability each shown item was chosen. An item that the new policy shows w
times as often as the old one counts w times. The estimates are per shown item, such as clicks per impression.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmodels.evaluation.bootstrap import Interval

DRAWS = 2_000
"""Number of resamples of an interval."""


class Estimates(NamedTuple):
    """Estimates of a policy's reward per shown item, each with a 95 % interval."""

    ips: Interval
    snips: Interval
    doubly_robust: Interval


def ips_rewards(rewards: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the reward of each event times its weight. Their mean is the estimate by inverse propensities.

    It has no bias if the logged propensities are right, and a large variance if weights are large.

    Args:
        rewards: [events] reward of the shown item.
        weights: [events] probability that the new policy shows this item, divided by the logged propensity.

    Source: Horvitz and Thompson, A Generalization of Sampling Without Replacement, JASA 1952.

    >>> float(ips_rewards(np.array([1.0, 0.0, 1.0]), np.array([0.5, 2.0, 1.0])).mean())
    0.5
    """
    weighted: NDArray[np.float64] = rewards * weights
    return weighted


def snips_rewards(rewards: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weighted rewards, divided by the mean weight. Their mean is the self-normalised estimate.

    Source: Swaminathan and Joachims, The Self-Normalized Estimator for Counterfactual Learning, NIPS 2015.

    >>> float(snips_rewards(np.array([1.0, 0.0, 1.0]), np.array([0.5, 2.0, 1.5])).mean())
    0.5
    """
    mean = float(weights.mean()) if len(weights) else 0.0
    normalised: NDArray[np.float64] = rewards * weights / (mean or 1.0)
    return normalised


def doubly_robust_rewards(
    rewards: NDArray[np.float64],
    weights: NDArray[np.float64],
    expected: NDArray[np.float64],
    expected_of_policy: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return what a reward model expects of the policy, corrected by the weighted errors of that model.

    The mean has no bias if the propensities are right or the reward model is.

    Args:
        rewards: [events] reward of the shown item.
        weights: [events] as in `ips_rewards`.
        expected: [events] reward that the model expects of the shown item.
        expected_of_policy: [events] reward that it expects of the policy: its mean over the policy's items.

    Source: Dudík, Langford and Li, Doubly Robust Policy Evaluation and Learning, ICML 2011.

    >>> right = np.array([0.5, 0.5])
    >>> doubly_robust_rewards(np.array([1.0, 0.0]), np.array([2.0, 1.0]), right, right).tolist()
    [1.5, 0.0]
    """
    robust: NDArray[np.float64] = expected_of_policy + weights * (rewards - expected)
    return robust


def estimate(
    rewards: NDArray[np.float64],
    weights: NDArray[np.float64],
    expected: NDArray[np.float64],
    expected_of_policy: NDArray[np.float64],
    seed: int = 0,
) -> Estimates:
    """Estimate a policy in three ways. The intervals are percentiles of a bootstrap of events.

    Args:
        rewards: [events] as in `doubly_robust_rewards`, and so are the others.
        weights: [events]
        expected: [events]
        expected_of_policy: [events]
        seed: Seed of the draws.

    Raises:
        ValueError: There are no events.

    >>> rewards, ones = np.array([1.0, 0.0, 0.0, 1.0]), np.ones(4)
    >>> found = estimate(rewards, ones, 0.5 * ones, 0.5 * ones)
    >>> found.ips.mean, found.snips.mean, found.doubly_robust.mean
    (0.5, 0.5, 0.5)
    """
    if not len(rewards):
        raise ValueError("expected at least one event to estimate a policy; got none")
    weighted = ips_rewards(rewards, weights)
    robust = doubly_robust_rewards(rewards, weights, expected, expected_of_policy)
    rng = np.random.default_rng(seed)
    drawn = np.empty((DRAWS, 3))
    for draw in range(DRAWS):
        times = rng.multinomial(len(rewards), np.full(len(rewards), 1.0 / len(rewards)))
        total = float(times @ weights)
        drawn[draw] = times @ weighted / len(rewards), times @ weighted / (total or 1.0), times @ robust / len(rewards)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    means = weighted.mean(), snips_rewards(rewards, weights).mean(), robust.mean()
    return Estimates(*(Interval(float(m), float(a), float(b)) for m, a, b in zip(means, low, high, strict=True)))
