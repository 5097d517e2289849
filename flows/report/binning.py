"""Counts in bins, and how sure a rate is of itself."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Z_95 = 1.959964
"""Standard deviations to either side that hold 95 % of a normal distribution."""


class Rates(NamedTuple):
    """Hit rates of some bins, each array of shape (bins,)."""

    scored: NDArray[np.int64]
    rate: Floats
    low: Floats
    high: Floats


def rates(hits: NDArray[Any], bins: NDArray[np.int64], count: int) -> Rates:
    """Return the hit rate of each bin with its Wilson interval of 95 %.

    With h hits of n and z standard deviations the interval is

        (h + z²/2 ± z * sqrt(h (n - h) / n + z²/4)) / (n + z²)

    which stays within 0 and 1 and is honest for few events, too. Events are taken to be independent of each other; a
    user's are not quite, so read the bands as the least there is to doubt. See Wilson, JASA 22(158), 1927.

    Args:
        hits: (rows,) whether each scored event was a hit.
        bins: (rows,) the bin of each, from 0.
        count: Number of bins. A bin without events has a rate of 0 and an interval from 0 to 1.

    >>> found = rates(np.array([1, 0, 1, 1]), np.array([0, 0, 0, 1]), 3)
    >>> found.scored.tolist(), found.rate.round(2).tolist()
    ([3, 1, 0], [0.67, 1.0, 0.0])
    >>> found.low.round(2).tolist(), found.high.round(2).tolist()
    ([0.21, 0.21, 0.0], [0.94, 1.0, 1.0])
    """
    n = np.bincount(bins, minlength=count)
    h = np.bincount(bins, weights=np.asarray(hits, np.float64), minlength=count)
    some = np.maximum(n, 1)
    centre = h + Z_95**2 / 2
    margin = Z_95 * np.sqrt(h * (n - h) / some + Z_95**2 / 4)
    below, above = (centre - margin) / (n + Z_95**2), (centre + margin) / (n + Z_95**2)
    return Rates(n, h / some, np.clip(below, 0.0, 1.0), np.clip(above, 0.0, 1.0))


def windows(rows: int, most: int, size: int | None = None) -> NDArray[np.int64]:
    """Cut scored events into windows of one after the other, and return the window of each.

    Args:
        rows: Number of rows.
        most: Maximum number of windows, ...
        size: ... or the number of events of each.

    >>> windows(7, most=3).tolist(), windows(7, most=3, size=5).tolist()
    ([0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 0, 1, 1])
    """
    if size is not None:
        return np.arange(rows) // size
    return np.arange(rows) * min(most, rows) // max(rows, 1)


def bin_of(values: NDArray[Any], edges: Sequence[int]) -> NDArray[np.int64]:
    """Return the bin of each value: the last whose edge is no larger. The first edge is 0.

    >>> bin_of(np.array([0, 1, 4, 99]), (0, 1, 3, 10)).tolist()
    [0, 1, 2, 3]
    """
    return np.searchsorted(np.asarray(edges), values, side="right").astype(np.int64) - 1


def names_of(edges: Sequence[int]) -> list[str]:
    """Name the bins between edges.

    >>> names_of((0, 1, 3, 10))
    ['0', '1–2', '3–9', '10+']
    """
    return [*(str(a) if b == a + 1 else f"{a}–{b - 1}" for a, b in pairwise(edges)), f"{edges[-1]}+"]
