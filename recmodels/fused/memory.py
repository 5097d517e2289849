"""Memory of a fused model: tables of bounded size, and the eviction of rows from a full table."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, cast
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from recmodels.fused.widening import widened
from recmodels.kernels import forgetting
from recmodels.kernels.history import BLOCK
from recmodels.kernels.layout import DIRTY, Argument, Column, Field, Rows, Scratch, Stored, fields, lengths, stored_size
from recmodels.kernels.members.slow import widths as slow_widths
from recmodels.kernels.shared import ANNOUNCED, CELLS, EVENTS, FREE_CELLS, ITEM_ROWS, TAG_ROWS
from recmodels.kernels.state import ALL_MEMBERS, COLUMNS, LEARNED_TOGETHER, MEMBERS, State, columns_of
from recmodels.kernels.state_pointer import Handle
from recmodels.kernels.user_context import GAPS, LENGTHS
from recmodels.storage.bounded_table import BoundedTable, oldest
from recmodels.storage.id_table import RESERVED, IdTable
from recmodels.storage.tables import PackedRows, Table, aligned_zeros, dump_changes, dump_part

JOURNAL: Final = 8_192
"""Number of events between two deltas (`recmodels.fused.sharing`)."""
ROW_NUMBERS: Final = 4
"""Numbers beside the factors of an item."""


class Memory:
    """The tables of a fused model with the ids of their rows, built from the layout `recmodels.kernels.state.State`.

    Args:
        arguments: The model's arguments by name: `max_users`, `max_items`, `max_tags`, `max_pairs`, and each length
            and `Argument` that a layout names.
        members: The names of the members that the model has.
        n_external: Number of columns behind those of `MEMBERS`: of the slow member, and of external members.

    Attributes:
        users, items, tags: Rows of the ids.
        unavailable: Unavailable items that have lost their row.
        learns_tags: Whether a member learns the tags of items.
        tables: Stored arrays with rows, by name.
        small: Stored arrays without rows, by name.
        columns: The columns of each table with their markers.
        stored: The marker of each array in `small`.
        handle: The state in the form that kernels take.
        before_items_go: Called before items lose their rows.
    """

    def __init__(self, arguments: Mapping[str, Any], members: Collection[str], n_external: int) -> None:
        self._arguments = arguments, members, n_external
        rows = {kind: int(arguments[f"max_{kind}"]) + RESERVED for kind in ("users", "items", "tags", "pairs")}
        self.users, self.items, self.tags = (IdTable(rows[kind]) for kind in ("users", "items", "tags"))
        self.tables: dict[str, Table] = {}
        self.small: dict[str, NDArray[Any]] = {}
        self.n_external = n_external
        self.columns: list[tuple[Table, Field]] = []
        self.stored: dict[str, Field] = {}
        self._rows: dict[str, Rows] = {}
        self._packed: dict[str, PackedRows] = {}
        used = [member for member in ALL_MEMBERS if member.name in members]
        self.learns_tags = any(member.describe is not None for member in used)
        flags = {
            "is_used": np.array([member in used for member in ALL_MEMBERS], np.uint8),
            "needs_shares": any(member.needs_shares for member in used),
        }
        widths = {"columns": COLUMNS + n_external, "contexts": LENGTHS + GAPS, "lengths": LENGTHS}
        widths["padded_columns"] = -(-widths["columns"] // 4) * 4
        slow = int(arguments["slow_width"]) if "slow" in members else 0
        widths |= slow_widths(slow)
        if arguments["keeps_journal"]:
            widths |= {"journal": JOURNAL, "journal_items": rows["items"], "sent_factors": int(arguments["n_factors"])}
            widths |= {"sent_row_numbers": ROW_NUMBERS, "sent_numbers": stored_size(LEARNED_TOGETHER, widths)}
            widths["heard"] = 2
        else:
            unused = ("journal", "journal_items", "heard", "sent_factors", "sent_row_numbers", "sent_numbers")
            widths |= dict.fromkeys(unused, 0)
        self.handle = Handle(cast(State, self._build(State, {**arguments, **rows, **widths, **flags})))
        self.before_items_go: Callable[[], None] = lambda: None
        self.unavailable = BoundedTable("unavailable", int(arguments["max_items"]), age="number", number=(np.int64, ()))
        self.tables[self.unavailable.name] = self.unavailable
        for member in MEMBERS:
            if member.name not in members:
                self.state.shared.candidates.inactive[columns_of(member.name)] = 1
        self._growing = [
            (table, rows.of, rows.once) for key, rows in self._rows.items() if not (table := self.tables[key]).is_void
        ]
        self.mark_used()

    def __reduce__(self) -> tuple[Callable[..., "Memory"], tuple[Any, ...]]:
        """Make a new memory with the same content. A copied array would not be in the copy's packed rows."""
        return _restored, (self._arguments, self.copy())

    def _build(self, layout: type, known: Mapping[str, Any], table: Table | None = None) -> tuple[Any, ...]:
        """Make the arrays of a layout, in the order of its fields."""
        first = {member.name: columns_of(member.name).start for member in ALL_MEMBERS}
        made: list[Any] = []
        for field in fields(layout):
            marker = field.marker
            if field.name == DIRTY:
                assert table is not None
                made.append(table.dirty)
            elif isinstance(marker, Rows):
                made.append(self._build(field.dtype, known, self._add_table(field, known)))
            elif isinstance(marker, Column):
                assert table is not None
                made.append(table.arrays[field.key])
            elif isinstance(marker, Stored):
                made.append(self._add_small(field, known))
            elif isinstance(marker, Scratch):
                made.append(aligned_zeros(lengths(marker.shape, known), field.dtype))
            elif isinstance(marker, Argument):
                made.append(
                    field.dtype(known[marker.name]) if field.dtype in (bool, int, float) else known[marker.name]
                )
            else:
                made.append(self._build(field.dtype, {**known, "column": first.get(field.name)}))
        return layout(*made)  # type: ignore[no-any-return]

    def _add_table(self, field: Field, known: Mapping[str, Any]) -> Table:
        marker = field.marker
        inside = [inner for inner in fields(field.dtype) if isinstance(inner.marker, Column)]
        columns = {inner.key: (inner.dtype, lengths(inner.marker.shape, known)) for inner in inside}
        ids = {"users": self.users, "items": self.items, "tags": self.tags}.get(marker.key)
        assert marker.key not in self.tables, f"two tables have the key {marker.key!r}"
        assert not any(inner.marker.is_packed and (inner.marker.holds or inner.marker.beside) for inner in inside)
        packed = {
            inner.key: self._packed_rows(marker.of, known).column(*columns[inner.key])
            for inner in inside
            if inner.marker.is_packed
        }
        table = self.tables[marker.key] = Table(marker.key, known[marker.of], ids, packed, **columns)
        self.columns += [(table, inner) for inner in inside]
        self._rows[marker.key] = marker
        return table

    def _packed_rows(self, of: str, known: Mapping[str, Any]) -> PackedRows:
        if of not in self._packed:
            self._packed[of] = PackedRows(known[of])
        return self._packed[of]

    def _add_small(self, field: Field, known: Mapping[str, Any]) -> NDArray[Any]:
        marker: Stored = field.marker
        array = aligned_zeros(lengths(marker.shape, known), field.dtype)
        array[...] = marker.first
        assert field.key not in self.small, f"two arrays have the key {field.key!r}"
        self.small[field.key], self.stored[field.key] = array, field
        return array

    @property
    def state(self) -> State:
        """The state for the kernels."""
        return self.handle.state

    def ids(self, kind: str) -> IdTable:
        """Return the table of ids of "users", "items" or "tags"."""
        return {"users": self.users, "items": self.items, "tags": self.tags}[kind]

    def mark_used(self) -> None:
        """Set the number of rows in use, for the tables and the kernels."""
        counters = self.state.shared.counters
        used = {"users": len(self.users.names), "items": len(self.items.names), "tags": len(self.tags.names)}
        used["pairs"] = int(counters[CELLS]) + RESERVED
        counters[ITEM_ROWS], counters[TAG_ROWS] = used["items"], used["tags"]
        for table, of, once in self._growing:  # each step comes here twice
            if not once or used[once] > RESERVED:  # otherwise it is empty, and nothing is saved
                table.used = used[of]

    def tables_of(self, kind: str) -> list[Table]:
        """Return the tables with a row for each of a kind: "users", "items", "tags" or "pairs"."""
        return [self.tables[key] for key, rows in self._rows.items() if rows.of == kind]

    def has_cells(self, wanted: int) -> bool:
        """Say whether the histories have room for `wanted` more pairs, whoever they are of."""
        counters, cells = self.state.shared.counters, len(self.state.shared.history.item)
        taken = int(counters[CELLS])
        if (
            taken + BLOCK <= cells // 2
        ):  # users may reserve all of the first half (`recmodels.kernels.history.new_cell`)
            taken = cells // 2
        return bool(cells - RESERVED - taken + counters[FREE_CELLS] >= wanted)

    def user_row(self, name: str) -> int:
        """Return the row of a user. A new user gets a row, if necessary that of the least recently used."""
        row = self.users.row(name)
        if row == 0:
            if self.users.is_full:
                self.forget_users(oldest(self.users, self.state.shared.users.last_used))
            row = self.users.add(name)
        return row

    def item_row(self, name: str) -> int:
        """Return the row of an item. A new item gets a row, if necessary that of the least recently used."""
        row = self.items.row(name)
        if row == 0:
            if self.items.is_full:
                self.forget_items(oldest(self.items, self.state.shared.items.last_used))
            row = self.items.add(name)
            if len(self.state.factorization.origin):
                self.state.factorization.origin[row] = number_of(name)
            if known := self.unavailable.row(name):
                self.unavailable.forget([known])
                self.state.shared.items.hidden[row] = 1
                self.state.shared.items.dirty[row] = 1
        return row

    def note_unavailable(self, name: str) -> None:
        """Keep it in mind that an item without a row is not available, at the cost of the oldest such if need be."""
        row = self.unavailable.row(name) or self.unavailable.add(name)
        number, dirty = self.unavailable.arrays["number"], self.unavailable.dirty
        number[0] += 1  # of all so far; row 0 belongs to no item
        number[row] = number[0]
        dirty[0] = dirty[row] = 1

    def tag_row(self, name: str) -> int:
        """Return the row of a tag. A new tag gets a row, if necessary that of the least recently used."""
        row = self.tags.row(name)
        if row == 0:
            if self.tags.is_full:
                self.forget_tags(oldest(self.tags, self.state.content.tags.last_used))
            row = self.tags.add(name)
        # Otherwise it would be evicted before its use. The tags of one item never fill the table.
        self.state.content.tags.last_used[row] = self.state.shared.counters[[EVENTS, ANNOUNCED]].sum() + 1
        return row

    def make_cells(self) -> None:
        """Make room for at least one more pair in the histories."""
        while not self.has_cells(1):  # evicted users may have no cells
            self.forget_users(oldest(self.users, self.state.shared.users.last_used))

    def _empty(self, kind: str, rows: Sequence[int]) -> None:
        for table in self.tables_of(kind):
            table.empty(np.asarray(rows, np.int64))

    def _drop(self, kind: str, gone: NDArray[np.uint8]) -> None:
        """Take items or tags out of every array that holds them."""
        uncounted = np.zeros(0, np.int32)
        for table, field in self.columns:
            if field.marker.holds == kind and table.arrays[field.key].size:
                own = [(inner.marker, table.arrays[inner.key]) for its, inner in self.columns if its is table]
                beside = [array[: table.used] for marker, array in own if marker.beside == field.name]
                counts = [array for marker, array in own if marker.counts == field.name] or [uncounted]
                held = table.arrays[field.key][: table.used]
                for array in beside[1:]:
                    forgetting.close_gaps(held.copy(), gone, array.view(np.uint8), uncounted, table.dirty)
                first = beside[0].view(np.uint8) if beside else np.zeros((table.used, 0), np.uint8)
                forgetting.close_gaps(held, gone, first, counts[0], table.dirty)
        for key, field in self.stored.items():
            if field.marker.holds == kind:
                array = np.atleast_2d(self.small[key])
                beside_none, dirty = np.zeros((len(array), 0), np.uint8), np.zeros(len(array), np.uint8)
                forgetting.close_gaps(array, gone, beside_none, uncounted, dirty)

    @staticmethod
    def _gone(ids: IdTable, rows: Sequence[int]) -> NDArray[np.uint8]:
        marks = np.zeros(len(ids.names), np.uint8)
        marks[rows] = 1
        return marks

    def forget_users(self, rows: Sequence[int]) -> None:
        """Empty the rows of users, and release their ids."""
        for row in rows:
            forgetting.forget_user(self.handle.address, row)
        self._empty("users", rows)
        self.users.release(rows)

    def forget_items(self, rows: Sequence[int]) -> None:
        """Empty the rows of items, remove the items from all other rows, and release their ids.

        The ids of unavailable items are kept. They stay unavailable if they come back.
        """
        self.before_items_go()
        for row in rows:
            if self.state.shared.items.hidden[row]:
                self.note_unavailable(str(self.items.names[row]))
        gone = self._gone(self.items, rows)
        forgetting.drop_items(self.handle.address, gone, len(self.users.names))
        self._drop("items", gone)
        self._empty("items", rows)
        self.items.release(rows)

    def forget_tags(self, rows: Sequence[int]) -> None:
        """Empty the rows of tags, remove the tags from items and users, and release their ids."""
        gone = self._gone(self.tags, rows)
        forgetting.drop_tags(self.handle.address, gone)
        self._drop("tags", gone)
        self._empty("tags", rows)
        self.tags.release(rows)

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return all rows in use, and clear their marks of change."""
        self.mark_changed()
        return self.dump_changes()

    def mark_changed(self) -> None:
        """Mark all rows in use as changed."""
        for table in self.tables.values():
            table.dirty[: table.used] = 1

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that changed since the last dump, and clear their marks of change."""
        return self._dump_small() | dump_changes(list(self.tables.values()))

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return about `size` bytes of the rows in use from `place` on, and the place after them, 0 at the end."""
        part, place = dump_part(list(self.tables.values()), place, size)
        return (part if place else part | self._dump_small()), place

    def _dump_small(self) -> dict[str, NDArray[Any]]:
        return {f"small.{name}": array.copy() for name, array in self.small.items() if array.size}

    def copy(self) -> dict[str, NDArray[Any]]:
        """Return all rows in use, as `dump` does, and keep the marks of change."""
        record = self._dump_small()
        for table in self.tables.values():
            record |= table.dump_rows(np.arange(table.used))
        return record

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind.

        Raises:
            ValueError: The dump is of a model with other arguments, and does not fit.
        """
        record = widened(record, self.state.factorization.user_vector.shape[0], self.state.shared.options.seed)
        for table in self.tables.values():
            table.expect_fit(record)
        saved = {name: self._fit(name, record[f"small.{name}"]) for name in self.small if f"small.{name}" in record}
        for name, array in saved.items():  # a part or an old state may lack some
            self.small[name][...] = array
        for table in self.tables.values():
            table.load_rows(record)
        self.state.shared.candidates.epoch[1] = 0
        self.mark_used()

    def _fit(self, name: str, saved: NDArray[Any]) -> NDArray[Any]:
        """Return a saved array in its present shape. Columns of later versions get their initial values."""
        array = self.small[name]
        if not array.size:
            return array  # this model keeps nothing there
        if self.stored[name].marker.shape[-2:] == ("columns", "columns") and saved.shape != array.shape:
            return np.zeros_like(array)  # of another version, or another number of external members: it begins anew
        if self.stored[name].marker.shape[-1] == "columns":
            known = saved.shape[-1] - self.n_external
            if saved.shape[:-1] == array.shape[:-1] and 0 < known < COLUMNS:
                array = array.copy()
                array[..., :known] = saved[..., :known]
                array[..., COLUMNS:] = saved[..., known:]
                return array
        if saved.shape != array.shape:
            raise ValueError(
                f"array {name}: expected the shape {array.shape}; got {saved.shape}; "
                "give the model the arguments that it had when the state was saved"
            )
        return saved


def number_of(item: str) -> int:
    """Return a number from an item's id, the same in every process.

    >>> number_of("tea")
    2391201714
    """
    return crc32(item.encode("utf-8", "surrogatepass"))


def _restored(arguments: tuple[Any, ...], record: Mapping[str, NDArray[Any]]) -> Memory:
    memory = Memory(*arguments)
    memory.load(record)
    memory.mark_changed()
    return memory
