"""Levels: decayed counts as logarithms. A count that halves every h events has the level log2(count) + now / h."""

from typing import Final

import numpy as np

from recmodels.kernels.compile import kernel

SMALLEST_LEFT: Final = 2.0**-40
"""Share of a count that is left at least: what a subtraction in double precision still tells from nothing."""


@kernel
def less(level: float, taken: float) -> float:
    """Return log2(2^level - 2^taken), or hardly anything where nothing is left."""
    return level + np.log2(max(1.0 - 2.0 ** min(taken - level, 0.0), SMALLEST_LEFT))
