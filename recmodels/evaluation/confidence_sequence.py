"""Confidence sequence: an interval for a running mean that is valid at every look, however often one looks.

An ordinary interval of 95 % holds at one number of events, fixed before. A reader who looks again and again, and stops
when the interval excludes zero, finds a difference between equal models sooner or later. A confidence sequence covers
the mean at all numbers of events at once, with the same 95 %.

This one is the empirical-Bernstein confidence sequence of Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform,
nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49(2), 2021. The values x are in [a, b], of any
distribution. Let m be any prediction of x from the past, such as the mean so far. Let

    s = Σ (x - E[x | past]),    v = Σ (x - m)²,    c = b - a,    ψ(λ) = (-log(1 - c λ) - c λ) / c².

Then exp(λ s - ψ(λ) v) is a supermartingale for every λ in [0, 1 / c), by their Theorem 4. So is a weighted mean over
several λ, as in their section 3.4. By Ville's inequality it ever exceeds 1 / α with a probability of α at most. The
interval at any time is the set of means for which it does not. It is of the mean of E[x | past]. So values may depend
on each other, and their mean may change.
"""

from collections.abc import Mapping
from math import log
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.evaluation.bootstrap import Interval

RATES: Final = 0.9 * 1.5 ** -np.arange(16.0)
"""The λ of the mixture, for c = 1, from 0.9 down to 0.002. They suit a v of 4 to 2 million. All weigh alike."""
HALVINGS: Final = 50
"""Number of halvings in the search for an end of the interval. The remaining error is below all digits."""


class ConfidenceSequence:
    """The mean of a stream of bounded values, with an interval that is valid at every look.

    Args:
        low, high: Bounds of the values.

    Attributes:
        count: Number of values.
        total: Their sum.
        variation: Sum of the squared differences between each value and the mean before it.

    >>> gains = ConfidenceSequence(-1.0, 1.0)
    >>> for event in range(2_000):
    ...     gains.update(1.0 if event % 10 == 0 else 0.0)
    >>> found = gains.interval()
    >>> found.mean, round(found.low, 3), round(found.high, 3), found.holds_zero
    (0.1, 0.073, 0.127, False)
    """

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        self.low = low
        self.high = high
        self.count = 0
        self.total = 0.0
        self.variation = 0.0

    def update(self, value: float) -> None:
        """Take in one value."""
        expected = self.total / self.count if self.count else (self.low + self.high) / 2
        self.variation += (value - expected) ** 2
        self.total += value
        self.count += 1

    def interval(self, level: float = 0.95) -> Interval:
        """Return the mean and the present interval; the bounds of the values where nothing more is known.

        Args:
            level: Probability with which all intervals, over all time, cover the mean.
        """
        count, total, variation = self.count, self.total, self.variation  # another thread may update them
        if not count:
            return Interval(0.0, self.low, self.high)
        mean = total / count
        half = _largest_deviation(variation, self.high - self.low, (1.0 - level) / 2) / count
        return Interval(mean, max(self.low, mean - half), min(self.high, mean + half))

    def numbers(self) -> dict[str, float]:
        """Return the state as numbers."""
        return {"count": self.count, "total": self.total, "variation": self.variation}

    def take_over(self, numbers: Mapping[str, Any]) -> None:
        """Take over what `numbers` returned."""
        self.count = int(numbers["count"])
        self.total, self.variation = float(numbers["total"]), float(numbers["variation"])


def log_evidence(deviation: NDArray[Any], variation: NDArray[Any], width: float) -> NDArray[np.float64]:
    """Return the logarithm of the mixture of supermartingales against means below the observed one.

    A mean that deviates by `deviation / events` is outside the interval of level 1 - α if this is above log(2 / α).

    Args:
        deviation: s of the module's text, of any shape.
        variation: v, of the same shape.
        width: c.

    >>> log_evidence(np.array([0.0, 300.0]), np.array([1_000.0, 1_000.0]), 1.0).round(1).tolist()
    [-0.8, 34.0]
    """
    rates = RATES / width
    costs = (-np.log1p(-width * rates) - width * rates) / width**2
    exponents = np.asarray(deviation)[..., None] * rates - np.asarray(variation)[..., None] * costs
    highest = exponents.max(axis=-1)
    mixed: NDArray[np.float64] = highest + np.log(np.exp(exponents - highest[..., None]).mean(axis=-1))
    return mixed


def _largest_deviation(variation: float, width: float, alpha: float) -> float:
    """Return the largest s that is no evidence at `alpha`, for one side."""
    least, most = 0.0, width
    bound = log(1.0 / alpha)

    def is_evidence(deviation: float) -> bool:
        return bool(log_evidence(np.array(deviation), np.array(variation), width) >= bound)

    while not is_evidence(most):
        most *= 2.0
    for _ in range(HALVINGS):
        middle = (least + most) / 2
        least, most = (least, middle) if is_evidence(middle) else (middle, most)
    return most
