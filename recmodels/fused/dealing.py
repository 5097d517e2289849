"""Dealing users out anew: models with the items of one model and users of several.

All models must be alike, and know the same of items. Their rows of items and tags may have other numbers.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recmodels.fused.memory import Memory
from recmodels.fused.model import FusedModel
from recmodels.kernels.shared import CELLS, FREE_CELL, FREE_CELLS
from recmodels.storage.id_table import RESERVED


def take_items(into: FusedModel, source: FusedModel) -> None:
    """Take over all that a model knows of items, and none of its users.

    Args:
        into: A model that has learned nothing.
        source: A model with the same arguments.

    >>> from recmodels import Popularity
    >>> ours, theirs = Popularity(), Popularity()
    >>> theirs.learn_one("ann", "tea")
    >>> take_items(ours, theirs)
    >>> ours.top("bob", 1)[0][0], len(ours.memory.users)
    ('tea', 0)
    """
    memory, left_out = source.memory, ("users", "pairs")
    prefixes = tuple(f"{table.name}." for kind in left_out for table in memory.tables_of(kind))
    record = {name: array for name, array in memory.copy().items() if not name.startswith(prefixes)}
    counters = record["small.counters"] = record["small.counters"].copy()
    counters[[CELLS, FREE_CELL, FREE_CELLS]] = 0
    if "small.sent" in record and record["small.sent"].size:
        record["small.sent"] = np.full_like(record["small.sent"], np.nan)  # all begin with what they know
    into.memory.load(record)
    if into.memory.small["sent"].size:
        into.sharing.settle()
    into.memory.mark_changed()
    into.take_drift(source)


def take_users(into: FusedModel, source: FusedModel, users: Sequence[str]) -> None:
    """Take over users with their histories and factors.

    Args:
        into: A model that has the items (`take_items`), and none of these users.
        source: A model with the same arguments.
        users: Users that the source knows.

    Raises:
        ValueError: There are more users or pairs than the model may have.

    >>> from recmodels import Blend
    >>> ours, theirs = Blend(repeats="exclude"), Blend(repeats="exclude")
    >>> for item in ("tea", "jam"):
    ...     theirs.learn_one("ann", item)
    >>> take_items(ours, theirs)
    >>> take_users(ours, theirs, ["ann"])
    >>> ours.seen_by("ann") == theirs.seen_by("ann"), ours.top("ann"), ours.has_seen("bob", "tea")
    (True, [], False)
    """
    memory, theirs = into.memory, source.memory
    if len(memory.users) + len(users) + RESERVED > memory.users.capacity:
        raise ValueError(f"expected at most {memory.users.capacity - RESERVED:,} users in a shard. Raise max_users.")
    rows = np.array([theirs.users.row(user) for user in users], np.int64)
    new = np.array([memory.users.add(user) for user in users], np.int64)
    maps = {"items": _map(memory, theirs, "items"), "tags": _map(memory, theirs, "tags")}
    holds = {(table.name, field.key): field.marker.holds for table, field in theirs.columns}
    for table in theirs.tables_of("users"):
        if table.is_void:
            continue
        for column, array in table.arrays.items():
            if array.size:
                values = array[rows]
                kind = holds.get((table.name, column))
                memory.tables[table.name].arrays[column][new] = maps[kind][values] if kind else values
        memory.tables[table.name].dirty[new] = 1
    _take_histories(memory, theirs, rows, new, maps["items"])
    memory.mark_used()
    memory.mark_changed()
    memory.state.shared.candidates.epoch[1] = 0


def _map(memory: Memory, theirs: Memory, kind: str) -> NDArray[np.int32]:
    """Return the row in `memory` of each row in `theirs`. What is new there gets a row."""
    row_of = memory.item_row if kind == "items" else memory.tag_row
    known = memory.ids(kind).rows
    found = [0 if name is None else known.get(name) or row_of(name) for name in theirs.ids(kind).names]
    return np.array(found, np.int32)


def _take_histories(
    memory: Memory, theirs: Memory, rows: NDArray[np.int64], new: NDArray[np.int64], items: NDArray[np.int32]
) -> None:
    """Copy the cells of the users' histories, each user's one behind the other."""
    ours, source = memory.state.shared, theirs.state.shared
    who = np.flatnonzero(source.users.newest[rows] > 0)
    cell = source.users.newest[rows[who]].astype(np.int64)
    owners, cells = [], []
    while len(who):  # one step along all lists at once
        owners.append(who)
        cells.append(cell)
        following = source.history.next[cell].astype(np.int64)
        who, cell = who[following > 0], following[following > 0]
    ours.users.newest[new] = 0
    ours.users.spare[new] = 0
    if not owners:
        return
    owner, cell = np.concatenate(owners), np.concatenate(cells)
    order = np.argsort(owner, kind="stable")
    owner, cell = owner[order], cell[order]
    first = int(ours.counters[CELLS]) + RESERVED
    if first + len(cell) > len(ours.history.item):
        raise ValueError(f"expected at most {len(ours.history.item) - RESERVED:,} pairs in a shard. Raise max_pairs.")
    places = np.arange(first, first + len(cell))
    is_last = np.append(owner[1:] != owner[:-1], True)
    ours.history.item[places] = items[source.history.item[cell]]
    ours.history.amount[places] = source.history.amount[cell]
    ours.history.next[places] = np.where(is_last, 0, places + 1)
    ours.history.dirty[places] = 1
    begins = np.append(True, owner[1:] != owner[:-1])
    ours.users.newest[new[owner[begins]]] = places[begins]
    ours.counters[CELLS] += len(cell)
