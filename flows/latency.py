"""How long lists take: a histogram of bounded size whose quantiles are right to 2 %."""

from math import ceil, exp
from typing import Final

import numpy as np
from numpy.typing import NDArray

LOWEST: Final = 1e-6
"""Seconds: whatever is faster counts as this fast."""
PER_E: Final = 50.0
"""Buckets for each factor of e."""
BUCKETS: Final = 1_200


class LatencyHistogram:
    """Counts durations in buckets that grow by 2 % each, from 1 µs to seven hours.

    >>> histogram = LatencyHistogram()
    >>> for milliseconds in range(1, 101):
    ...     histogram.add(milliseconds / 1_000)
    >>> round(histogram.quantile(0.5), 2), round(histogram.quantile(0.99), 2), histogram.highest
    (0.05, 0.1, 0.1)
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BUCKETS, np.int64)
        self.highest = 0.0
        self._pending: list[float] = []

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._pending.append(seconds)
        if len(self._pending) >= 4096:
            self._settle()

    def quantile(self, q: float) -> float:
        """Return the duration in seconds that a share `q` of all stay below; 0 if there are none."""
        self._settle()
        total = int(self.counts.sum())
        if total == 0:
            return 0.0
        bucket = int(np.searchsorted(np.cumsum(self.counts), ceil(q * total)))
        return min(LOWEST * exp((bucket + 0.5) / PER_E), self.highest)

    def _settle(self) -> None:
        if self._pending:
            seconds = np.maximum(np.array(self._pending), LOWEST)
            self.highest = max(self.highest, float(seconds.max()))
            buckets = (np.log(seconds / LOWEST) * PER_E).astype(np.int64)
            np.add.at(self.counts, np.minimum(buckets, BUCKETS - 1), 1)
            self._pending.clear()
