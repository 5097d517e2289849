"""Consistency check of a fused model's tables: references are valid, and orders hold."""

import numpy as np
from numpy.typing import NDArray

from recmodels.fused.memory import Memory
from recmodels.fused.model import FusedModel
from recmodels.kernels.shared import CELLS, EVENTS, FREE_CELL, FREE_CELLS, ITEM_ROWS, TAG_ROWS
from recmodels.kernels.state import MEMBERS
from recmodels.storage.id_table import RESERVED, IdTable
from recmodels.storage.tables import Table


def expect_whole(model: FusedModel) -> None:
    """Raise AssertionError unless all tables of a model are consistent with each other."""
    memory = model.memory
    _expect_ids(memory.users, memory.tables["users"], model.max_users)
    _expect_ids(memory.items, memory.tables["items"], model.max_items)
    _expect_ids(memory.tags, memory.tables["tags"], model.max_tags)
    assert memory.state.shared.counters[ITEM_ROWS] == len(memory.items.names)
    assert memory.state.shared.counters[TAG_ROWS] == len(memory.tags.names)
    _expect_empty(memory)
    _expect_entries(memory)
    _expect_histories(memory, model.max_history)
    _expect_members(memory)
    _expect_finite(memory)


def _expect_ids(ids: IdTable, table: Table, most: int) -> None:
    names = ids.names
    assert table.used == len(names) <= most + RESERVED, f"{table.name}: {len(names)} rows of {most}"
    assert names[0] is None
    assert ids.rows == {name: row for row, name in enumerate(names) if name is not None}, f"{table.name}: ids and rows"
    free = {row for row in range(RESERVED, len(names)) if names[row] is None}
    assert free == {row for row in ids._free if names[row] is None}, f"{table.name}: rows that nobody has are lost"


def _live(ids: IdTable) -> set[int]:
    return set(ids.rows.values())


def _expect_empty(memory: Memory) -> None:
    """Free rows, reserved rows and unused rows are empty."""
    for kind in ("users", "items", "tags"):
        live = _live(memory.ids(kind))
        for table in memory.tables_of(kind):
            empty = [row for row in range(min(table.used + 3, table.capacity)) if row not in live]
            for column, array in table.arrays.items():
                assert not array[empty].any(), f"{table.name}.{column}: a row that nobody has holds something"


def _expect_entries(memory: Memory) -> None:
    """Entries refer to rows in use, without gaps, and the columns beside them end where they end."""
    for table, field in memory.columns:
        if field.marker.holds:
            known, name = _live(memory.ids(field.marker.holds)), f"{table.name}.{field.key}"
            beside = [other.key for its, other in memory.columns if its is table and other.marker.beside == field.name]
            for row in range(table.used):
                count = _expect_filled(table.arrays[field.key][row], known, name, field.marker.can_repeat)
                for other in beside:
                    assert not table.arrays[other][row, count:].any(), f"{table.name}.{other}: more than {name}"
    for key, field in memory.stored.items():
        if field.marker.holds:
            for row in np.atleast_2d(memory.small[key]):
                _expect_filled(row, _live(memory.ids(field.marker.holds)), key)


def _expect_filled(row: NDArray[np.int32], known: set[int], name: str, can_repeat: bool = False) -> int:
    """Return the number of entries of a row, and check that they are known, without gap or repeat."""
    held = [value for value in row.tolist() if value]
    assert row[: len(held)].tolist() == held, f"{name}: a row has a gap"
    assert can_repeat or len(set(held)) == len(held), f"{name}: a row has a repeat"
    assert set(held) <= known, f"{name}: a row refers to what is gone"
    return len(held)


def _expect_histories(memory: Memory, longest: int) -> None:
    """Lists have no cycles and share no cell. With the free list they are all cells in use."""
    history, users, counters = memory.state.shared.history, memory.state.shared.users, memory.state.shared.counters
    items, owner = _live(memory.items), {0: "nobody"}
    for user, row in memory.users.rows.items():
        cell, seen = int(users.newest[row]), set()
        while cell:
            assert cell not in owner, f"the cell {cell} of {user!r} is also of {owner[cell]!r}"
            owner[cell] = user
            item = int(history.item[cell])
            assert item in items, f"the history of {user!r} refers to an item that is gone"
            assert item not in seen, f"the history of {user!r} holds an item twice"
            assert history.amount[cell] >= 0.0
            seen.add(item)
            cell = int(history.next[cell])
        assert len(seen) <= longest
        cell = int(users.spare[row])
        while cell:
            assert cell not in owner, f"the spare cell {cell} of {user!r} is also of {owner[cell]!r}"
            assert history.item[cell] == 0
            owner[cell] = user
            cell = int(history.next[cell])
    cell, free = int(counters[FREE_CELL]), 0
    while cell:
        assert cell not in owner, f"the free cell {cell} is also of {owner[cell]!r}"
        assert history.item[cell] == 0
        owner[cell] = "the free list"
        free += 1
        cell = int(history.next[cell])
    assert free == counters[FREE_CELLS]
    assert set(owner) == set(range(counters[CELLS] + 1)), "cells are lost"


def _expect_members(memory: Memory) -> None:
    """Each member's own check holds."""
    shared = memory.state.shared
    live = {kind: _live(memory.ids(kind)) for kind in ("users", "items", "tags")}
    assert all(shared.users.last_used[row] <= shared.counters[EVENTS] for row in live["users"])
    assert all(0.0 <= shared.items.newness[row] <= 1.0 for row in live["items"])
    for member in MEMBERS:
        if member.check is not None:
            member.check(getattr(memory.state, member.name), shared, live)


def _expect_finite(memory: Memory) -> None:
    arrays = {f"{name}.{column}": array for name, t in memory.tables.items() for column, array in t.arrays.items()}
    for name, array in {**arrays, **memory.small}.items():
        assert np.isfinite(array).all(), f"{name} holds what is no number"
