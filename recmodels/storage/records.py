"""A bounded table of records in JSON, which is stored row by row."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Records:
    """Values by key, such as the features of an item. When it is full, the value that was set first is dropped.

    A changed or removed row is stored under its number. So a removed key is in no later file.

    Args:
        name: Names the table in a dump.
        most: Number of keys.

    >>> records = Records("features", most=2)
    >>> records["tea"], records["jam"], records["pie"] = {"price": 3}, {"price": 4}, {"price": 5}
    >>> list(records), records.get("tea")
    (['jam', 'pie'], None)
    >>> other = Records("features", most=2)
    >>> other.load(records.dump_changes())
    >>> other["pie"]
    {'price': 5}
    """

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self._values: dict[str, Any] = {}
        self._rows: dict[str, int] = {}
        self._keys: list[str | None] = []
        self._free: list[int] = []
        self._changed: dict[int, None] = {}
        self._numbers: dict[str, int] = {}  # in which order the keys came
        self._next = 0

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def get(self, key: str) -> Any:
        """Return the value of a key, or None."""
        return self._values.get(key)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Return the keys with their values."""
        return iter(self._values.items())

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self._rows:
            if len(self._values) >= self.most:
                self.remove(self.oldest)
            row = self._free.pop() if self._free else len(self._keys)
            self._put(row, key, self._next)
        self._values[key] = value
        self._changed[self._rows[key]] = None

    @property
    def oldest(self) -> str:
        """The key that came first."""
        return next(iter(self._numbers))

    def remove(self, key: str) -> None:
        """Remove a key, if it is there."""
        if key in self._rows:
            row = self._rows.pop(key)
            del self._values[key], self._numbers[key]
            self._keys[row] = None
            self._free.append(row)
            self._changed[row] = None

    def _put(self, row: int, key: str, number: int) -> None:
        self._keys += [None] * (row + 1 - len(self._keys))
        self._rows[key], self._keys[row] = row, key
        self._numbers[key] = number
        self._next = max(self._next, number + 1)

    def _line(self, row: int) -> bytes:
        key = self._keys[row]
        known = [] if key is None else [key, self._values[key], self._numbers[key]]
        return json.dumps([row, *known]).encode()

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole table."""
        self._changed = dict.fromkeys(range(len(self._keys)))
        return self.dump_changes()

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that changed since the last dump. Empty if none did."""
        lines, self._changed = [self._line(row) for row in self._changed], {}
        return self._blob(lines)

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return rows of about `size` bytes from a row on, and the row behind them: 0 at the end."""
        lines: list[bytes] = []
        total = 0
        while place < len(self._keys) and total < size:
            lines.append(self._line(place))
            total += len(lines[-1])
            place += 1
        return self._blob(lines), place if place < len(self._keys) else 0

    def _blob(self, lines: list[bytes]) -> dict[str, NDArray[Any]]:
        return {self.name: np.frombuffer(b"\n".join(lines), np.uint8)} if lines else {}

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Take over a dump of any kind."""
        blob = record.get(self.name)
        for line in [] if blob is None else blob.tobytes().split(b"\n"):
            row, *known = json.loads(line)
            self._keys += [None] * (row + 1 - len(self._keys))
            old, self._keys[row] = self._keys[row], None
            if old is not None and self._rows[old] == row:
                del self._rows[old], self._values[old], self._numbers[old]
            if known:
                key, value, number = known
                if key in self._rows:  # its old row comes later in this dump
                    self._keys[self._rows[key]] = None
                self._put(row, key, number)
                self._values[key] = value
        self._free = [row for row, key in enumerate(self._keys) if key is None][::-1]
        self._numbers = dict(sorted(self._numbers.items(), key=lambda pair: pair[1]))
        self._changed = {}
