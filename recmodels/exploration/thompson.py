"""Thompson sampling over the items on trial (arms), with the arm that each user was shown.

The posterior of an arm is a Beta distribution over the probability that it is chosen when it is shown. After c choices
in s slots it is Beta(1 + c, b + s - c). The prior's b makes the mean of a new arm equal to the average of all arms so
far.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recmodels.storage.bounded_table import BoundedTable
from recmodels.storage.id_table import RESERVED, IdTable
from recmodels.storage.tables import Table, dump_changes

SHOWN, CHOSEN, ADDED = range(3)
"""Indices of the totals: slots with an outcome, slots that were chosen, and arms added so far."""

MAX_DRAWS = 64
"""Maximum number of draws of arms that the user already had."""


class ThompsonBandit:
    """Items on trial, and the slots without an outcome yet. Both are bounded and part of the state.

    Args:
        most: Maximum number of arms. Beyond it the arm with the lowest posterior mean is dropped, the oldest of
        equals.
        most_slots: Maximum number of slots that wait for an answer. Beyond it the oldest counts as not seen.

    >>> arms = ThompsonBandit(most=2, most_slots=10)
    >>> for item in ("tea", "jam", "pie"):
    ...     arms.add(item)
    >>> arms.show("ann", "pie", turn=1)
    >>> arms.reward("ann", "pie")
    >>> arms.posterior("jam"), arms.posterior("pie"), "tea" in arms
    ((1.0, 1.0), (2.0, 1.0), False)
    """

    def __init__(self, most: int, most_slots: int) -> None:
        self._items = IdTable(most + RESERVED)
        counts: dict[str, Any] = {"added": (np.int64, ()), "shown": (np.int64, ()), "chosen": (np.int64, ())}
        slots: dict[str, Any] = {"arm": (np.int32, ()), "added": (np.int64, ()), "turn": (np.int64, ())}
        self._arms = Table("explore.arms", most + RESERVED, self._items, **counts)
        self._slots = BoundedTable("explore.slots", most_slots, age="turn", share=most_slots, **slots)
        self._totals = np.zeros(3, np.int64)
        self._mark_used()

    def __contains__(self, item: str) -> bool:
        return item in self._items.rows

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: str) -> None:
        """Put an item on trial, unless it is."""
        if item in self:
            return
        if self._items.is_full:
            rows = np.array(self._items.taken())
            a, b = self._posterior(rows)
            worst = rows[np.lexsort((self._arms.arrays["added"][rows], a / (a + b)))[:1]]
            self._arms.empty(worst)
            self._items.release(worst.tolist())
        self._totals[ADDED] += 1
        row = self._items.add(item)
        self._arms.arrays["added"][row] = self._totals[ADDED]
        self._arms.dirty[row] = 1
        self._mark_used()

    def draw(self, rng: np.random.Generator, is_eligible: Callable[[str], bool]) -> str | None:
        """Draw a chance for every arm from its posterior, and return the eligible arm with the highest draw.

        Returns:
            An item, or None if none of the first `MAX_DRAWS` is eligible.
        """
        rows = np.flatnonzero(self._arms.arrays["added"][: self._arms.used])
        drawn = rng.beta(*self._posterior(rows))
        for _ in range(
            min(len(rows), MAX_DRAWS)
        ):  # mostly one of the first is eligible: sorting them all would cost more
            best = int(drawn.argmax())
            item = self._items.names[int(rows[best])]
            if item is not None and is_eligible(item):
                return item
            drawn[best] = -1.0
        return None

    @property
    def totals(self) -> tuple[int, int]:
        """Number of slots with an outcome, and of those that were chosen."""
        return int(self._totals[SHOWN]), int(self._totals[CHOSEN])

    def outcomes(self, item: str) -> tuple[int, int]:
        """Return for an arm the number of slots with an outcome, and of those that were chosen."""
        row = self._items.rows[item]
        return int(self._arms.arrays["shown"][row]), int(self._arms.arrays["chosen"][row])

    def row_of(self, item: str) -> int:
        """Return the row of an arm. Another arm may have it after this one is dropped."""
        return self._items.rows[item]

    def number_of(self, item: str) -> int:
        """Return the number of an arm, in the order of their additions. No other arm ever has it."""
        return int(self._arms.arrays["added"][self._items.rows[item]])

    def item_in(self, row: int) -> str | None:
        """Return the arm of a row. None: the row is free."""
        return self._items.names[row]

    def count(self, item: str, was_chosen: bool) -> None:
        """Count the outcome of a slot of an arm."""
        row = self._items.rows[item]
        self._arms.arrays["shown"][row] += 1
        self._arms.arrays["chosen"][row] += was_chosen
        self._arms.dirty[row] = 1
        self._totals[SHOWN] += 1
        self._totals[CHOSEN] += was_chosen

    def show(self, user: str, item: str, turn: int) -> None:
        """Record that an arm is in the user's list. `turn` orders slots by age.

        Args:
            user: Id of the user.
            item: The arm.
            turn: Number that orders slots by age, such as that of the event.
        """
        row = self._slots.row(user) or self._slots.add(user)
        arm, slots = self._items.row(item), self._slots.arrays
        slots["arm"][row], slots["turn"][row] = arm, turn
        slots["added"][row] = self._arms.arrays["added"][arm]  # the arm's row may be another's when the answer comes
        self._slots.dirty[row] = 1
        self._mark_used()

    def reward(self, user: str, item: str | None) -> None:
        """Use the user's next interaction as the outcome of the slot in the user's list, if there is one.

        Args:
            user: Id of the user.
            item: The item that the user chose. None: the slot is dropped without an outcome.
        """
        row = self._slots.row(user)
        if row == 0:
            return
        arm = int(self._slots.arrays["arm"][row])
        if item is not None and self._slots.arrays["added"][row] == self._arms.arrays["added"][arm]:
            self.count(str(self._items.names[arm]), self._items.names[arm] == item)
        self._slots.forget([row])

    def posterior(self, item: str) -> tuple[float, float]:
        """Return the two parameters of the Beta distribution of an arm."""
        a, b = self._posterior(np.array([self._items.rows[item]]))
        return float(a[0]), float(b[0])

    def mark_changed(self) -> None:
        """Have the next `dump_changes` return everything."""
        for table in (self._arms, self._slots):
            table.dirty[: table.used] = 1

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that have changed since the last time, with their values."""
        return dump_changes([self._arms, self._slots]) | {"explore.totals": self._totals.copy()}

    def copy_rows(self) -> dict[str, NDArray[Any]]:
        """Return all rows, and leave the marks of what has changed."""
        record = {"explore.totals": self._totals.copy()}
        for table in (self._arms, self._slots):
            record |= table.dump_rows(np.arange(table.used))
        return record

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind, if the record contains it.

        Raises:
            ValueError: It is of more arms or slots than there can be here.
        """
        if "explore.totals" not in record:
            return
        for table in (self._arms, self._slots):
            table.expect_fit(record)
        self._totals[:] = record["explore.totals"]
        for table in (self._arms, self._slots):
            table.load_rows(record)
        self._mark_used()

    def _posterior(self, rows: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        shown, chosen = self._arms.arrays["shown"][rows], self._arms.arrays["chosen"][rows]
        per_choice = max(1.0, float(self._totals[SHOWN]) / (1.0 + float(self._totals[CHOSEN])))
        return 1.0 + chosen, per_choice + shown - chosen

    def _mark_used(self) -> None:
        self._arms.used, self._slots.used = len(self._items.names), len(self._slots.ids.names)
