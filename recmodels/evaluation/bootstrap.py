"""Confidence interval of a mean over a log, by block bootstrap, widened for the correlation of events of one item."""

from math import ceil, log10, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWN_AT_ONCE = 2_000_000
"""Number of blocks drawn at once. It bounds the memory of a bootstrap to about 50 MB."""


class Interval(NamedTuple):
    """A mean with its confidence interval. All are NaN for an empty series."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval's width: the number after ±."""
        return (self.high - self.low) / 2

    @property
    def holds_zero(self) -> bool:
        """Whether the interval contains zero."""
        return not (self.low > 0.0 or self.high < 0.0)


def mean_interval(
    x: NDArray[Any],
    level: float = 0.95,
    draws: int = 2_000,
    seed: int = 0,
    block: int | None = None,
    groups: NDArray[Any] | None = None,
) -> Interval:
    """Return the mean of a series of dependent values, with a percentile interval by the circular block bootstrap.

    A resample has the length of the series. It consists of blocks of consecutive values, drawn with replacement from
    the series closed to a circle. Neighbouring events of one session or one trend are correlated, so a bootstrap of
    single events would give intervals that are too narrow.

    Values of one group, such as those of one item, may be correlated anywhere in the log. So the interval is widened by
    the factor by which the covariances within groups increase the variance of the mean. Near pairs of one group count
    in the blocks, too, so the interval is slightly too wide. If all values are one group, nothing is added.

    Sources: Politis and Romano, "A circular block-resampling procedure for stationary data", in Exploring the Limits of
    Bootstrap, 1992; after the two-way clustering of Cameron, Gelbach and Miller, "Robust inference with multiway
    clustering", Journal of Business & Economic Statistics 29(2), 2011.

    Args:
        x: Values, shape (events,), in the order of the log.
        level: Coverage of the interval.
        draws: Number of resamples.
        seed: Seed of the draws.
        block: Length of the blocks. None: `block_length(x)`.
        groups: Group of each value, such as its item: shape (events,), whole numbers. None: no groups.

    >>> steady = mean_interval(np.tile([0.0, 1.0], 500))
    >>> steady.mean, steady.holds_zero
    (0.5, False)
    >>> mean_interval(np.zeros(1_000))
    Interval(mean=0.0, low=0.0, high=0.0)
    """
    values = np.asarray(x, np.float64)
    n = len(values)
    if n == 0:
        return Interval(np.nan, np.nan, np.nan)
    length = min(block or block_length(values), n)
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[: length - 1]]))])
    means = (sums[length:] - sums[:-length]) / length  # of the block that begins at each value
    blocks = ceil(n / length)
    random = np.random.default_rng(seed)
    at_once = max(1, DRAWN_AT_ONCE // blocks)
    drawn = [
        means[random.integers(n, size=(min(at_once, draws - start), blocks))].mean(axis=1)
        for start in range(0, draws, at_once)
    ]
    resampled, mean = np.concatenate(drawn), float(values.mean())
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    wider = 1.0 if groups is None else _widening(values, groups, float(resampled.var()))
    return Interval(mean, mean - wider * (mean - float(low)), mean + wider * (float(high) - mean))


def _widening(values: NDArray[np.float64], groups: NDArray[Any], variance: float) -> float:
    """Factor by which covariances within groups widen an interval. `variance` is that of the mean without them."""
    if variance == 0.0:
        return 1.0
    centred = values - values.mean()
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], centred)
    within = float(sums @ sums - centred @ centred) / len(values) ** 2
    return sqrt(1.0 + max(within, 0.0) / variance)


def block_length(x: NDArray[Any]) -> int:
    """Choose the block length from the dependence of the series. It is at least the cube root of the series' length.

    The rule of Politis and White, Econometric Reviews 23(1), 2004, as corrected with Patton, 28(4), 2009: with the
    autocovariances γ up to twice the last lag m whose correlation stands out, weighted by the flat-top window
    h(t) = min(1, 2(1 - |t|)), and G = Σ h(k / 2m) |k| γ(k), D = 4/3 (Σ h(k / 2m) γ(k))²,

        length = (2 G² / D · n)^(1/3), at most 3 √n.

    The rule misses dependence that is weak but long. So there is a least length, of the optimal order for any
    dependence that decays.

    Args:
        x: Shape (events,).

    >>> noise = np.random.default_rng(1).normal(size=8_000)
    >>> block_length(noise)
    20
    >>> 40 < block_length(np.convolve(noise, np.ones(30))) < 200
    True
    """
    values: NDArray[np.float64] = np.asarray(x, np.float64) - np.mean(x)
    n = len(values)
    least: int = ceil(round(n ** (1 / 3), 6))
    variance = float(values @ values) / n
    if n < 10 or variance == 0.0:
        return least
    quiet = max(5, ceil(sqrt(log10(n))))
    furthest = min(ceil(sqrt(n)) + quiet, n - 1)
    covariances = np.array([values[lag:] @ values[: n - lag] for lag in range(furthest + 1)]) / n
    last = _last_lag(np.abs(covariances / variance) > 2 * sqrt(log10(n) / n), quiet)
    lags = np.arange(1, min(2 * last, furthest) + 1)
    window = np.minimum(1.0, 2 * (1 - lags / max(2 * last, 1)))
    weighted = window * covariances[lags]
    slope, spectrum = 2 * float(lags @ weighted), variance + 2 * float(weighted.sum())
    if spectrum == 0.0:
        return least
    best: float = (2 * slope**2 / (4 / 3 * spectrum**2) * n) ** (1 / 3)
    return max(least, min(ceil(best), ceil(3 * sqrt(n)), n))


def _last_lag(stands_out: NDArray[np.bool_], quiet: int) -> int:
    """The first lag followed by a run of insignificant lags. Without such a run, the last significant lag."""
    lags = np.flatnonzero(stands_out)  # lag 0 always does
    gaps = np.diff(np.append(lags, len(stands_out) + quiet)) > quiet
    return int(lags[np.argmax(gaps)])
