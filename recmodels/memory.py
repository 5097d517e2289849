"""What a fused model remembers: tables of bounded size, and how a full table makes room."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmodels.ids import RESERVED, IdTable
from recmodels.kernels import covisitation, history, popularity
from recmodels.kernels import state as arrays
from recmodels.kernels.candidates import CANDIDATES, COLUMNS, HALF_LIVES
from recmodels.kernels.users import GAPS, LENGTHS
from recmodels.tables import Table

TOP = 100
"""Items that each half-life of popularity proposes."""
EVICTED = 64
"""A full table gives up one row in so many at a time."""


class Sizes(NamedTuple):
    """How large the tables are: arguments of the model, see `recmodels.fused.FusedModel`."""

    max_users: int
    max_items: int
    max_pairs: int
    recent: int
    row_length: int
    n_factors: int


class Memory:
    """The tables of a fused model, with the ids of their rows.

    Args:
        sizes: How large the tables are.
        decay: [H] 1 / half-life of each column of popularity.
        options: The model's arguments as the kernels need them.

    Attributes:
        users, items: Which id has which row.
        tables: Everything with rows, for the store; by name.
        small: Everything without, for the store; by name.
        state: All of it, for the kernels.
    """

    def __init__(self, sizes: Sizes, decay: NDArray[np.float64], options: arrays.Options) -> None:
        n_users, n_items = sizes.max_users + RESERVED, sizes.max_items + RESERVED
        k, i4, f4, i8, f8 = sizes.n_factors, np.int32, np.float32, np.int64, np.float64
        self.users = IdTable(n_users)
        self.items = IdTable(n_items)
        user_columns: dict[str, Any] = {
            "recent": (i4, (sizes.recent,)),
            "events": (i4, ()),
            "last_time": (f8, ()),
            "gap": (i4, ()),
            "last_used": (i8, ()),
            "newest": (i4, ()),
        }
        row: dict[str, Any] = {"item": (i4, (sizes.row_length,)), "weight": (f4, (sizes.row_length,))}
        factors: dict[str, Any] = {"out": (f4, (k,)), "bias": (f4, ()), "history": (f4, (k,))}
        steps: dict[str, Any] = {"step_out": (f4, ()), "step_bias": (f4, ()), "step_history": (f4, ())}
        self.tables = {
            table.name: table
            for table in (
                Table("users", n_users, **user_columns),
                Table("items", n_items, first_seen=(i8, ()), last_used=(i8, ()), hidden=(np.uint8, ())),
                Table("history", sizes.max_pairs + RESERVED, item=(i4, ()), next=(i4, ()), amount=(f4, ())),
                Table("popularity", n_items, level=(f8, (HALF_LIVES,)), rank=(i4, (HALF_LIVES,))),
                Table("covisitation", n_items, **row, size=(i4, ()), total=(f4, ())),
                Table("item_factors", n_items, **factors, **steps),
                Table("user_factors", n_users, own=(f4, (k,)), step=(f4, ())),
            )
        }
        contexts = LENGTHS + GAPS
        self.small: dict[str, NDArray[Any]] = {
            "counters": np.zeros(arrays.COUNTERS, i8),
            "top": np.zeros((HALF_LIVES, TOP), i4),
            "size": np.zeros(HALF_LIVES, i4),
            "weight": np.zeros((contexts, COLUMNS), f8),
            "step": np.zeros((contexts, COLUMNS), f8),
        }
        scratch = arrays.Candidates(
            stamp=np.zeros(2, i8),
            size=np.zeros(2, i8),
            item=np.zeros(CANDIDATES, i4),
            column=np.zeros((COLUMNS, CANDIDATES), f4),
            score=np.zeros(CANDIDATES, f4),
            share=np.zeros(CANDIDATES, f4),
            place=np.zeros(n_items, i8),
            sums=np.zeros((CANDIDATES + 1, 2), f4),
            user_vector=np.zeros(k, f4),
            gradient=np.zeros(k, f4),
        )
        small = self.small
        self.state = arrays.State(
            counters=small["counters"],
            users=arrays.Users(**self._arrays("users")),
            items=arrays.Items(**self._arrays("items")),
            history=arrays.History(**self._arrays("history")),
            popularity=arrays.Popularity(
                **self._arrays("popularity"), top=small["top"], size=small["size"], decay=decay
            ),
            covisitation=arrays.Covisitation(**self._arrays("covisitation")),
            item_factors=arrays.ItemFactors(**self._arrays("item_factors")),
            user_factors=arrays.UserFactors(**self._arrays("user_factors")),
            weights=arrays.Weights(small["weight"], small["step"]),
            candidates=scratch,
            options=options,
        )
        self.mark_used()

    def _arrays(self, name: str) -> dict[str, NDArray[Any]]:
        table = self.tables[name]
        return {**table.arrays, "dirty": table.dirty}

    def mark_used(self) -> None:
        """Tell tables and kernels how many rows have been given out."""
        n_users, n_items = len(self.users.names), len(self.items.names)
        for name in ("users", "user_factors"):
            self.tables[name].used = n_users
        for name in ("items", "popularity", "covisitation", "item_factors"):
            self.tables[name].used = n_items
        self.tables["history"].used = int(self.state.counters[arrays.CELLS]) + RESERVED
        self.state.counters[arrays.ITEM_ROWS] = n_items

    def has_cells(self, wanted: int) -> bool:
        """Say whether the histories have room for `wanted` more pairs."""
        counters = self.state.counters
        unused = len(self.state.history.item) - RESERVED - counters[arrays.CELLS]
        return bool(unused + counters[arrays.FREE_CELLS] >= wanted)

    def user_row(self, name: str) -> int:
        """Return the row of a user; a new one gets one, at the cost of the least recently used if need be."""
        row = self.users.row(name)
        if row == 0:
            if self.users.is_full:
                self.forget_users(self._stalest(self.state.users.last_used, len(self.users.names)))
            row = self.users.add(name)
        return row

    def item_row(self, name: str) -> int:
        """Return the row of an item; a new one gets one, at the cost of the least recently used if need be."""
        row = self.items.row(name)
        if row == 0:
            if self.items.is_full:
                self.forget_items(self._stalest(self.state.items.last_used, len(self.items.names)))
            row = self.items.add(name)
        return row

    def make_cells(self) -> None:
        """Make room in the histories."""
        self.forget_users(self._stalest(self.state.users.last_used, len(self.users.names)))

    @staticmethod
    def _stalest(last_used: NDArray[np.int64], used: int) -> list[int]:
        count = max(1, (used - RESERVED) // EVICTED)
        order = np.argsort(last_used[RESERVED:used], kind="stable")[:count]
        return [int(row) + RESERVED for row in np.sort(order)]

    def forget_users(self, rows: Sequence[int]) -> None:
        """Empty the rows of users and take their ids."""
        state = self.state
        state.candidates.stamp[1] = 0
        for row in rows:
            history.forget(state.history, state.counters, state.users, row)
        for name in ("users", "user_factors"):
            self.tables[name].empty(np.asarray(rows, np.int64))
        self.users.release(rows)

    def forget_items(self, rows: Sequence[int]) -> None:
        """Empty the rows of items, strike them from every other row, and take their ids."""
        state = self.state
        state.candidates.stamp[1] = 0
        gone = np.zeros(len(state.items.hidden), np.uint8)
        gone[rows] = 1
        n_users, n_items = len(self.users.names), len(self.items.names)
        covisitation.drop(state.covisitation, gone, n_items)
        history.drop(state.history, state.counters, state.users, gone, n_users)
        for name in ("items", "popularity", "covisitation", "item_factors"):
            self.tables[name].empty(np.asarray(rows, np.int64))
        self.items.release(rows)
        popularity.rebuild(state.popularity, state.items, n_items)

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return all rows in use, and forget which have changed."""
        for table in self.tables.values():
            table.dirty[: table.used] = 1
        return self.dump_changes()

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that have changed since the last dump, with their values, and forget that they have."""
        record: dict[str, NDArray[Any]] = {f"small.{name}": array.copy() for name, array in self.small.items()}
        for ids, table in self._identified():
            names = [ids.names[row] if row < len(ids.names) else None for row in table.changed_rows().tolist()]
            record[f"{table.name}.names"] = np.frombuffer(json.dumps(names).encode(), np.uint8)
        for table in self.tables.values():
            rows = table.changed_rows()
            record[f"{table.name}.rows"] = rows
            for column, array in table.arrays.items():
                record[f"{table.name}.{column}"] = array[rows]
            table.dirty[rows] = 0
        return record

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `dump` or `dump_changes` gave."""
        for name, array in self.small.items():
            array[...] = record[f"small.{name}"]
        for ids, table in self._identified():
            names = list(ids.names)
            for row, name in zip(
                record[f"{table.name}.rows"].tolist(),
                json.loads(record[f"{table.name}.names"].tobytes()),
                strict=True,
            ):
                names += [None] * (row + 1 - len(names))
                names[row] = name
            ids.restore(names)
        for table in self.tables.values():
            columns = {column: record[f"{table.name}.{column}"] for column in table.arrays}
            table.write(record[f"{table.name}.rows"], columns)
        self.state.candidates.stamp[1] = 0
        self.mark_used()

    def _identified(self) -> tuple[tuple[IdTable, Table], tuple[IdTable, Table]]:
        return (self.users, self.tables["users"]), (self.items, self.tables["items"])
