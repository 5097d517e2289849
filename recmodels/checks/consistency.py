"""Whether the tables of a fused model are whole: every reference leads somewhere, every order holds."""

import numpy as np
from numpy.typing import NDArray

from recmodels.fused.memory import Memory
from recmodels.fused.model import FusedModel
from recmodels.kernels.popularity import is_touched
from recmodels.kernels.state import CELLS, EVENTS, FREE_CELL, FREE_CELLS, ITEM_ROWS, TAG_ROWS, TAGGED
from recmodels.storage.id_table import RESERVED, IdTable
from recmodels.storage.tables import Table


def expect_whole(model: FusedModel) -> None:
    """Raise AssertionError unless all tables of a model are consistent with each other."""
    memory = model.memory
    _expect_ids(memory.users, memory.tables["users"], model.max_users)
    _expect_ids(memory.items, memory.tables["items"], model.max_items)
    _expect_ids(memory.tags, memory.tables["tags"], model.max_tags)
    assert memory.state.counters[ITEM_ROWS] == len(memory.items.names)
    assert memory.state.counters[TAG_ROWS] == len(memory.tags.names)
    _expect_empty(memory)
    _expect_histories(memory, model.max_history)
    _expect_popularity(memory)
    _expect_covisitation(memory)
    _expect_recents(memory)
    _expect_tags(memory)
    _expect_interests(memory)
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
    for name, table in memory.tables.items():
        if name == "history":
            continue
        ids = memory.users if name in ("users", "user_factors", "interests") else memory.items
        ids = memory.tags if name == "tags" else ids
        live = _live(ids)
        empty = [row for row in range(min(table.used + 3, table.capacity)) if row not in live]
        for column, array in table.arrays.items():
            assert not array[empty].any(), f"{name}.{column}: a row that nobody has holds something"


def _expect_histories(memory: Memory, longest: int) -> None:
    """Lists are without cycles and share no cell, and together with the free list they are all cells given out."""
    history, users, counters = memory.state.history, memory.state.users, memory.state.counters
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
    cell, free = int(counters[FREE_CELL]), 0
    while cell:
        assert cell not in owner, f"the free cell {cell} is also of {owner[cell]!r}"
        assert history.item[cell] == 0
        owner[cell] = "the free list"
        free += 1
        cell = int(history.next[cell])
    assert free == counters[FREE_CELLS]
    assert set(owner) == set(range(counters[CELLS] + 1)), "cells are lost"


def _expect_popularity(memory: Memory) -> None:
    """The top lists are sorted, agree with the ranks, and are what sorting all items would give."""
    popularity, items = memory.state.popularity, memory.state.items
    for h in range(popularity.top.shape[0]):
        size = int(popularity.size[h])
        top = popularity.top[h, :size].tolist()
        assert not popularity.top[h, size:].any()
        assert [int(popularity.rank[row, h]) for row in top] == list(range(1, size + 1))
        assert np.count_nonzero(popularity.rank[:, h]) == size, "an item that is not in the list has a rank in it"
        assert set(top) <= _live(memory.items)
        touched = [row for row in _live(memory.items) if is_touched(items, row)]
        order = sorted(touched, key=lambda row: (-popularity.level[row, h], items.first_seen[row]))
        assert top == [row for row in order if row in set(top)], f"the list of half-life {h} is not in order"
        shown = [row for row in order if not items.hidden[row]]
        shown_top = [row for row in top if not items.hidden[row]]
        assert shown_top == shown[: len(shown_top)], f"the list of half-life {h} lacks an item"
        assert size == popularity.top.shape[1] or len(shown_top) == len(shown), f"half-life {h} has room, and lacks one"


def _expect_covisitation(memory: Memory) -> None:
    covisitation, live = memory.state.covisitation, _live(memory.items)
    for row in live:
        size = int(covisitation.size[row])
        followers = covisitation.item[row, :size].tolist()
        assert set(followers) <= live, f"row {row} refers to an item that is gone"
        assert row not in followers
        assert len(set(followers)) == size, f"row {row} holds a follower twice"
        assert (covisitation.weight[row, :size] > 0.0).all()
        assert not covisitation.item[row, size:].any()
        assert not covisitation.weight[row, size:].any()
        assert covisitation.weight[row].sum() <= covisitation.total[row] * 1.001


def _expect_recents(memory: Memory) -> None:
    users, live = memory.state.users, _live(memory.items)
    for user, row in memory.users.rows.items():
        recent = users.recent[row].tolist()
        filled = [item for item in recent if item]
        assert recent[: len(filled)] == filled, f"the recent items of {user!r} have a gap"
        assert set(filled) <= live, f"the recent items of {user!r} refer to an item that is gone"
        assert users.last_used[row] <= memory.state.counters[EVENTS]


def _expect_tags(memory: Memory) -> None:
    """Items, and the rows of tags that hold them, agree."""
    content, live, tags = memory.state.content, _live(memory.items), _live(memory.tags)
    own = {row: _filled(content.items.tag[row], tags, "an item's tags") for row in live}
    assert memory.state.counters[TAGGED] == sum(map(bool, own.values()))
    for tag in tags:
        carriers = {row for row, carried in own.items() if tag in carried}
        assert content.tags.carriers[tag] == len(carriers)
        _filled(content.tags.newest[tag], carriers, "the new items of a tag")
        popular = _filled(content.tags.popular[tag], carriers, "the popular items of a tag")
        assert not content.tags.level[tag, len(popular) :].any()
    _filled(content.newest, live, "the new items")
    assert not content.wish.any()
    assert all(0.0 <= memory.state.items.newness[row] <= 1.0 for row in live)


def _expect_interests(memory: Memory) -> None:
    interests, tags = memory.state.content.users, _live(memory.tags)
    for row in _live(memory.users):
        wanted = _filled(interests.tag[row], tags, "a user's tags")
        assert (interests.weight[row, : len(wanted)] > 0.0).all()
        assert not interests.weight[row, len(wanted) :].any()


def _filled(row: NDArray[np.int32], known: set[int], what: str) -> list[int]:
    """Return the content of a row, and check that it has no gaps, repeats or unknown entries."""
    held = [value for value in row.tolist() if value]
    assert row[: len(held)].tolist() == held, f"{what} have a gap"
    assert len(set(held)) == len(held), f"{what} have a repeat"
    assert set(held) <= known, f"{what} refer to what is gone, or not theirs"
    return held


def _expect_finite(memory: Memory) -> None:
    arrays = {f"{name}.{column}": array for name, t in memory.tables.items() for column, array in t.arrays.items()}
    for name, array in {**arrays, **memory.small}.items():
        assert np.isfinite(array).all(), f"{name} holds what is no number"
