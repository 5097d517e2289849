"""Clips rewards to [-10, 10] and maps NaN to 0."""

from math import isfinite
from typing import Final

LARGEST_REWARD: Final = 10.0
"""Largest absolute reward. One event counts at most as much as this number of ordinary ones."""
SMALLEST_REWARD: Final = 1e-6
"""One that speaks for the item counts for no less than this: single precision still adds and divides it."""


def bounded(y: float) -> float:
    """Clip a reward to [-`LARGEST_REWARD`, `LARGEST_REWARD`]; NaN becomes 0, which teaches nothing.

    >>> bounded(1.0), bounded(1e9), bounded(1e-300), bounded(-3e38), bounded(float("nan")), bounded(float("inf"))
    (1.0, 10.0, 1e-06, -10.0, 0.0, 0.0)
    """
    if not isfinite(y):
        return 0.0
    return max(min(float(y), LARGEST_REWARD), SMALLEST_REWARD if y > 0 else -LARGEST_REWARD)
