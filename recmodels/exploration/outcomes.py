"""Outcomes of slots: an item on trial was shown and taken, or shown and not taken within a window."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.exploration.thompson import ThompsonBandit
from recmodels.storage.bounded_table import BoundedTable
from recmodels.storage.tables import dump_changes

BETWEEN: Final = "\t"
"""Stands between the number of an arm's row and the user."""


class Outcomes:
    """Joins slots to what was shown and taken, and tells the bandit. It is bounded and part of the state.

    A slot counts as *taken* if its user interacts with its item within the window. It counts as *not taken* if an
    impression says that the item was shown, and the window ends. A slot without either has no outcome: nobody knows
    whether the user saw it.

    Args:
        bandit: Counts outcomes.
        window: Seconds of event time after the list in which outcomes count.
        most: Maximum number of slots that wait. Beyond it the oldest ends without an outcome.

    >>> bandit = ThompsonBandit(most=3, most_slots=1)
    >>> for item in ("tea", "jam", "pie"):
    ...     bandit.add(item)
    >>> outcomes = Outcomes(bandit, window=60.0, most=10)
    >>> for item in ("tea", "jam", "pie"):
    ...     outcomes.begin("ann", item, time=0.0)
    >>> outcomes.see("ann", "tea", 5.0), outcomes.see("ann", "jam", 5.0), outcomes.take("ann", "jam", 9.0)
    (True, True, True)
    >>> outcomes.end_before(100.0)
    >>> bandit.outcomes("tea"), bandit.outcomes("jam"), bandit.outcomes("pie"), bandit.totals
    ((1, 0), (1, 1), (0, 0), (2, 1))
    """

    def __init__(self, bandit: ThompsonBandit, window: float, most: int) -> None:
        self.bandit = bandit
        self.window = window
        columns: dict[str, Any] = {
            "turn": (np.int64, ()),  # order of the slots
            "time": (np.float64, ()),  # of the list, in Unix seconds
            "added": (np.int64, ()),  # number of the arm, since another arm may get its row
            "seen": (np.uint8, ()),
        }
        self._slots = BoundedTable("explore.shown", most, "turn", **columns)
        self._turn = 0
        self._waiting: dict[str, None] = {}
        """Names of the slots, the oldest first."""

    def begin(self, user: str, item: str, time: float) -> None:
        """Note a list with a slot. A slot of this item that the user has seen goes on instead.

        Args:
            user: Id of the user.
            item: The arm.
            time: Time of the list in Unix seconds.
        """
        name = self._name(user, item)
        if row := self._slots.row(name):
            is_same = self._slots.arrays["added"][row] == self.bandit.number_of(item)
            if is_same and self._slots.arrays["seen"][row]:
                return
            self._forget(name, row)
        row = self._slots.add(name)
        self._turn += 1
        slots = self._slots.arrays
        slots["turn"][row], slots["time"][row], slots["seen"][row] = self._turn, time, 0
        slots["added"][row] = self.bandit.number_of(item)
        self._waiting[name] = None

    def see(self, user: str, item: str, time: float) -> bool:
        """Note an impression. Return whether a slot waited for it."""
        row = self._row(user, item, time)
        if row:
            self._slots.arrays["seen"][row] = 1
            self._slots.dirty[row] = 1
        return bool(row)

    def take(self, user: str, item: str, time: float) -> bool:
        """Count a slot as taken. Return whether one waited for it."""
        row = self._row(user, item, time)
        if row:
            self.bandit.count(item, was_chosen=True)
            self._forget(self._name(user, item), row)
        return bool(row)

    def end_before(self, now: float) -> None:
        """End the slots whose window is over.

        Args:
            now: Newest time of any event, in Unix seconds.
        """
        while self._waiting:
            name = next(iter(self._waiting))
            row = self._slots.row(name)
            if row and self._slots.arrays["time"][row] + self.window >= now:
                return
            if row:
                self._end(name, row)
            else:
                del self._waiting[name]  # evicted by newer ones

    def forget(self, user: str) -> None:
        """Forget the slots of a user, without an outcome."""
        for name in [name for name in self._waiting if name.partition(BETWEEN)[2] == user]:
            if row := self._slots.row(name):
                self._forget(name, row)

    def mark_changed(self) -> None:
        """Have the next `dump_changes` return everything."""
        self._slots.dirty[: self._slots.used] = 1

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that have changed since the last time."""
        return dump_changes([self._slots])

    def copy_rows(self) -> dict[str, NDArray[Any]]:
        """Return all rows, and leave the marks of what has changed."""
        return self._slots.dump_rows(np.arange(self._slots.used))

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind. Slots wait in the order in which they began."""
        self._slots.load_rows(record)
        rows = np.array(self._slots.ids.taken(), np.int64)
        turns = self._slots.arrays["turn"][rows]
        self._turn = int(turns.max(initial=0))
        self._waiting = {str(self._slots.ids.names[row]): None for row in rows[np.argsort(turns)].tolist()}

    def _name(self, user: str, item: str) -> str:
        return f"{self.bandit.row_of(item)}{BETWEEN}{user}"

    def _row(self, user: str, item: str, time: float) -> int:
        """Return the row of a slot that an outcome at this time belongs to, or 0."""
        if item not in self.bandit:
            return 0
        row = self._slots.row(self._name(user, item))
        if not row or self._slots.arrays["added"][row] != self.bandit.number_of(item):
            return 0
        began = float(self._slots.arrays["time"][row])
        return row if began <= time <= began + self.window else 0

    def _end(self, name: str, row: int) -> None:
        """End a slot. It was not taken if its user has seen it; else nobody knows."""
        item = self.bandit.item_in(int(name.partition(BETWEEN)[0]))
        is_same = item is not None and self.bandit.number_of(item) == self._slots.arrays["added"][row]
        if item is not None and is_same and self._slots.arrays["seen"][row]:
            self.bandit.count(item, was_chosen=False)
        self._forget(name, row)

    def _forget(self, name: str, row: int) -> None:
        del self._waiting[name]
        self._slots.forget([row])
