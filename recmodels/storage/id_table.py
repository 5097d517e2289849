"""Rows of ids: assigns a row number to each user, item or tag."""

import heapq
from collections.abc import Iterable

RESERVED = 1
"""Number of reserved rows. Row 0 has no id and is always empty: it is the row of unknown ids."""


class IdTable:
    """Gives each id a row number, from 1, up to a capacity. Released rows are used again.

    Args:
        capacity: Number of rows, including the reserved one.

    Attributes:
        rows: Id to row.
        names: Row to id; None for an unused row.
        changes: Number of times that rows were taken from ids. While it stays, the row of an id stays, too.

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
        self.changes = 0
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_full(self) -> bool:
        """Whether `add` needs a row to be released first."""
        return len(self.rows) + RESERVED >= self.capacity

    def taken(self) -> list[int]:
        """Return the rows in use, in order."""
        return sorted(self.rows.values())

    def row(self, name: str) -> int:
        """Return the row of an id, or 0 if it has none."""
        return self.rows.get(name, 0)

    def add(self, name: str) -> int:
        """Give a new id a row.

        Raises:
            OverflowError: No row is left. Release some first.
        """
        if len(self.rows) + RESERVED < len(self.names):
            row = heapq.heappop(self._free)
            while self.names[row] is not None:  # `assign` has given it to an id
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
        """Take rows from their ids. The lowest of them is used again first."""
        self.changes += 1
        for row in rows:
            name = self.names[row]
            if name is not None:
                del self.rows[name]
                self.names[row] = None
                heapq.heappush(self._free, row)

    def assign(self, row: int, name: str | None) -> None:
        """Set the id of a row, as it was saved. None: the row is unused.

        A restored table gives out the same rows as one that was never saved: always the lowest.

        Raises:
            OverflowError: The table has no such row.
        """
        if row >= self.capacity:
            raise OverflowError(f"expected a row below {self.capacity}, got {row}: the table was larger when saved")
        self.changes += 1
        while len(self.names) <= row:
            heapq.heappush(self._free, len(self.names))
            self.names.append(None)
        before = self.names[row]
        if before is not None and self.rows.get(before) == row:
            del self.rows[before]
        self.names[row] = name
        if name is not None:
            self.rows[name] = row
        elif before is not None:
            heapq.heappush(self._free, row)
