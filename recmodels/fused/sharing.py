"""Sharing: what a fused model learns of items goes to the same model in other processes, as deltas.

Each shard has users of its own. What is known of items is in every shard. `take` returns what this shard has learned of
items since the last time, and `apply` adds what another shard has learned:

- *Interactions* are counted as if they had been seen here: an item, its reward, its time, and the recent items that it
  found. Popularity, co-visitation in both directions, the popularity of tags, and recency follow from them. No state of
  the user is needed.
- *Factors* of items, the weights, the reranker and the calibration go as differences. Those of all shards are summed,
  and those of weights by a share. They are rounded to 8 bits, and only the largest differences of rows are sent. What
  is left out is not lost: a model remembers what the others know of it, and sends the rest once it is large enough.
- *Item events* and *erasures* go as they are.

Deltas of different shards can be applied in any order. Each is applied once: the caller sees to that.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.fused.delta_format import FIRST, Delta, Received, RowChanges, cut, encode, receive, refuse
from recmodels.fused.item_events import set_item
from recmodels.fused.known_ids import KnownIds
from recmodels.fused.memory import JOURNAL, Memory, number_of
from recmodels.fused.weight_bounds import bounds_of, is_sum_of_squares
from recmodels.kernels import delta_learning, delta_reading, delta_taking
from recmodels.kernels.delta_bytes import FEW, ITEM
from recmodels.kernels.journal import INTERACTIONS, MOVED, OWN_EVENTS
from recmodels.kernels.layout import Stored, fields
from recmodels.kernels.shared import EVENTS
from recmodels.kernels.state import LEARNED_TOGETHER
from recmodels.kernels.user_context import GAPS, LENGTHS
from recmodels.storage.id_table import RESERVED

ROWS_PER_EVENT: Final = 10
"""Number of rows of factors that a delta has for each of its events."""
SMALLEST_CHANGE: Final = 1e-6
"""Sum of squared differences below which a row is not sent."""
WEIGHT_SHARE: Final = 0.25
"""Share of each change of the weights that all shards take over. They are few and move fast, so whole changes of all
shards together would overshoot. Factors are many and slow: their changes are taken over whole."""
STRANGERS: Final = (0, LENGTHS)
"""Contexts of a user without history. Both learn the same events, and so overshoot the most. Shards take the mean."""

WEIGHTS: Final = tuple(
    field.key for layout in LEARNED_TOGETHER for field in fields(layout) if isinstance(field.marker, Stored)
)
"""Names in the store of the arrays that all shards learn together."""


class Sharing:
    """What a model notes for other shards.

    Args:
        memory: The model's memory, made for sharing.
        model: A number for the model and its arguments.
        shards: Number of shards.
    """

    def __init__(self, memory: Memory, model: int, shards: int) -> None:
        self.memory = memory
        self.model = model
        self.is_settled = False
        """Whether the numbers of items are known, and what others know of this model. A load unsettles it."""
        self._item_events: list[tuple[int, str, list[str], bool | None]] = []
        self._erased: list[str] = []
        self._queued: list[bytes] = []
        """Deltas that were made because items lost their rows."""
        self._queued_events = 0
        self._withdrawn: list[str] = []
        memory.before_items_go = self._queue
        self._known_ids = KnownIds(memory.items)
        factors, recent = memory.state.factorization.items.out, memory.state.shared.journal.recent
        self._lengths = factors.shape[1], len(memory.state.shared.journal.sent), len(WEIGHTS), recent.shape[1]
        self._place = np.zeros(len(memory.state.shared.items.hidden), np.int32)
        """[items] scratch: the place of an item among the ids of a delta."""
        arrays = [memory.small[name] for name in WEIGHTS]
        self._weight_arrays = [array.reshape(-1) for array in arrays]
        self._bounds = np.cumsum([0, *(array.size for array in arrays)])
        self._slices = [slice(*pair) for pair in pairwise(self._bounds.tolist())]
        kept = [1.0 if is_sum_of_squares(name) else WEIGHT_SHARE for name in WEIGHTS]
        journal = memory.state.shared.journal
        journal.share[:] = np.repeat(kept, np.diff(self._bounds))
        by_context = journal.share[self._slices[WEIGHTS.index("weight")]].reshape(LENGTHS + GAPS, -1)
        by_context[list(STRANGERS)] = min(WEIGHT_SHARE, 1.0 / shards)
        bounds = [bounds_of(name, array.shape) for name, array in zip(WEIGHTS, arrays, strict=True)]
        journal.least[:], journal.most[:] = (np.concatenate([pair[k] for pair in bounds]) for k in range(2))

    @property
    def room(self) -> int:
        """Number of events that can still be noted."""
        noted = int(self.memory.state.shared.journal.size[OWN_EVENTS])
        return JOURNAL - self._queued_events - noted - len(self._item_events) - len(self._erased)

    @property
    def noted(self) -> int:
        """Number of events since the last delta."""
        return JOURNAL - self.room

    def expect_room(self, events: int) -> None:
        """Raise ValueError unless so many events can still be noted."""
        if events > self.room:
            raise ValueError(
                f"expected at most {JOURNAL:,} events between two deltas; got {JOURNAL - self.room + events:,}. "
                "Call take_delta more often"
            )

    def note_item(self, item: str, tags: Sequence[str], available: bool | None) -> None:
        """Note an item event."""
        before = int(self.memory.state.shared.journal.size[INTERACTIONS])
        self._item_events.append((before, item, list(tags), available))

    def take_withdrawn(self) -> list[str]:
        """Return the items that other shards have made unavailable since the last call."""
        withdrawn, self._withdrawn = self._withdrawn, []
        return withdrawn

    def note_withdrawn(self, items: Collection[str]) -> None:
        """Note items that other shards have made unavailable."""
        self._withdrawn += sorted(items)

    def note_erased(self, user: str) -> None:
        """Note the erasure of a user."""
        self._erased.append(user)

    def settle(self) -> None:
        """Learn the numbers of the items. A model that has not shared before begins with what it knows."""
        if self.is_settled:
            return
        state, memory = self.memory.state, self.memory
        origin = state.factorization.origin
        for name, row in memory.items.rows.items():
            origin[row] = number_of(name)
        if np.isnan(state.shared.journal.sent[0]):
            self.begin_with(self._weights())
        self.is_settled = True

    def begin_with(self, weights: NDArray[np.float64]) -> None:
        """Note that the others know the factors of this model as they are, and these weights. The model takes them."""
        factors, sent = self.memory.state.factorization.items, self.memory.state.factorization.sent
        used = slice(RESERVED, len(self.memory.items.names))
        sent.out[used], sent.history[used] = factors.out[used], factors.history[used]
        for place, (_, beside) in enumerate(self.beside()):
            sent.numbers[used, place] = beside[used]
        sent.dirty[used] = 1
        self.memory.state.shared.journal.sent[:] = weights
        self._set_weights(weights)

    def unsent_weights(self) -> NDArray[np.float64]:
        """Return by how much the weights differ from those that the others know."""
        return self._weights() - self.memory.state.shared.journal.sent

    def add_to_weights(self, changes: NDArray[np.float64]) -> None:
        """Add changes that the others do not know."""
        journal = self.memory.state.shared.journal
        self._set_weights(np.clip(self._weights() + changes, journal.least, journal.most))

    def scale_sent(self, name: str, factor: float) -> None:
        """Note that a sum of squares was scaled here. That is no news for the others."""
        k = WEIGHTS.index(name)
        self.memory.state.shared.journal.sent[self._bounds[k] : self._bounds[k + 1]] *= factor

    def take(self) -> bytes:
        """Return what was learned since the last time, and forget that it is new. Empty if there is nothing."""
        self._queue()
        taken = b"".join(self._queued)
        self._queued, self._queued_events = [], 0
        return taken

    def _queue(self) -> None:
        """Make a delta of what is noted, while all items have their rows."""
        self._queued_events = JOURNAL - self.room
        if delta := self._delta():
            self._queued.append(delta)

    def _delta(self) -> bytes:
        self.settle()
        journal = self.memory.state.shared.journal
        n, events, moved = journal.size.tolist()
        if not (events or self._item_events or self._erased):
            return b""
        recent = journal.recent[:n]
        is_there = recent > 0
        rows = dict(zip(KINDS, self._chosen(events), strict=True))
        items = [journal.item[:n], recent[is_there], *rows.values()]
        places, used = self._places(items)
        known = self.memory.items.names
        steps, scales = self._take_weights()
        delta = Delta(
            events=events,
            ids=[known[row] or "" for row in used.tolist()],
            item=places[0],
            number=journal.number[:n],
            reward=journal.reward[:n],
            time=journal.time[:n],
            size=is_there.sum(axis=1),
            recent=places[1],
            rows={
                kind: self._take_rows(kind, changed, place)
                for (kind, changed), place in zip(rows.items(), places[2:], strict=True)
            },
            weights=steps,
            scales=scales,
            item_events=self._item_events,
            erased=self._erased,
        )
        journal.is_moved[journal.moved[:moved]] = 0
        journal.size[:] = 0
        self._item_events, self._erased = [], []
        return encode(delta, self.model)

    def _chosen(self, events: int) -> list[NDArray[np.int32]]:
        """Return the rows of `out` and of `history` that have moved the most."""
        state = self.memory.state
        factors, sent, journal = state.factorization.items, state.factorization.sent, state.shared.journal
        moved = journal.moved[: journal.size[MOVED]]
        moved = moved[state.shared.items.first_seen[moved] > 0]
        squares = np.zeros((2, len(moved)), np.float32)
        delta_taking.distances(factors.out, sent.out, moved, squares[0])
        delta_taking.distances(factors.history, sent.history, moved, squares[1])
        most, least = ROWS_PER_EVENT * events, SMALLEST_CHANGE
        if squares.size > most:
            least = max(least, float(np.partition(squares.ravel(), -most)[-most]))
        return [np.sort(moved[squares[kind] >= least]) for kind in range(2)]

    def _places(self, items: Sequence[NDArray[np.int32]]) -> tuple[list[NDArray[np.int32]], NDArray[np.int32]]:
        """Return the places of items among all that are named, and these: each once, in no order."""
        every = np.concatenate(items)
        order = np.arange(len(every), dtype=np.int32)
        self._place[every] = order
        used = every[self._place[every] == order]
        self._place[used] = order[: len(used)]
        return [self._place[some] for some in items], used

    def beside(self) -> list[tuple[str, NDArray[np.float32]]]:
        """Return the numbers beside the factors, each with the kind of row that it goes with."""
        items = self.memory.state.factorization.items
        return [
            ("out", items.bias),
            ("out", items.bias_squares),
            ("out", items.out_squares),
            ("history", items.history_squares),
        ]

    def _take_rows(self, kind: str, rows: NDArray[np.int32], places: NDArray[np.int32]) -> RowChanges:
        factors, sent = self.memory.state.factorization.items, self.memory.state.factorization.sent
        scales = np.zeros(len(rows), np.float32)
        steps = np.zeros((len(rows), factors.out.shape[1]), np.int8)
        delta_taking.take(getattr(factors, kind), getattr(sent, kind), rows, scales, steps)
        columns = [(k, array) for k, (of, array) in enumerate(self.beside()) if of == kind]
        numbers = np.zeros((len(rows), len(columns)), np.uint16)
        for place, (k, array) in enumerate(columns):
            delta_taking.take_beside(array, sent.numbers, k, rows, place, numbers)
        sent.dirty[rows] = 1
        return RowChanges(places, scales, steps, numbers)

    def _weights(self) -> NDArray[np.float64]:
        """Return all numbers that the shards learn together, one array behind the other."""
        return np.concatenate(self._weight_arrays, dtype=np.float64)

    def _take_weights(self) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        steps, scales = np.zeros(self._bounds[-1], np.int8), np.zeros(len(WEIGHTS), np.float32)
        delta_taking.take_weights(self.memory.handle.address, scales, steps)
        return steps, scales

    def _set_weights(self, values: NDArray[np.float64]) -> None:
        for array, place in zip(self._weight_arrays, self._slices, strict=True):
            array[:] = values[place]

    def apply(self, data: bytes) -> int:
        """Add what another shard has learned, and return the number of its interactions.

        Raises:
            DeltaError: The bytes are no delta of this model. Then nothing is changed.
        """
        self.settle()
        found = self.expect_delta(data)
        for delta in found:
            self._apply(delta)
        return sum(delta.n for delta in found)

    def expect_delta(self, data: bytes) -> list[Received]:
        """Return the deltas in bytes.

        Raises:
            DeltaError: The bytes are no delta of this model.
        """
        found = [receive(part, self.model) for part in cut(data)]
        for delta in found:
            self._find(delta)
            delta.read_others()
        return found

    def _find(self, delta: Received) -> None:
        """Find the rows of a delta's items, and check the delta.

        Raises:
            DeltaError: It is no delta of this model.
        """
        items, known = self.memory.items, self._known_ids
        known.follow()
        missing = delta_reading.read(
            delta.data, FIRST, delta.starts, *self._lengths, known.hashes, known.rows, delta.hashes, delta.rows
        )
        if missing < 0:
            refuse(f"its content does not fit together: expected {delta_reading.FAULTS[-missing - 1]}")
        if missing:
            names, lacking = delta.expect_names(), np.flatnonzero(delta.rows == 0)
            delta.rows[lacking] = [items.row(names[k]) for k in lacking.tolist()]
            if delta.is_plain:
                known.add(delta.hashes[lacking], delta.rows[lacking])
            missing = int(np.count_nonzero(delta.rows[lacking] == 0))
        delta.missing, delta.found_at = missing, (items.changes, len(items))

    def _apply(self, delta: Received) -> None:
        memory, state = self.memory, self.memory.state
        state.shared.candidates.epoch[1] = 0
        base = int(state.shared.counters[EVENTS])
        done = 0
        for before, item, tags, available in delta.item_events:
            self._learn(delta, base, done, before)
            done = max(done, before)
            set_item(memory, item, tags, available)
            if available is False:
                self._withdrawn.append(item)
        self._learn(delta, base, done, delta.n, is_last=True)
        for user in delta.erased:
            if row := memory.users.row(user):
                memory.forget_users([row])

    def _learn(self, delta: Received, base: int, start: int, stop: int, is_last: bool = False) -> None:
        """Count the interactions from `start` to `stop` - 1, as many at once as have room for their items."""
        address, items = self.memory.handle.address, self.memory.items
        while True:
            if delta.found_at != (items.changes, len(items)):
                self._find(delta)
            upto = self._make_rows(delta, start, stop) if delta.missing and start < stop else stop
            delta_learning.learn(
                address, base, delta.data, delta.starts, delta.rows, start, upto, is_last and upto == stop
            )
            if upto >= stop:
                return
            start = upto

    def _make_rows(self, delta: Received, start: int, stop: int) -> int:
        """Give rows to new items of interactions from `start` on. Return the first one that must wait for room."""
        memory, names = self.memory, delta.expect_names()
        places = np.frombuffer(delta.section(ITEM), "<u2" if len(names) < FEW else "<u4")
        of_new = start + np.flatnonzero(delta.rows[places[start:stop]] == 0)
        for event in of_new.tolist():
            place = int(places[event])
            if delta.rows[place] == 0 and memory.items.is_full:
                if event > start:
                    return event  # room is made after the interactions before are counted
                memory.item_row(names[place])  # other items may lose their rows
                self._find(delta)
                return event + 1
            if delta.rows[place] == 0:
                delta.rows[place] = memory.item_row(names[place])
        if len(of_new):
            memory.mark_used()
        return stop

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return what is noted and not taken yet."""
        journal = self.memory.state.shared.journal
        n = int(journal.size[INTERACTIONS])
        others = json.dumps([self._item_events, self._erased, self._queued_events])
        return {
            "journal.size": journal.size.copy(),
            **{f"journal.{name}": getattr(journal, name)[:n].copy() for name in NOTED},
            "journal.others": np.frombuffer(others.encode(), np.uint8),
            "journal.queued": np.frombuffer(b"".join(self._queued), np.uint8),
        }

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump, if it has this state."""
        self.is_settled = False
        if "journal.size" not in record:
            return
        journal = self.memory.state.shared.journal
        journal.size[:] = record["journal.size"]
        journal.size[MOVED] = 0
        journal.is_moved[:] = 0
        for name in NOTED:
            getattr(journal, name)[: len(record[f"journal.{name}"])] = record[f"journal.{name}"]
        item_events, self._erased, self._queued_events = json.loads(record["journal.others"].tobytes())
        self._item_events = [(at, item, tags, shown) for at, item, tags, shown in item_events]
        queued = record["journal.queued"].tobytes()
        self._queued = [queued] if queued else []


KINDS: Final = ("out", "history")
"""Kinds of factors, in the order in which a delta has them."""
NOTED: Final = ("item", "number", "reward", "time", "recent")
"""Arrays of the journal with a place for each interaction."""
