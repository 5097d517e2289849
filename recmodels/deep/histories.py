"""Histories of users in order: rows of any length, in bounded memory."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Entries(NamedTuple):
    """Entries of many histories, one after the other; by user, and each user's in order."""

    user: NDArray[np.int32]
    """[N] Row of the user."""
    item: NDArray[np.int32]
    """[N] Row of the item."""
    number: NDArray[np.int64]
    """[N] Number of the event, from 1."""
    reward: NDArray[np.float32]
    """[N]"""


def parts(keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each run of equal keys begins, and the place of each key in its run.

    >>> begins, place = parts(np.array([7, 7, 7, 2, 2]))
    >>> begins.tolist(), place.tolist()
    ([0, 3], [0, 1, 2, 0, 1])
    """
    begins = np.flatnonzero(np.concatenate([np.ones(min(len(keys), 1), bool), keys[1:] != keys[:-1]]))
    sizes = np.diff(begins, append=len(keys))
    return begins, np.arange(len(keys)) - np.repeat(begins, sizes)


class _Row(NamedTuple):
    item: "array[Any]"
    number: "array[Any]"
    reward: "array[Any]"


def _row(item: Iterable[int] = (), number: Iterable[int] = (), reward: Iterable[float] = ()) -> _Row:
    return _Row(array("i", item), array("q", number), array("f", reward))


class Histories:
    """The last entries of each user's row.

    Args:
        longest: Number of entries kept for a user, the newest.

    >>> histories = Histories(longest=2)
    >>> for number, item in enumerate([7, 8, 9], 1):
    ...     histories.add(user=1, item=item, number=number, reward=1.0)
    >>> histories.recent(1, 5), histories.recent(1, 1), histories.recent(2, 5), 7 in histories.items(1)
    ([8, 9], [9], [], False)
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self._rows: list[_Row] = []
        self._changed: set[int] = set()

    def add(self, user: int, item: int, number: int, reward: float) -> None:
        """Append an entry to a user's row."""
        self._reach(user)
        for column, value in zip(self._rows[user], (item, number, reward), strict=True):
            column.append(value)
            if len(column) > self.longest:
                del column[0]
        self._changed.add(user)

    def items(self, user: int) -> Sequence[int]:
        """Return all items of a row, the oldest first."""
        return self._rows[user].item if user < len(self._rows) else ()

    def had(self, user: int) -> list[int]:
        """Return the items that the user had, oldest first, without those only shown."""
        if user >= len(self._rows):
            return []
        row = self._rows[user]
        return [item for item, reward in zip(row.item, row.reward, strict=True) if reward >= 0.0]

    def recent(self, user: int, count: int) -> list[int]:
        """Return the last `count` items of a row with a positive reward, the oldest first."""
        found: list[int] = []
        if user < len(self._rows) and count:
            row = self._rows[user]
            for item, reward in zip(reversed(row.item), reversed(row.reward), strict=True):
                if reward > 0.0:
                    found.append(item)
                    if len(found) == count:
                        break
        return found[::-1]

    def take_back(self, user: int, item: int) -> int:
        """Take out the newest entry of an item that the user had; return the number of its event, 0 if there is none.

        >>> histories = Histories(longest=5)
        >>> for number, item in enumerate([7, 8, 7], 1):
        ...     histories.add(user=1, item=item, number=number, reward=1.0)
        >>> histories.take_back(1, 7), histories.had(1), histories.take_back(1, 9)
        (3, [7, 8], 0)
        """
        row = self._rows[user] if user < len(self._rows) else _row()
        for place in range(len(row.item) - 1, -1, -1):
            if row.item[place] == item and row.reward[place] >= 0.0:
                number = int(row.number[place])
                for column in row:
                    del column[place]
                self._changed.add(user)
                return number
        return 0

    def last_number(self, user: int) -> int:
        """Return the number of a user's last event, or 0."""
        return int(self._rows[user].number[-1]) if len(self.items(user)) else 0

    def forget(self, users: Iterable[int]) -> None:
        """Empty rows."""
        for user in users:
            self._reach(user)
            self._rows[user] = _row()
            self._changed.add(user)

    def drop_items(self, gone: set[int]) -> None:
        """Remove items from every row."""
        for user, row in enumerate(self._rows):
            if not gone.isdisjoint(row.item):
                kept = [entry for entry in zip(*row, strict=True) if entry[0] not in gone]
                self._rows[user] = _row(*zip(*kept, strict=True))
                self._changed.add(user)

    def entries(self, users: Sequence[int] | None = None) -> Entries:
        """Return the entries of some users' rows, in the given order. None: of all users."""
        rows = range(len(self._rows)) if users is None else users
        return Entries(
            np.repeat(np.array(rows, np.int32), [len(self._rows[row].item) for row in rows]),
            _joined([self._rows[row].item for row in rows], np.int32),
            _joined([self._rows[row].number for row in rows], np.int64),
            _joined([self._rows[row].reward for row in rows], np.float32),
        )

    def mark_changed(self) -> None:
        """Mark every row as changed."""
        self._changed.update(range(len(self._rows)))

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that changed since the last call, and clear their marks of change."""
        rows = sorted(self._changed)
        self._changed.clear()
        if not rows:
            return {}
        found = self.entries(rows)
        return {
            "histories.rows": np.array(rows, np.int32),
            "histories.sizes": np.array([len(self._rows[row].item) for row in rows], np.int32),
            "histories.item": found.item,
            "histories.number": found.number,
            "histories.reward": found.reward,
        }

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a result of `dump_changes`."""
        if "histories.rows" not in record:
            return
        start = 0
        for row, size in zip(record["histories.rows"].tolist(), record["histories.sizes"].tolist(), strict=True):
            entries = slice(start, start + size)
            self._reach(row)
            self._rows[row] = _row(
                *(record[f"histories.{column}"][entries].tolist() for column in ("item", "number", "reward"))
            )
            start += size

    def _reach(self, user: int) -> None:
        self._rows.extend(_row() for _ in range(user + 1 - len(self._rows)))


def _joined(columns: Sequence["array[Any]"], dtype: type[Any]) -> NDArray[Any]:
    # An array's buffer may not be empty.
    return np.concatenate([np.zeros(0, dtype), *(np.frombuffer(column, dtype) for column in columns if len(column))])
