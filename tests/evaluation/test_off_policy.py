"""Off-policy estimates: the figures of obp, and a planted truth."""

import numpy as np
import pytest

from recmodels.evaluation.off_policy import doubly_robust_rewards, estimate, ips_rewards, snips_rewards

ACTION = np.array([0, 1, 2, 0, 1, 2, 2, 1, 0, 0, 2, 1])
REWARD = np.array([1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1.0])
PROPENSITY = np.array([0.5, 0.25, 0.25, 0.5, 0.2, 0.3, 0.25, 0.25, 0.4, 0.6, 0.5, 0.125])
FIRST_TWO = [
    *((0.307, 0.445), (0.2, 0.046), (0.003, 0.828), (0.26, 0.469), (0.233, 0.278), (0.054, 0.767)),
    *((0.267, 0.676), (0.029, 0.595), (0.688, 0.149), (0.683, 0.304), (0.151, 0.522), (0.605, 0.004)),
]
POLICY = np.array([(a, b, 1.0 - a - b) for a, b in FIRST_TWO])
"""[events, actions] probabilities of the policy."""
EXPECTED = np.array(
    [
        *((0.154, 0.268, 0.88), (0.51, 0.847, 0.64), (0.742, 0.091, 0.541), (0.508, 0.871, 0.361)),
        *((0.598, 0.059, 0.388), (0.323, 0.15, 0.816), (0.379, 0.979, 0.59), (0.605, 0.638, 0.676)),
        *((0.151, 0.44, 0.24), (0.402, 0.097, 0.968), (0.215, 0.672, 0.3), (0.874, 0.662, 0.132)),
    ]
)
"""[events, actions] rewards that a model expects."""
ROWS = np.arange(12)


def test_estimates_are_those_of_obp() -> None:
    """obp 0.4.1: InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting and DoublyRobust."""
    weights = POLICY[ROWS, ACTION] / PROPENSITY
    of_policy = (POLICY * EXPECTED).sum(1)
    assert ips_rewards(REWARD, weights).mean() == pytest.approx(0.36272222222222217, abs=1e-15)
    assert snips_rewards(REWARD, weights).mean() == pytest.approx(0.429553603736965, abs=1e-15)
    robust = doubly_robust_rewards(REWARD, weights, EXPECTED[ROWS, ACTION], of_policy)
    assert robust.mean() == pytest.approx(0.4827585555555556, abs=1e-15)
    together = estimate(REWARD, weights, EXPECTED[ROWS, ACTION], of_policy)
    assert [each.mean for each in together] == pytest.approx([0.362722, 0.429554, 0.482759], abs=1e-6)


@pytest.mark.slow
def test_intervals_hold_the_truth_of_a_planted_policy() -> None:
    """The policy shows items with rates .3, .1, .05 in shares .6, .3, .1: it earns .215. The log shows them evenly."""
    rates, shares = np.array([0.3, 0.1, 0.05]), np.array([0.6, 0.3, 0.1])
    rng = np.random.default_rng(0)
    held = np.zeros(3)
    widths = np.zeros(3)
    for seed in range(40):
        shown = rng.integers(0, 3, 800)
        rewards = (rng.random(800) < rates[shown]).astype(float)
        found = estimate(rewards, 3.0 * shares[shown], rates[shown], np.full(800, 0.215), seed=seed)
        held += [each.low <= 0.215 <= each.high for each in found]
        widths += [each.half_width for each in found]
    assert held.min() >= 34
    assert widths[2] < widths[0], "a right reward model takes variance away"


def test_no_events_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one event"):
        estimate(*[np.zeros(0)] * 4)
