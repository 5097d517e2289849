"""Ranking metrics for test-then-learn: fed with where each event's item stood in the list asked for just before."""

from math import log2


class RankingMetrics:
    """Hit rate, NDCG and mean reciprocal rank at k, over all that was scored so far.

    An event has one relevant item, so with its position r from 0 below k, a hit counts 1, NDCG 1 / log2(r + 2) and the
    reciprocal rank 1 / (r + 1); otherwise all are 0. See Järvelin and Kekäläinen, TOIS 20(4), 2002, for NDCG.

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
        """Score one event: where its item stood, from 0; -1 if it was not in the list."""
        self.scored += 1
        if 0 <= position < self.k:
            self._hits += 1
            self._gain += 1.0 / log2(position + 2)
            self._reciprocal += 1.0 / (position + 1)

    @property
    def hit_rate(self) -> float:
        """Share of events whose item was in the list; 0 if none was scored."""
        return self._hits / self.scored if self.scored else 0.0

    @property
    def ndcg(self) -> float:
        """Normalised discounted cumulative gain."""
        return self._gain / self.scored if self.scored else 0.0

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank."""
        return self._reciprocal / self.scored if self.scored else 0.0
