"""Known ids: the rows of items by a hash of their ids, so that a kernel finds them in the bytes of a delta.

The same items come in delta after delta. So most of their ids need not become strings. The table fills as ids are met,
and is emptied once an item has lost its row. Two ids of the same hash of 64 bits would be taken for one item. Among a
million items, the chance of such a pair is 3 in 100 million.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recmodels.kernels import delta_reading
from recmodels.storage.id_table import IdTable

FIRST_SIZE: Final = 1 << 12
"""Number of places of an empty table. It is a power of 2, and at most half of the places are taken."""


class KnownIds:
    """Rows of items by the hash of their ids, as `recmodels.kernels.delta_reading.read` takes them.

    Args:
        ids: The table of ids. It decides.

    Attributes:
        hashes: [places] hashes. 0: the place is free.
        rows: [places] the row of each.
    """

    def __init__(self, ids: IdTable) -> None:
        self.ids = ids
        self._empty()

    def _empty(self) -> None:
        self.hashes, self.rows = np.zeros(FIRST_SIZE, np.int64), np.zeros(FIRST_SIZE, np.int32)
        self._taken, self._changes = 0, self.ids.changes

    def follow(self) -> None:
        """Forget all rows if an item has lost its own since the last call."""
        if self._changes != self.ids.changes:
            self._empty()

    def add(self, hashes: NDArray[np.int64], rows: NDArray[np.int32]) -> None:
        """Add the rows of ids. Those with a row of 0 are left out."""
        self._taken += delta_reading.remember(*self._with_room(len(rows)), hashes, rows)

    def _with_room(self, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        size = len(self.hashes)
        while 2 * (self._taken + wanted) > size:
            size *= 2
        if size > len(self.hashes):
            used = np.flatnonzero(self.hashes)
            hashes, rows = self.hashes[used], self.rows[used]
            self.hashes, self.rows = np.zeros(size, np.int64), np.zeros(size, np.int32)
            delta_reading.remember(self.hashes, self.rows, hashes, rows)
        return self.hashes, self.rows
