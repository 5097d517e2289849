"""Online inputs of a deep model: histories and recent counts. Everything but the weights."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.deep.histories import Histories
from recmodels.storage.bounded_table import BoundedTable, oldest
from recmodels.storage.id_table import RESERVED, IdTable
from recmodels.storage.tables import Table

SPANS: Final = (200, 2_000)
"""Numbers of last events over which an item's count is taken."""
EVENTS, TRAINED = range(2)
"""Counters: events learned, and how many of them there were when the weights were last trained."""


class Live:
    """Users, items and histories, in bounded memory.

    Args:
        max_users: Bound on users. Beyond it the least recently used are dropped.
        max_items: Bound on items, as for users.
        max_history: Bound on the events of one user.

    Attributes:
        users, items: Rows of the ids.
        since: [U] Number of the event at which each user's row was assigned.
        first_seen: [I] Number of the first positive event of each item's row, or 0.
        hidden: [I] 1 if the item may not be recommended.
        unavailable: Items that may not be recommended, and whose row was given up.
        histories: Events of each user.
        taken: [S, I] Count of each item in the last `SPANS` events.
    """

    def __init__(self, max_users: int, max_items: int, max_history: int) -> None:
        n_users, n_items = max_users + RESERVED, max_items + RESERVED
        self.users, self.items = IdTable(n_users), IdTable(n_items)
        self.histories = Histories(max_history)
        number = (np.int64, ())
        self._user_table = Table("users", n_users, self.users, since=number)
        self._item_table = Table(
            "items", n_items, self.items, first_seen=number, last_used=number, hidden=(np.uint8, ())
        )
        self.unavailable = BoundedTable("unavailable", max_items, age="number", number=number)
        self._tables: tuple[Table, ...] = (self._user_table, self._item_table, self.unavailable)
        self.since = self._user_table.arrays["since"]
        self.first_seen = self._item_table.arrays["first_seen"]
        self.last_used = self._item_table.arrays["last_used"]
        self.hidden = self._item_table.arrays["hidden"]
        self.counters = np.zeros(2, np.int64)
        self.latest = np.zeros(max(SPANS), np.int32)  # items of the last events, by number of the event
        self.taken = np.zeros((len(SPANS), n_items), np.int32)

    @property
    def events(self) -> int:
        """Number of learned events."""
        return int(self.counters[EVENTS])

    @property
    def rows(self) -> int:
        """Number of used rows of items, with the reserved one."""
        return len(self.items.names)

    @property
    def old_items(self) -> NDArray[np.int64]:
        """Rows of the items that were there when the weights were last trained, the reserved row first."""
        return _old(self.first_seen[: self.rows], self.counters[TRAINED])

    @property
    def old_users(self) -> NDArray[np.int64]:
        """Rows of the users who were there when the weights were last trained, the reserved row first."""
        return _old(self.since[: len(self.users.names)], self.counters[TRAINED])

    def is_old_user(self, row: int) -> bool:
        """Say whether a user was there when the weights were last trained."""
        return bool(0 < self.since[row] <= self.counters[TRAINED])

    def add(self, user: str, item: str, reward: float) -> None:
        """Note an event."""
        user_row, item_row = self._user_row(user), self.item_row(item)
        self.counters[EVENTS] += 1
        self.histories.add(user_row, item_row, self.events, reward)
        if reward > 0.0 and not self.first_seen[item_row]:
            self.first_seen[item_row] = self.events
        self.last_used[item_row] = self.events
        self._item_table.dirty[item_row] = 1
        self._count(item_row if reward > 0.0 else 0)

    def take_back(self, user: str, item: str) -> bool:
        """Take back the user's newest interaction with an item; return whether there was one."""
        user_row, item_row = self.users.row(user), self.items.row(item)
        number = self.histories.take_back(user_row, item_row) if item_row else 0
        if number and self.events - number < len(self.latest):
            place = number % len(self.latest)
            if self.latest[place] == item_row:
                for span, counts in zip(SPANS, self.taken, strict=True):
                    counts[item_row] -= self.events - number < span
                self.latest[place] = 0
        return number > 0

    def item_row(self, name: str) -> int:
        """Return the row of an item. A new item gets one, from the least recently used item if necessary."""
        row = self.items.row(name)
        if row == 0:
            if self.items.is_full:
                self._forget_items(oldest(self.items, self.last_used))
            row = self.items.add(name)
            self.last_used[row] = self.events
            if known := self.unavailable.row(name):
                self.unavailable.forget([known])
                self.hidden[row] = 1
            self._item_table.dirty[row] = 1
            self._item_table.used = len(self.items.names)
        return row

    def set_available(self, item: str, available: bool) -> None:
        """Set an item's availability."""
        if self.is_hidden(item) is available:
            row = self.item_row(item)
            self.hidden[row] = not available
            self._item_table.dirty[row] = 1

    def is_hidden(self, item: str) -> bool:
        """Say whether an item may not be recommended."""
        return bool(self.hidden[self.items.row(item)]) or item in self.unavailable.ids.rows

    def forget_users(self, rows: list[int]) -> None:
        """Empty the rows of users, and release their ids."""
        self.histories.forget(rows)
        self._user_table.empty(np.array(rows, np.int64))
        self.users.release(rows)

    def _user_row(self, name: str) -> int:
        row = self.users.row(name)
        if row == 0:
            if self.users.is_full:
                last = np.zeros(len(self.users.names), np.int64)
                for taken in self.users.taken():
                    last[taken] = self.histories.last_number(taken)
                self.forget_users(oldest(self.users, last))
            row = self.users.add(name)
            self.since[row] = self.events + 1
            self._user_table.dirty[row] = 1
            self._user_table.used = len(self.users.names)
        return row

    def _forget_items(self, rows: list[int]) -> None:
        for row in rows:
            if self.hidden[row]:
                name = str(self.items.names[row])
                known = self.unavailable.row(name) or self.unavailable.add(name)
                self.unavailable.arrays["number"][known] = self.events
                self.unavailable.dirty[known] = 1
        self.histories.drop_items(set(rows))
        self.latest[np.isin(self.latest, rows)] = 0
        self.taken[:, rows] = 0
        self._item_table.empty(np.array(rows, np.int64))
        self.items.release(rows)

    def _count(self, item: int) -> None:
        """Count an item in all spans, and remove the events that left them."""
        for span, counts in zip(SPANS, self.taken, strict=True):
            counts[self.latest[(self.events - span) % len(self.latest)]] -= 1
            counts[item] += 1
            counts[0] = 0
        self.latest[self.events % len(self.latest)] = item

    def mark_changed(self) -> None:
        """Mark everything as changed."""
        self.histories.mark_changed()
        for table in self._tables:
            table.dirty[: table.used] = 1

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that changed since the last call, with absolute values, and clear their marks."""
        record: dict[str, NDArray[Any]] = {"live.counters": self.counters.copy(), "live.latest": self.latest.copy()}
        record |= self.histories.dump_changes()
        for table in self._tables:
            changed = table.changed_rows()
            if len(changed):
                record |= table.dump_rows(changed)
                table.dirty[changed] = 0
        return record

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a result of `dump_changes`.

        Raises:
            ValueError: It is of a model with other arguments, and does not fit.
        """
        for table in self._tables:
            table.expect_fit(record)
        self.counters[:], self.latest[:] = record["live.counters"], record["live.latest"]
        self.histories.load(record)
        for table in self._tables:
            table.load_rows(record)
        for span, counts in zip(SPANS, self.taken, strict=True):
            numbers = np.arange(self.events - span + 1, self.events + 1)
            counts[:] = np.bincount(self.latest[numbers % len(self.latest)], minlength=len(counts))
            counts[0] = 0


def _old(since: NDArray[np.int64], trained: np.int64) -> NDArray[np.int64]:
    is_old = (since > 0) & (since <= trained)
    is_old[0] = True
    return np.flatnonzero(is_old)
