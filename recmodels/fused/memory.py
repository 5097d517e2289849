"""What a fused model remembers: tables of bounded size, and how a full table makes room."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmodels.kernels import covisitation, history, item_events, popularity
from recmodels.kernels import state as arrays
from recmodels.kernels.calibration import LISTED
from recmodels.kernels.candidates import CANDIDATES, COLUMNS, HALF_LIVES
from recmodels.kernels.content import ITEM_TAGS, NEWEST, TAG_NEWEST, TAG_POPULAR, USER_TAGS
from recmodels.kernels.state_pointer import Handle
from recmodels.kernels.user_context import GAPS, LENGTHS
from recmodels.storage.id_table import RESERVED, IdTable
from recmodels.storage.tables import Table, dump_changes, dump_part

TOP = 100
"""Items that each half-life of popularity proposes."""
EVICTED = 64
"""A full table gives up one row in so many at a time."""


class Sizes(NamedTuple):
    """How large the tables are: arguments of the model, see `recmodels.fused.model.FusedModel`."""

    max_users: int
    max_items: int
    max_pairs: int
    recent: int
    row_length: int
    n_factors: int
    max_tags: int
    n_outside: int


class Memory:
    """The tables of a fused model, with the ids of their rows.

    Args:
        sizes: How large the tables are.
        decay: [H] 1 / half-life of each column of popularity.
        options: The model's arguments as the kernels need them.

    Attributes:
        users, items, tags: Which id has which row.
        tables: Everything with rows, for the store; by name.
        small: Everything without, for the store; by name.
        handle: All of it, as the kernels find it.
    """

    def __init__(self, sizes: Sizes, decay: NDArray[np.float64], options: arrays.Options) -> None:
        n_users, n_items, n_tags = (most + RESERVED for most in (sizes.max_users, sizes.max_items, sizes.max_tags))
        k, i4, f4, i8, f8 = sizes.n_factors, np.int32, np.float32, np.int64, np.float64
        self.users = IdTable(n_users)
        self.items = IdTable(n_items)
        self.tags = IdTable(n_tags)
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
        rings: dict[str, Any] = {"newest": (i4, (TAG_NEWEST,)), "popular": (i4, (TAG_POPULAR,))}
        tag_columns: dict[str, Any] = {"carriers": (i4, ()), "worth": (f8, ()), "last_used": (i8, ()), **rings}
        interest: dict[str, Any] = {"tag": (i4, (USER_TAGS,)), "weight": (f4, (USER_TAGS,))}
        marks: dict[str, Any] = {"hidden": (np.uint8, ()), "newness": (f4, ())}
        self.tables = {
            table.name: table
            for table in (
                Table("users", n_users, self.users, **user_columns),
                Table("items", n_items, self.items, first_seen=(i8, ()), last_used=(i8, ()), **marks),
                Table("history", sizes.max_pairs + RESERVED, item=(i4, ()), next=(i4, ()), amount=(f4, ())),
                Table("popularity", n_items, level=(f8, (HALF_LIVES,)), rank=(i4, (HALF_LIVES,))),
                Table("covisitation", n_items, **row, size=(i4, ()), total=(f4, ())),
                Table("item_factors", n_items, **factors, **steps),
                Table("user_factors", n_users, own=(f4, (k,)), step=(f4, ())),
                Table("tags", n_tags, self.tags, **tag_columns, level=(f8, (TAG_POPULAR,))),
                Table("item_tags", n_items, tag=(i4, (ITEM_TAGS,)), announced=(i8, ())),
                Table("interests", n_users, **interest),
            )
        }
        contexts, columns = LENGTHS + GAPS, COLUMNS + sizes.n_outside
        self.small: dict[str, NDArray[Any]] = {
            "counters": np.zeros(arrays.COUNTERS, i8),
            "top": np.zeros((HALF_LIVES, TOP), i4),
            "size": np.zeros(HALF_LIVES, i4),
            "clock": np.zeros(1, f8),
            "weight": np.zeros((contexts, columns), f8),
            "step": np.zeros((contexts, columns), f8),
            "line": np.tile(np.array([1.0, 0.0]), (LENGTHS, 1)),
            "line_step": np.zeros((LENGTHS, 2), f8),
            "newest": np.zeros(NEWEST, i4),
            "worth": np.zeros(1, f8),
        }
        scratch = arrays.Candidates(
            stamp=np.zeros(3, i8),
            size=np.zeros(3, i8),
            item=np.zeros(CANDIDATES, i4),
            column=np.zeros((columns, CANDIDATES), f4),
            silent=np.zeros(columns, np.uint8),
            score=np.zeros(CANDIDATES, f4),
            share=np.zeros(CANDIDATES, f4),
            place=np.zeros(n_items, i8),
            sums=np.zeros((CANDIDATES + 1, 2), f4),
            user_vector=np.zeros(k, f4),
            gradient=np.zeros(k, f4),
            listed=np.zeros(LISTED, i4),
        )
        small = self.small
        state = arrays.State(
            counters=small["counters"],
            users=arrays.Users(**self._arrays("users")),
            items=arrays.Items(**self._arrays("items")),
            history=arrays.History(**self._arrays("history")),
            popularity=arrays.Popularity(
                **self._arrays("popularity"), top=small["top"], size=small["size"], decay=decay, clock=small["clock"]
            ),
            covisitation=arrays.Covisitation(**self._arrays("covisitation")),
            item_factors=arrays.ItemFactors(**self._arrays("item_factors")),
            user_factors=arrays.UserFactors(**self._arrays("user_factors")),
            content=arrays.Content(
                arrays.Tags(**self._arrays("tags")),
                arrays.ItemTags(**self._arrays("item_tags")),
                arrays.Interests(**self._arrays("interests")),
                newest=small["newest"],
                worth=small["worth"],
                wish=np.zeros(n_tags, f4),
            ),
            weights=arrays.Weights(small["weight"], small["step"]),
            calibration=arrays.Calibration(small["line"], small["line_step"]),
            candidates=scratch,
            options=options,
        )
        self.handle = Handle(state)
        self.mark_used()

    @property
    def state(self) -> arrays.State:
        """All of it, for the kernels."""
        return self.handle.state

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
        self.state.counters[arrays.TAG_ROWS] = self.tables["tags"].used = len(self.tags.names)
        if len(self.tags.names) > RESERVED:  # else these hold nothing, and there is nothing to save
            self.tables["interests"].used = n_users
            self.tables["item_tags"].used = n_items

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
                self.forget_users(self._stalest(self.users, self.state.users.last_used))
            row = self.users.add(name)
        return row

    def item_row(self, name: str) -> int:
        """Return the row of an item; a new one gets one, at the cost of the least recently used if need be."""
        row = self.items.row(name)
        if row == 0:
            if self.items.is_full:
                self.forget_items(self._stalest(self.items, self.state.items.last_used))
            row = self.items.add(name)
        return row

    def tag_row(self, name: str) -> int:
        """Return the row of a tag; a new one gets one, at the cost of the least recently used if need be."""
        row = self.tags.row(name)
        if row == 0:
            if self.tags.is_full:
                self.forget_tags(self._stalest(self.tags, self.state.content.tags.last_used))
            row = self.tags.add(name)
        # So that it is not the stalest before it is described: one description never fills the table.
        self.state.content.tags.last_used[row] = self.state.counters[[arrays.EVENTS, arrays.ANNOUNCED]].sum() + 1
        return row

    def make_cells(self) -> None:
        """Make room for at least one more pair in the histories."""
        while not self.has_cells(1):  # those who go may have had none
            self.forget_users(self._stalest(self.users, self.state.users.last_used))

    @staticmethod
    def _stalest(ids: IdTable, last_used: NDArray[np.int64]) -> list[int]:
        rows = np.array(ids.taken(), np.int64)
        count = max(1, len(rows) // EVICTED)
        order = np.argsort(last_used[rows], kind="stable")[:count]
        return sorted(rows[order].tolist())

    def forget_users(self, rows: Sequence[int]) -> None:
        """Empty the rows of users and take their ids."""
        state = self.state
        state.candidates.stamp[1] = 0
        for row in rows:
            history.forget(state.history, state.counters, state.users, row)
        for name in ("users", "user_factors", "interests"):
            self.tables[name].empty(np.asarray(rows, np.int64))
        self.users.release(rows)

    def forget_items(self, rows: Sequence[int]) -> None:
        """Empty the rows of items, strike them from every other row, and take their ids."""
        state = self.state
        state.candidates.stamp[1] = 0
        gone = np.zeros(len(state.items.hidden), np.uint8)
        gone[rows] = 1
        were_top = bool(state.popularity.rank[rows].any())
        n_users, n_items = len(self.users.names), len(self.items.names)
        covisitation.drop(state.covisitation, gone, n_items)
        history.drop(state.history, state.counters, state.users, gone, n_users)
        item_events.drop_items(state.content, state.counters, gone, len(self.tags.names))
        for name in ("items", "popularity", "covisitation", "item_factors", "item_tags"):
            self.tables[name].empty(np.asarray(rows, np.int64))
        self.items.release(rows)
        if were_top:
            popularity.rebuild(state.popularity, state.items, n_items)

    def forget_tags(self, rows: Sequence[int]) -> None:
        """Empty the rows of tags, take them from items and users, and take their ids."""
        state = self.state
        state.candidates.stamp[1] = 0
        gone = np.zeros(len(state.content.wish), np.uint8)
        gone[rows] = 1
        item_events.drop_tags(state.content, state.counters, gone, len(self.items.names), len(self.users.names))
        self.tables["tags"].empty(np.asarray(rows, np.int64))
        self.tags.release(rows)

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return all rows in use, and forget which have changed."""
        self.mark_changed()
        return self.dump_changes()

    def mark_changed(self) -> None:
        """Have the next `dump_changes` return all rows in use."""
        for table in self.tables.values():
            table.dirty[: table.used] = 1

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that have changed since the last dump, with their values, and forget that they have."""
        return self._dump_small() | dump_changes(list(self.tables.values()))

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return about `size` bytes of the rows in use from `place` on, and the place behind them: 0 at the end."""
        part, place = dump_part(list(self.tables.values()), place, size)
        return (part if place else part | self._dump_small()), place

    def _dump_small(self) -> dict[str, NDArray[Any]]:
        return {f"small.{name}": array.copy() for name, array in self.small.items()}

    def copy(self) -> dict[str, NDArray[Any]]:
        """Return all rows in use, as `dump` does, and leave the marks of what has changed."""
        record = self._dump_small()
        for table in self.tables.values():
            record |= table.dump_rows(np.arange(table.used))
        return record

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Take over what any of the dumps gave.

        Raises:
            ValueError: It is of a model with other arguments, and does not fit.
        """
        for table in self.tables.values():
            table.expect_fit(record)
        if "small.counters" in record:  # not in every part
            for name, array in self.small.items():
                array[...] = record.get(f"small.{name}", array)  # older states lack some
        for table in self.tables.values():
            table.load_rows(record)
        self.state.candidates.stamp[1] = 0
        self.mark_used()
