"""Online ranking metrics, from the position of each event's item in the list made just before, and calibration error,
from predicted probabilities.
"""

from collections.abc import Sequence
from math import log2
from typing import Final, NamedTuple

import numpy as np


class RankingMetrics:
    """Hit rate, NDCG and mean reciprocal rank at k, over all scored events.

    An event has one relevant item. At rank r, from 0 and below k, the values are 1, 1 / log2(r + 2) and 1 / (r + 1).
    Otherwise all are 0. See Järvelin and Kekäläinen, TOIS 20(4), 2002, for NDCG.

    Args:
        k: Length of the list that counts.

    >>> metrics = RankingMetrics(k=10)
    >>> for position in [0, 2, -1, 10]:
    ...     metrics.update(position)
    >>> metrics.hit_rate, metrics.ndcg, round(metrics.mrr, 3)
    (0.5, 0.375, 0.333)
    """

    def __init__(self, k: int = 10) -> None:
        self.k = k
        self.scored = 0
        self._hits = 0
        self._gain = 0.0
        self._reciprocal = 0.0

    def update(self, position: int) -> None:
        """Score one event by the rank of its item, from 0, or -1 if the list did not contain it."""
        self.scored += 1
        if 0 <= position < self.k:
            self._hits += 1
            self._gain += 1.0 / log2(position + 2)
            self._reciprocal += 1.0 / (position + 1)

    @property
    def hit_rate(self) -> float:
        """Share of events whose item was in the list, or 0 without scored events."""
        return self._hits / self.scored if self.scored else 0.0

    @property
    def ndcg(self) -> float:
        """Normalised discounted cumulative gain."""
        return self._gain / self.scored if self.scored else 0.0

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank."""
        return self._reciprocal / self.scored if self.scored else 0.0


BUCKETS: Final = 2_048
"""Number of buckets for probabilities, of equal width in log-odds, ..."""
LARGEST_ODDS: Final = 14.0
"""... from minus this to this: from about 1e-6 to 1 - 1e-6."""
MAX_PENDING: Final = 4_096
"""Number of probabilities that are put into buckets at a time."""
ROUNDING: Final = 1e-6
"""Rounding error of single precision by which a probability may lie outside [0, 1]."""


class ReliabilityBin(NamedTuple):
    """Listed items of about the same score."""

    listed: int
    score: float
    """Their mean score."""
    share: float
    """Share of them that the user chose next."""


class Calibration:
    """Expected calibration error: the mean distance between predicted probabilities and observed frequencies.

    The probabilities are sorted into bins of about equal count. Each probability counts with the distance between its
    bin's mean and the bin's observed frequency. The error is the mean of these distances, 0 for perfect calibration.
    Memory is constant, since the bins are built from buckets with exact sums.

    Source: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015;
    of equal count, as in Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural language
    processing models", EMNLP 2015.

    Args:
        n_bins: Number of bins.

    >>> calibration = Calibration(n_bins=2)
    >>> for chosen in [0, 0, 0, 1, -1]:
    ...     calibration.update([0.6, 0.1], chosen)
    >>> [(each.listed, round(each.score, 3), each.share) for each in calibration.bins()]
    [(5, 0.1, 0.2), (5, 0.6, 0.6)]
    >>> round(calibration.error, 3)
    0.05
    """

    def __init__(self, n_bins: int = 10) -> None:
        self.n_bins = n_bins
        self._counts = np.zeros(BUCKETS, np.int64)
        self._sums = np.zeros(BUCKETS)
        self._true = np.zeros(BUCKETS, np.int64)
        self._waiting: list[float] = []
        self._chosen: list[int] = []  # places in `_waiting`

    def update(self, probabilities: Sequence[float], chosen: int) -> None:
        """Add the probabilities of a list, and the rank of the chosen item, from 0, or -1.

        Raises:
            ValueError: A value is not a probability.
        """
        if 0 <= chosen < len(probabilities):
            self._chosen.append(len(self._waiting) + chosen)
        self._waiting.extend(probabilities)
        if len(self._waiting) >= MAX_PENDING:
            self._sort_in()

    def _sort_in(self) -> None:
        scores = np.array(self._waiting, np.float64)
        within = (scores >= -ROUNDING) & (scores <= 1.0 + ROUNDING)  # False for NaN
        if not within.all():
            raise ValueError(f"expected probabilities from 0 to 1; got {scores[~within][0]}")
        bounded = np.clip(scores, 1e-9, 1.0 - 1e-9)
        odds = np.log(bounded / (1.0 - bounded))
        places = np.clip((odds / LARGEST_ODDS + 1.0) * (BUCKETS / 2), 0, BUCKETS - 1).astype(np.int64)
        self._counts += np.bincount(places, minlength=BUCKETS)
        self._sums += np.bincount(places, scores, minlength=BUCKETS)
        self._true += np.bincount(places[self._chosen], minlength=BUCKETS)
        self._waiting, self._chosen = [], []

    def bins(self) -> list[ReliabilityBin]:
        """Return the bins, the least probable first: none that is empty."""
        self._sort_in()
        total = int(self._counts.sum())
        if not total:
            return []
        middle = np.cumsum(self._counts) - self._counts / 2
        bin_of = np.minimum((middle * self.n_bins / total).astype(np.int64), self.n_bins - 1)
        counts, sums, true = (
            np.bincount(bin_of, values, minlength=self.n_bins).tolist()
            for values in (self._counts, self._sums, self._true)
        )
        return [ReliabilityBin(int(n), s / n, t / n) for n, s, t in zip(counts, sums, true, strict=True) if n]

    @property
    def error(self) -> float:
        """The expected calibration error, or 0 without data."""
        bins = self.bins()
        total = sum(each.listed for each in bins)
        return sum(each.listed * abs(each.score - each.share) for each in bins) / total if total else 0.0
