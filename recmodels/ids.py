"""Ids and their rows: which row of every table belongs to which user or item."""

import heapq
from collections.abc import Iterable

RESERVED = 1
"""Row 0 belongs to nobody. It is always empty: the row of whoever has not been seen."""


class IdTable:
    """Gives each id a row number, from 1, up to a capacity; rows that are released are given out again.

    Args:
        capacity: How many rows there are, the reserved one included.

    Attributes:
        rows: Id to row.
        names: Row to id; None for a row that nobody has.

    >>> users = IdTable(capacity=3)
    >>> users.add("ann"), users.add("bob"), users.row("ann"), users.row("eve"), users.is_full
    (1, 2, 1, 0, True)
    >>> users.release([1])
    >>> users.add("eve"), users.row("ann")
    (1, 0)
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.rows: dict[str, int] = {}
        self.names: list[str | None] = [None] * RESERVED
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_full(self) -> bool:
        """Whether `add` needs a row to be released first."""
        return not self._free and len(self.names) >= self.capacity

    def row(self, name: str) -> int:
        """Return the row of an id, or 0 if it has none."""
        return self.rows.get(name, 0)

    def add(self, name: str) -> int:
        """Give a new id a row.

        Raises:
            OverflowError: There is no row left; release some first.
        """
        if self._free:
            row = heapq.heappop(self._free)
            self.names[row] = name
        elif len(self.names) < self.capacity:
            row = len(self.names)
            self.names.append(name)
        else:
            raise OverflowError(f"expected a free row for {name!r}; all {self.capacity} are taken: release some")
        self.rows[name] = row
        return row

    def release(self, rows: Iterable[int]) -> None:
        """Take rows from their ids. The lowest of them is the first to be given out again."""
        for row in rows:
            name = self.names[row]
            if name is not None:
                del self.rows[name]
                self.names[row] = None
                heapq.heappush(self._free, row)

    def restore(self, names: list[str | None]) -> None:
        """Take over a whole list of names, as `names` was when it was saved."""
        self.names = names
        self.rows = {name: row for row, name in enumerate(names) if name is not None}
        # A heap, so that a restored table gives out the same rows as one that was never saved.
        self._free = [row for row in range(RESERVED, len(names)) if names[row] is None]
