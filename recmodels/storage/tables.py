"""Tables of arrays: the form of the state for kernels and for the store."""

import json
import mmap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from recmodels.storage.id_table import IdTable

LINE_BYTES: Final = 64
"""Bytes of a cache line. Rows of this size, or of a multiple of it, take as few lines as possible."""
WORD_BYTES: Final = 8
"""Bytes of the largest numbers."""
MAPPED_BYTES: Final = 128 * 1024
"""Size from which an array is mapped by itself."""
HUGE_BYTES: Final = 4 * 1024 * 1024
"""Size from which huge pages are asked for, as NumPy does."""


def aligned_zeros(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array of zeros that begins with a cache line and takes no memory until touched.

    A large one is mapped, and goes back to the system when it is dropped. Once a large array was freed, `numpy.zeros`
    would take the next one from the heap, and write zeros to all of it.

    >>> aligned_zeros((3, 32), np.float32).ctypes.data % 64
    0
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size >= MAPPED_BYTES and hasattr(mmap, "MAP_ANONYMOUS"):
        mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if size >= HUGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without huge pages
                mapped.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(mapped, dtype).reshape(shape)
    room = np.zeros(size + LINE_BYTES, np.uint8)
    start = -room.ctypes.data % LINE_BYTES
    return room[start : start + size].view(dtype).reshape(shape)


class PackedRows:
    """Rows of one cache line each, in which columns of several tables lie side by side.

    Args:
        capacity: Number of rows.

    >>> rows = PackedRows(3)
    >>> level, is_hidden = rows.column(np.float64, (5,)), rows.column(np.uint8, ())
    >>> level.shape, level.strides, is_hidden.strides
    ((3, 5), (64, 8), (64,))
    """

    def __init__(self, capacity: int) -> None:
        self._lines: NDArray[np.uint8] = aligned_zeros((capacity, LINE_BYTES), np.uint8)
        self._front, self._back = 0, LINE_BYTES

    def column(self, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return a new column [capacity, *shape], of zeros.

        Raises:
            ValueError: The line has no room for it.
        """
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if np.dtype(dtype).itemsize == WORD_BYTES:
            start = self._front
            self._front += size
        else:  # smaller numbers lie at the end, so that none of the others has to be moved to its alignment
            start = self._back = (self._back - size) // np.dtype(dtype).itemsize * np.dtype(dtype).itemsize
        if self._front > self._back:
            raise ValueError(f"expected packed columns of at most {LINE_BYTES} bytes a row, got more: pack fewer")
        view: NDArray[Any] = self._lines[:, start : start + size].view(dtype)
        return view.reshape(len(view), *shape) if shape else view[:, 0]


class Table:
    """Arrays that share their first axis: one row per user, item or the like.

    The whole capacity is reserved at once and costs no memory until a row is touched, so that nothing is ever
    copied to grow. A row of zeros is an empty row: in every table that is a valid state.

    Args:
        name: Names the table in the store.
        capacity: How many rows there can be.
        ids: Whose the rows are, if they are saved with this table.
        packed: Arrays for some of the columns, as views of `PackedRows`.
        columns: For each array its type and the shape of one row.

    Attributes:
        arrays: The arrays, by name.
        dirty: One mark per row: 1 if it has changed since the last snapshot.
        is_void: Whether its rows have no length, so that they can hold nothing.
        used: How many rows, from the first, may hold something.

    >>> table = Table("users", 1_000_000, recent=(np.int32, (20,)), last_time=(np.float64, ()))
    >>> table.arrays["recent"].shape, table.row_bytes, table.used
    ((1000000, 20), 88, 0)
    """

    def __init__(
        self,
        name: str,
        capacity: int,
        ids: IdTable | None = None,
        packed: Mapping[str, NDArray[Any]] | None = None,
        **columns: tuple[DTypeLike, tuple[int, ...]],
    ) -> None:
        packed = packed or {}
        self.name = name
        self.capacity = capacity
        self.ids = ids
        self.arrays: dict[str, NDArray[Any]] = {
            column: packed[column] if column in packed else aligned_zeros((capacity, *shape), dtype)
            for column, (dtype, shape) in columns.items()
        }
        self.dirty: NDArray[np.uint8] = aligned_zeros((capacity,), np.uint8)
        self.is_void = not any(array.size for array in self.arrays.values())
        self.used = 0

    @property
    def row_bytes(self) -> int:
        """Size of a row, without its id."""
        return sum(array.itemsize * (array[:1].size or 1) for array in self.arrays.values())

    def changed_rows(self) -> NDArray[np.int64]:
        """Return the numbers of the rows that have changed since `dirty` was cleared, in order."""
        return np.flatnonzero(self.dirty[: self.used])

    def empty(self, rows: NDArray[np.int64]) -> None:
        """Make rows empty."""
        for array in self.arrays.values():
            array[rows] = 0
        self.dirty[rows] = 1

    def dump_rows(self, rows: NDArray[np.int64] | range) -> dict[str, NDArray[Any]]:
        """Return whole rows, with their numbers and ids: of single rows copies, of a range the table's own arrays."""
        where: Any = rows
        numbers = {"rows": rows}
        if isinstance(rows, range):
            where = slice(rows.start, rows.stop)
            numbers = {"span": np.array([rows.start, rows.stop], np.int64)}
        parts = numbers | {column: array[where] for column, array in self.arrays.items()}
        if self.ids is not None:
            known = self.ids.names
            names = [known[row] if row < len(known) else None for row in np.asarray(rows).tolist()]
            parts["names"] = np.frombuffer(json.dumps(names).encode(), np.uint8)
        return {f"{self.name}.{part}": array for part, array in parts.items()}

    def expect_fit(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Raise ValueError unless `load_rows` could take this over."""
        rows, span = record.get(f"{self.name}.rows"), record.get(f"{self.name}.span")
        if span is not None:
            rows = span[1:] - 1
        if rows is None or not len(rows):
            return
        advice = "give the model the arguments that it had when the state was saved"
        if int(rows[-1]) >= self.capacity:
            raise ValueError(f"table {self.name}: the state has row {rows[-1]} of at most {self.capacity}; {advice}")
        for column, array in self.arrays.items():
            saved = record.get(f"{self.name}.{column}", array)  # a column of a later version starts empty
            shape = saved.shape[1:]
            if shape != array.shape[1:] and array.size:
                raise ValueError(
                    f"table {self.name}: expected rows of {column} of shape {array.shape[1:]}; got {shape}; {advice}"
                )

    def load_rows(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `dump_rows` gave, if the record has any of it."""
        rows, span = record.get(f"{self.name}.rows"), record.get(f"{self.name}.span")
        where: Any = rows
        if span is not None:
            where, rows = slice(*span.tolist()), np.arange(*span.tolist())
        if rows is None or not len(rows) or self.is_void:
            return
        for column, array in self.arrays.items():
            array[where] = record.get(f"{self.name}.{column}", 0)
        self.used = max(self.used, int(rows[-1]) + 1)
        if self.ids is not None:
            for row, name in zip(rows.tolist(), json.loads(record[f"{self.name}.names"].tobytes()), strict=True):
                self.ids.assign(row, name)


def dump_changes(tables: Sequence[Table]) -> dict[str, NDArray[Any]]:
    """Return the rows of tables that have changed since the last time, and forget that they have."""
    record: dict[str, NDArray[Any]] = {}
    for table in tables:
        rows = table.changed_rows()
        if len(rows):
            record |= table.dump_rows(rows)
            table.dirty[rows] = 0
    return record


def dump_part(tables: Sequence[Table], place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
    """Return the rows of tables from a place on.

    Args:
        tables: Their rows are one sequence, in the order of the tables.
        place: Where to begin: 0, or what the call before returned.
        size: Bytes to return, about; one row at least.

    Returns:
        The rows, and the place behind them: 0 at the end of the last table.

    >>> users, items = Table("users", 1_000, age=(np.int64, ())), Table("items", 1_000, price=(np.int64, ()))
    >>> users.used = items.used = 3
    >>> [rows, place] = dump_part([users, items], 0, size=32)
    >>> {name: array.tolist() for name, array in rows.items()}, place
    ({'users.span': [0, 3], 'users.age': [0, 0, 0], 'items.span': [0, 1], 'items.price': [0]}, 1001)
    >>> dump_part([users, items], place, size=32)[1]
    0
    """
    record: dict[str, NDArray[Any]] = {}
    first = 0  # the place of the table's first row; whole capacities, so that a table that grows moves no other
    for table in tables:
        start = max(place - first, 0)
        count = max(size // table.row_bytes, 0 if record else 1)
        stop = min(start + count, table.used)
        if stop > start:
            record |= table.dump_rows(range(start, stop))
            size -= (stop - start) * table.row_bytes
        if stop < table.used:
            return record, first + stop
        first += table.capacity
    return record, 0
