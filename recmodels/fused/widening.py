"""Factors of state that has fewer of them: version 0.1.0 had 32.

The further out-factors of an item begin as those of a new item. Those of histories and users begin at 0. So scores are
what they were until something is learned.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.kernels.members.factorization import ITEM_MULTIPLIER, SPREAD
from recmodels.kernels.splitmix import GOLDEN_GAMMA, mix

EARLIER: Final = 32
"""Number of factors of version 0.1.0."""
FACTORS: Final = ("item_factors.out", "item_factors.history", "user_factors.own")
"""Names in the store."""


def widened(record: Mapping[str, NDArray[Any]], n_factors: int, seed: int) -> Mapping[str, NDArray[Any]]:
    """Return a record whose factors have the present number, if it has those of version 0.1.0.

    Args:
        record: A dump of any kind.
        n_factors: Number of factors of the model. With fewer than `EARLIER` the record is returned as it is.
        seed: The seed of the model.
    """
    changed = {}
    for name in FACTORS:
        saved = record.get(name)
        if saved is None or saved.shape[1] != EARLIER or n_factors <= EARLIER:
            continue
        wide = np.zeros((len(saved), n_factors), np.float32)
        wide[:, :EARLIER] = saved
        if name == FACTORS[0]:
            drawn = first_factors(seed, _rows(record, "item_factors"), EARLIER, n_factors)
            wide[:, EARLIER:] = np.where(saved.any(axis=1, keepdims=True), drawn, 0.0)  # an empty row stays empty
        changed[name] = wide
    return {**record, **changed} if changed else record


def first_factors(seed: int, rows: NDArray[np.int64], start: int, stop: int) -> NDArray[np.float32]:
    """Return the out-factors from `start` to `stop` - 1 that new items in these rows [n] get.

    >>> first_factors(0, np.array([1]), 0, 3).astype(float).round(3).tolist()
    [[-0.065, -0.008, 0.005]]
    """
    with np.errstate(over="ignore"):
        first = np.uint64(seed) * GOLDEN_GAMMA + rows.astype(np.uint64) * ITEM_MULTIPLIER
        words = first[:, None] + np.arange(start + 1, stop + 1).astype(np.uint64)[None] * GOLDEN_GAMMA
        unit = (mix(words) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    factors: NDArray[np.float32] = SPREAD * (np.float32(2.0) * unit - np.float32(1.0))
    return factors


def _rows(record: Mapping[str, NDArray[Any]], table: str) -> NDArray[np.int64]:
    """Return the numbers of the rows that a record has of a table."""
    span = record.get(f"{table}.span")
    return np.asarray(record[f"{table}.rows"] if span is None else np.arange(*span.tolist()), np.int64)
