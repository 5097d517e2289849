"""Removal: which lists hold an item that has become unavailable, so that they can be made anew.

The items of each user's last list are kept as digests of four bytes. Nothing is kept before the first item event: where
no item is ever removed, it costs nothing. A removal looks through all lists at once. The users found wait in a queue.
After each event some of them get a list. So the work of a removal is spread over the events that follow.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from flows.state.stateful import Snapshot
from flows.steps.hashing import short_digest
from recmodels.storage.bounded_table import BoundedTable, oldest
from recmodels.storage.tables import dump_changes, dump_part

UNWRITTEN: Final = 4_096
"""Lists that wait to be written as digests, at most."""


class HeldItems:
    """The items of each user's last list, and the users whose list is to be made anew.

    Args:
        max_users: Number of users. Beyond it those with the oldest lists are dropped, and their lists stay as they are.
        top: Items of a list.

    >>> held = HeldItems(max_users=100, top=3)
    >>> held.start()
    >>> held.hold("ann", ["tea", "jam"])
    >>> held.hold("bob", ["pie"])
    >>> held.remove("jam")
    >>> held.due(5), held.due(5)
    (['ann'], [])
    """

    def __init__(self, max_users: int, top: int) -> None:
        self.top = top
        self._table = BoundedTable(
            "held", max_users, age="turn", turn=(np.int64, ()), waits=(np.int64, ()), items=(np.uint32, (top,))
        )
        self._unwritten: dict[int, Sequence[str]] = {}  # by row
        self._waiting: dict[int, None] = {}  # rows, in the order in which they were found
        self._turn = 0
        self.is_on = False

    def start(self) -> None:
        """Hold lists from now on."""
        self.is_on = True

    def hold(self, user: str, items: Sequence[str]) -> None:
        """Note a user's list. One that waited to be made anew waits no more."""
        table = self._table
        row = table.row(user)
        if not row:
            if table.ids.is_full:
                self._forget(oldest(table.ids, table.arrays["turn"]))
            row = table.add(user)
        self._turn += 1
        table.arrays["turn"][row] = self._turn
        table.dirty[row] = 1
        self._done(row)
        self._unwritten[row] = items
        if len(self._unwritten) >= UNWRITTEN:
            self._write()

    def forget(self, user: str) -> None:
        """Keep nothing of a user, who has no list any more."""
        row = self._table.row(user)
        if row:
            self._forget([row])

    def remove(self, item: str) -> None:
        """Find the lists that hold an item; their users wait for new ones, those with the oldest lists first."""
        self._write()
        held = self._table.arrays["items"][: self._table.used]
        rows = np.flatnonzero((held == short_digest(item)).any(axis=1))
        turns = self._table.arrays["turn"][rows]
        for row in rows[np.argsort(turns, kind="stable")].tolist():
            if row not in self._waiting:
                self._turn += 1
                self._waiting[row] = None
                self._table.arrays["waits"][row] = self._turn
                self._table.dirty[row] = 1

    def due(self, most: int) -> list[str]:
        """Return up to `most` users whose list is to be made now."""
        rows = [row for row, _ in zip(self._waiting, range(most), strict=False)]
        for row in rows:
            self._done(row)
        return [str(self._table.ids.names[row]) for row in rows]

    @property
    def is_waiting(self) -> bool:
        """Whether a list is to be made anew."""
        return bool(self._waiting)

    def _forget(self, rows: Sequence[int]) -> None:
        for row in rows:
            self._unwritten.pop(row, None)
            self._done(row)
        self._table.forget(rows)

    def _done(self, row: int) -> None:
        if row in self._waiting:
            del self._waiting[row]
            self._table.arrays["waits"][row] = 0
            self._table.dirty[row] = 1

    def _write(self) -> None:
        for row, items in self._unwritten.items():
            digests = [short_digest(item) for item in items[: self.top]]
            self._table.arrays["items"][row] = digests + [0] * (self.top - len(digests))
        self._unwritten.clear()

    def dump_changes(self) -> Snapshot:
        """Return what has changed since the last dump."""
        if not self.is_on:
            return {}
        self._write()
        return {**dump_changes([self._table]), "held.numbers": np.array([self._turn, self.top])}

    def dump(self) -> Snapshot:
        """Return the whole state."""
        self._table.dirty[: self._table.used] = 1
        return self.dump_changes()

    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        """Return about `size` bytes of the state from a place on, and the place behind them: 0 at the end."""
        if not self.is_on:
            return {}, 0
        self._write()
        part, place = dump_part([self._table], place, size)
        return {**part, "held.numbers": np.array([self._turn, self.top])}, place

    def load(self, snapshot: Snapshot) -> None:
        """Take over what a dump gave, unless lists had another length then: those are held as they are made."""
        if "held.numbers" not in snapshot:
            return
        turn, top = snapshot["held.numbers"].tolist()
        self.is_on, self._turn = True, turn
        if top != self.top:
            return
        self._table.load_rows(snapshot)
        waits = self._table.arrays["waits"][: self._table.used]
        self._waiting = dict.fromkeys(sorted(np.flatnonzero(waits).tolist(), key=lambda row: int(waits[row])))
