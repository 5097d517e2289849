"""Histogram of durations, of fixed size, with quantiles within 2 %."""

import threading
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

PER_DOUBLING: Final = 36
"""Buckets for each factor of 2: each is 2 % wider than the one before."""
LOWEST: Final = 50e-6 / 2**6
"""Shortest duration in seconds, 0.8 µs. Shorter ones count as this. From 50 µs on each doubling is the edge of a
bucket."""
DOUBLINGS: Final = 36
BUCKETS: Final = PER_DOUBLING * DOUBLINGS
_PENDING: Final = 4_096


class LatencyHistogram:
    """Counts durations in buckets that grow by 2 % each, from 0.8 µs to fifteen hours.

    One thread adds. Another may call `cumulative`.

    >>> histogram = LatencyHistogram()
    >>> for milliseconds in range(1, 101):
    ...     histogram.add(milliseconds / 1_000)
    >>> round(histogram.quantile(0.5), 2), round(histogram.quantile(0.99), 2), histogram.highest
    (0.05, 0.1, 0.1)
    >>> [count for edge, count in histogram.cumulative([0.0032, 0.0128])[0]]
    [3, 12]
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BUCKETS, np.int64)
        self.highest = 0.0
        self.sum = 0.0
        """Sum of the counted durations in seconds."""
        self._pending: list[float] = []
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._pending.append(seconds)
        if len(self._pending) >= _PENDING:
            self._settle()

    def quantile(self, q: float) -> float:
        """Return the `q`-quantile of the durations in seconds, or 0 without durations."""
        self._settle()
        total = int(self.counts.sum())
        if total == 0:
            return 0.0
        bucket = int(np.searchsorted(np.cumsum(self.counts), ceil(q * total)))
        return min(float(LOWEST * 2.0 ** ((bucket + 0.5) / PER_DOUBLING)), self.highest)

    def cumulative(self, edges: list[float]) -> tuple[list[tuple[float, int]], int, float]:
        """Return cumulative counts for a metrics system.

        Args:
            edges: Durations in seconds, each 50 µs doubled some number of times, halved too: others are rounded to
                2 %.

        Returns:
            The number of durations up to each edge, their total number, and their sum in seconds.
        """
        with self._lock:
            counts, sum_, pending = self.counts.copy(), self.sum, np.array(self._pending)
        counts += np.bincount(_buckets(pending), minlength=BUCKETS)
        up_to = np.cumsum(counts)
        last = np.clip(np.rint(np.log2(np.array(edges) / LOWEST) * PER_DOUBLING).astype(int) - 1, 0, BUCKETS - 1)
        return list(zip(edges, up_to[last].tolist(), strict=True)), int(up_to[-1]), sum_ + float(pending.sum())

    def _settle(self) -> None:
        with self._lock:
            if self._pending:
                seconds = np.array(self._pending)
                self.highest = max(self.highest, float(seconds.max()))
                self.sum += float(seconds.sum())
                self.counts += np.bincount(_buckets(seconds), minlength=BUCKETS)
                self._pending.clear()


def _buckets(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bucket of each duration. Its upper edge belongs to a bucket, its lower edge to the one before."""
    places: NDArray[np.int64] = np.ceil(np.log2(np.maximum(seconds, LOWEST) / LOWEST) * PER_DOUBLING).astype(np.int64)
    return np.minimum(np.maximum(places - 1, 0), BUCKETS - 1)
