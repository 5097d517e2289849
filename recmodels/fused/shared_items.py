"""Shared items: all that shards know of items together, to be taken over by a shard that has missed deltas.

In every shard the state of items is the same sum of all deltas. So a shard can take over the state of another one as of
certain deltas, and go on from there. Three things are its own, and stay:

- the users. They keep their rows, and so do the items that they hold.
- deltas of its own that the other shard had not learned. They are applied again.
- what it has learned and sent nobody yet: the differences between its factors and those that others know.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.fused.memory import Memory
from recmodels.fused.sharing import Sharing
from recmodels.kernels.shared import ANNOUNCED, EVENTS, TAGGED
from recmodels.storage.id_table import RESERVED
from recmodels.storage.tables import Table

KINDS: Final = ("items", "tags")
"""Kinds of rows that shards share."""
SENT: Final = "sent_factors"
"""The table of factors as others know them. It is not part of a record: there, the factors are these."""
COUNTED: Final = (EVENTS, ANNOUNCED, TAGGED)
"""Counters that are of all shards."""
BESIDE: Final = ("bias", "step_bias", "step_out", "step_history")
"""Names in the store of the numbers beside the factors, in the order of `Sharing.beside`."""
BY_ITEM: Final = ("top", "size", "clock", "newest", "worth")
"""Arrays of items that are no tables."""
NAMES: Final = ("counters", "sent", *BY_ITEM)


def dump_items(memory: Memory) -> dict[str, NDArray[Any]]:
    """Return what all shards know of items, as of the deltas that were taken and applied.

    Nothing may be noted and not taken. Then the record is a sum of deltas alone, and no part of it is the shard's own.
    """
    record = {f"small.{name}": memory.small[name].copy() for name in NAMES}
    for table in _tables(memory):
        record |= table.dump_rows(np.arange(table.used))
    used, sent = slice(0, memory.tables["item_factors"].used), memory.state.factorization.sent
    record["item_factors.out"], record["item_factors.history"] = sent.out[used].copy(), sent.history[used].copy()
    for place, column in enumerate(BESIDE):
        record[f"item_factors.{column}"] = sent.numbers[used, place].copy()
    return record


def load_items(memory: Memory, sharing: Sharing, twin: Memory, deltas: Sequence[bytes]) -> None:
    """Replace what is known of items by a record of another shard. Users stay as they are.

    Args:
        memory: Of a model that has noted nothing since its last delta.
        sharing: What this model notes.
        twin: A memory with the same arguments into which the record was loaded (`load_twin`).
        deltas: Those of this model that the record does not have. They are applied to it.
    """
    sharing.settle()
    own = _Own(memory, sharing)
    maps = {kind: _rows_for(memory, twin, kind) for kind in KINDS}
    was_hidden = [memory.items.names[row] for row in np.flatnonzero(memory.state.shared.items.hidden)]
    for kind in KINDS:
        for table in memory.tables_of(kind):
            if not table.is_void:
                table.empty(np.arange(len(memory.ids(kind).names)))
    holds = {(table.name, field.key): field.marker.holds for table, field in twin.columns}
    for kind in KINDS:
        for table in (table for table in twin.tables_of(kind) if not table.is_void):
            into, used = memory.tables[table.name], slice(RESERVED, table.used)
            rows = maps[kind][used]
            for column, array in table.arrays.items():
                held = holds.get((table.name, column))
                into.arrays[column][rows] = maps[held][array[used]] if held else array[used]
    for name in BY_ITEM:
        is_held = twin.stored[name].marker.holds
        memory.small[name][...] = maps["items"][twin.small[name]] if is_held else twin.small[name]
    memory.small["counters"][list(COUNTED)] = twin.small["counters"][list(COUNTED)]
    _take_unavailable(memory, twin)
    memory.mark_used()
    last_used = memory.state.shared.users.last_used
    np.minimum(last_used, memory.small["counters"][EVENTS], out=last_used, where=last_used > 0)
    sharing.begin_with(twin.small["sent"])
    memory.state.shared.candidates.epoch[1] = 0
    for delta in deltas:
        sharing.apply(delta)
    own.add_again(memory, sharing)
    sharing.note_withdrawn(set(_hidden(memory)) - set(was_hidden))
    for kind in KINDS:
        for table in memory.tables_of(kind):
            table.dirty[: table.used] = 1


class _Own:
    """What a shard has learned and sent nobody yet. Most of it is too small to be sent."""

    def __init__(self, memory: Memory, sharing: Sharing) -> None:
        used = slice(0, len(memory.items.names))
        factors, sent = memory.state.factorization.items, memory.state.factorization.sent
        self.names = list(memory.items.names)
        self.out = factors.out[used] - sent.out[used]
        self.history = factors.history[used] - sent.history[used]
        self.numbers = [array[used] - sent.numbers[used, k] for k, (_, array) in enumerate(sharing.beside())]
        self.weights = sharing.unsent_weights()

    def add_again(self, memory: Memory, sharing: Sharing) -> None:
        names, known = memory.items.names, memory.state.shared.items.first_seen > 0
        rows = [row for row, name in enumerate(self.names) if name is not None and known[row] and names[row] == name]
        factors = memory.state.factorization.items
        factors.out[rows] += self.out[rows]
        factors.history[rows] += self.history[rows]
        for (_, array), own in zip(sharing.beside(), self.numbers, strict=True):
            array[rows] += own[rows]
        sharing.add_to_weights(self.weights)


def _tables(memory: Memory) -> list[Table]:
    shared = [table for kind in KINDS for table in memory.tables_of(kind) if table.name != SENT and not table.is_void]
    return [*shared, memory.unavailable]


def _hidden(memory: Memory) -> list[str]:
    hidden = np.flatnonzero(memory.state.shared.items.hidden)
    return [name for row in hidden.tolist() if (name := memory.items.names[row]) is not None]


def _rows_for(memory: Memory, twin: Memory, kind: str) -> NDArray[np.int32]:
    """Return the row in `memory` of each row in the twin. What is new here gets a row."""
    ids, theirs = memory.ids(kind), twin.ids(kind)
    missing = [name for name in theirs.names if name is not None and name not in ids.rows]
    lacking = len(ids) + RESERVED + len(missing) - ids.capacity
    if lacking > 0:  # items that the other shard has dropped make room
        age = memory.state.shared.items.last_used if kind == "items" else memory.state.content.tags.last_used
        unknown = [row for name, row in ids.rows.items() if name not in theirs.rows]
        gone = sorted(unknown, key=lambda row: int(age[row]))[:lacking]
        (memory.forget_items if kind == "items" else memory.forget_tags)(gone)
    row_of = memory.item_row if kind == "items" else memory.tag_row
    return np.array([0 if name is None else ids.row(name) or row_of(name) for name in theirs.names], np.int32)


def _take_unavailable(memory: Memory, twin: Memory) -> None:
    ours, theirs = memory.unavailable, twin.unavailable
    ours.forget(list(ours.ids.rows.values()))
    ours.arrays["number"][0] = 0
    ours.dirty[0] = 1
    rows = theirs.ids.rows
    for name in sorted(rows, key=lambda name: int(theirs.arrays["number"][rows[name]])):
        memory.note_unavailable(name)


def load_twin(twin: Memory, record: Mapping[str, NDArray[Any]]) -> None:
    """Load a record of `dump_items` into an empty memory.

    Raises:
        ValueError: It is of a model with other arguments, or is none.
    """
    missing = [name for name in NAMES if f"small.{name}" not in record]
    if missing:
        raise ValueError(f"expected the arrays {', '.join(NAMES)} of a shard; {', '.join(missing)} is missing")
    twin.load(record)
