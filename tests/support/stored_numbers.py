"""A small state to store: shared by the tests of the store."""

from pathlib import Path
from typing import Any

import numpy as np

from flows.state.stateful import Snapshot, StatefulStep
from flows.state.store import Store
from recmodels.storage.tables import Table, dump_changes, dump_part


class Numbers(StatefulStep[int, int]):
    """A table of numbers, a KiB a row. Processing a row counts up its first."""

    def __init__(self, rows: int = 1_000) -> None:
        self.table = Table("numbers", rows, values=(np.int64, (128,)))
        self.table.used = rows
        self.parts: list[int] = []

    @property
    def values(self) -> Any:
        return self.table.arrays["values"]

    def process(self, batch: list[int]) -> list[int]:
        for row in batch:
            self.values[row, 0] += 1
            self.table.dirty[row] = 1
        return batch

    def dump(self) -> Snapshot:
        return {"values": self.values.copy()}

    def dump_changes(self) -> Snapshot:
        return dump_changes([self.table])

    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        self.parts.append(size)
        return dump_part([self.table], place, size)

    def load(self, snapshot: Snapshot) -> None:
        self.table.load_rows(snapshot)


def opened(directory: Path, pointer: Any = None, rows: int = 1_000) -> tuple[Store, Numbers]:
    store, numbers = Store(directory), Numbers(rows)
    store.load(numbers, pointer)
    return store, numbers


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())
