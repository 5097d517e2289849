"""State as tables of arrays: what a kernel reads and writes, and what the store keeps."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Table:
    """Arrays that share their first axis: one row per user, item or the like.

    The whole capacity is reserved at once and costs no memory until a row is touched, so that nothing is ever
    copied to grow. A row of zeros is an empty row: in every table that is a valid state.

    Args:
        name: Names the table in the store.
        capacity: How many rows there can be.
        columns: For each array its type and the shape of one row.

    Attributes:
        arrays: The arrays, by name.
        dirty: One mark per row: 1 if it has changed since the last snapshot.
        used: How many rows, from the first, may hold something.

    >>> table = Table("users", 1_000_000, recent=(np.int32, (20,)), last_time=(np.float64, ()))
    >>> table.arrays["recent"].shape, table.used
    ((1000000, 20), 0)
    """

    def __init__(self, name: str, capacity: int, **columns: tuple[DTypeLike, tuple[int, ...]]) -> None:
        self.name = name
        self.capacity = capacity
        self.arrays: dict[str, NDArray[Any]] = {
            column: np.zeros((capacity, *shape), dtype) for column, (dtype, shape) in columns.items()
        }
        self.dirty: NDArray[np.uint8] = np.zeros(capacity, np.uint8)
        self.used = 0

    def changed_rows(self) -> NDArray[np.int64]:
        """Return the numbers of the rows that have changed since `dirty` was cleared, in order."""
        return np.flatnonzero(self.dirty[: self.used])

    def empty(self, rows: NDArray[np.int64]) -> None:
        """Make rows empty."""
        for array in self.arrays.values():
            array[rows] = 0
        self.dirty[rows] = 1

    def write(self, rows: NDArray[np.int64], values: Mapping[str, NDArray[Any]]) -> None:
        """Set whole rows. `values` holds, for each array, the rows' values in the order of `rows`."""
        for column, array in self.arrays.items():
            array[rows] = values[column]
        if len(rows):
            self.used = max(self.used, int(rows.max()) + 1)
