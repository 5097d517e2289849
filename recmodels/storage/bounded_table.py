"""Table of bounded size with an id for each row. When it is full, its oldest rows are evicted."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from recmodels.storage.id_table import RESERVED, IdTable
from recmodels.storage.tables import Table

EVICTION_DIVISOR: Final = 64
"""A full table evicts one row in this number at a time, so that not every new id needs a search."""


def oldest(ids: IdTable, age: NDArray[np.number], share: int = EVICTION_DIVISOR) -> list[int]:
    """Return the rows with the lowest age numbers. Ties go to the first rows.

    Args:
        ids: Which rows are taken.
        age: [rows] a number for each row, such as that of its last event.
        share: One row in this number is returned, but at least one.

    >>> ids = IdTable(capacity=5)
    >>> rows = [ids.add(name) for name in ("ann", "bob", "cat", "eve")]
    >>> oldest(ids, np.array([0, 7, 3, 9, 3]), share=2)
    [2, 4]
    """
    rows = np.array(ids.taken(), np.int64)
    count = max(1, len(rows) // share)
    ages = age[rows]
    bound = np.partition(ages, count - 1)[count - 1]
    below = rows[ages < bound]
    return sorted(np.concatenate([below, rows[ages == bound][: count - len(below)]]).tolist())


class BoundedTable(Table):
    """A table whose rows belong to ids, and which evicts its oldest rows when it is full.

    Args:
        name: Names the table in the store.
        most: Number of ids that it can hold.
        age: Column with the age of a row: the lowest number is evicted first.
        share: One row in this number is evicted at a time.
        columns: For each array its type and the shape of one row.

    >>> table = BoundedTable("users", 2, age="seen", seen=(np.float64, ()))
    >>> for time, name in enumerate(["ann", "bob", "eve"], start=1):
    ...     row = table.add(name)
    ...     table.arrays["seen"][row] = time
    >>> table.row("ann"), table.row("bob"), table.row("eve")
    (0, 2, 1)
    """

    ids: IdTable

    def __init__(
        self,
        name: str,
        most: int,
        age: str,
        share: int = EVICTION_DIVISOR,
        **columns: tuple[DTypeLike, tuple[int, ...]],
    ) -> None:
        super().__init__(name, most + RESERVED, IdTable(most + RESERVED), None, **columns)
        self.age = age
        self.share = share
        self.used = RESERVED

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, name: str) -> int:
        """Return the row of an id, or 0 if it has none."""
        return self.ids.row(name)

    def add(self, name: str) -> int:
        """Give a new id a row. It is marked as changed."""
        if self.ids.is_full:
            self.forget(oldest(self.ids, self.arrays[self.age], self.share))
        row = self.ids.add(name)
        self.used = len(self.ids.names)
        self.dirty[row] = 1
        return row

    def forget(self, rows: Sequence[int]) -> None:
        """Empty rows, and release their ids."""
        self.empty(np.asarray(rows, np.int64))
        self.ids.release(rows)
