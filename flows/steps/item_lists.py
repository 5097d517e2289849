"""Item lists: which lists that belong to no user go out, and what their messages say.

A list goes out if its items are others than those that went out last, or stand in another order. It is withdrawn by a
tombstone once the model knows none.
"""

from typing import Final

import bytewax.operators as op
import numpy as np
import orjson
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from numpy.typing import NDArray
from typing_extensions import override

from flows.messages import Forget, Interaction, ItemList, ItemListKind, Outgoing, Ranked
from flows.monitoring.counters import Counters
from flows.state.stateful import Snapshot, StatefulStep, StoreFor, stateful
from flows.steps.hashing import digest_of_list
from flows.steps.learn import Answer
from recmodels.storage.bounded_table import BoundedTable
from recmodels.storage.tables import dump_changes, dump_part

MOST_LISTS: Final = 1_000_000
"""Most lists of which it is known what went out. The one that went out first is forgotten, and may go out again."""
KEY_FIELDS: Final[dict[ItemListKind, str]] = {"related": "item", "trending": "tag"}
"""The field of a message that holds its key."""


@operator
def lists_of_users(step_id: str, up: KeyedStream[Answer]) -> KeyedStream[Ranked]:
    """Leave out the lists that belong to no user."""

    def select(batch: list[tuple[str, Answer]]) -> list[tuple[str, Ranked]]:
        return [(shard, answer) for shard, answer in batch if isinstance(answer, Ranked)]

    return op.flat_map_batch("select", up, select)


@operator
def changed_lists(
    step_id: str, up: KeyedStream[Answer], counters: Counters, store: StoreFor, is_scored: bool
) -> KeyedStream[Answer]:
    """Let the lists of items out that have changed.

    Args:
        step_id: Names the step.
        up: All answers of the model.
        counters: Counts the lists.
        store: Keeps what went out.
        is_scored: Whether interactions and erasures pass, too, for a step behind that scores.
    """
    return stateful("sent", up, lambda: ItemListEmitter(counters, is_scored), store)


@operator
def encode_items(step_id: str, up: KeyedStream[Answer], kind: ItemListKind, model: str) -> KeyedStream[Outgoing]:
    """Encode the lists of one kind."""

    def encode_batch(batch: list[tuple[str, Answer]]) -> list[tuple[str, Outgoing]]:
        lists = (each for _, each in batch if isinstance(each, ItemList) and each.request.kind == kind)
        return [(each.key, encode_items_of(each, model)) for each in lists]

    return op.flat_map_batch("messages", up, encode_batch)


def encode_items_of(listed: ItemList, model: str) -> Outgoing:
    """Encode one list; one without items as a tombstone.

    Args:
        listed: The list.
        model: Name and version of the model that made it.

    >>> from flows.messages import ItemListRequest
    >>> request = ItemListRequest("trending", "", 1382021321.5, ("events", 0, 4711))
    >>> encode_items_of(ItemList(request, "", ["i4"], [2.5]), "blend/1").value.decode()
    '{"tag":"","items":[{"item":"i4","score":2.5}],"event_time":1382021321.5,"source":"events/0/4711","model":"blend/1"}'
    """
    if not listed.items:
        return Outgoing(listed.key.encode(), None)
    request = listed.request
    value = {
        KEY_FIELDS[request.kind]: listed.key,
        "items": [{"item": item, "score": score} for item, score in zip(listed.items, listed.scores, strict=True)],
        "event_time": request.timestamp,
        "source": request.source,
        "model": model,
    }
    return Outgoing(listed.key.encode(), orjson.dumps(value))


class ItemListEmitter(StatefulStep[Answer, Answer]):
    """Knows of each key which list went out last.

    Args:
        counters: Counts the lists.
        is_scored: Whether interactions and erasures pass, too.

    >>> from flows.messages import ItemListRequest
    >>> emitter = ItemListEmitter(Counters(), is_scored=False)
    >>> request = ItemListRequest("related", "tea", 1.0)
    >>> [len(emitter.process([ItemList(request, "tea", items, [1.0])])) for items in (["cup"], ["cup"], ["jam"], [])]
    [1, 0, 1, 1]
    """

    def __init__(self, counters: Counters, is_scored: bool) -> None:
        self.counters = counters
        self.is_scored = is_scored
        self._sent = BoundedTable("sent", MOST_LISTS, "turn", digest=(np.int64, ()), turn=(np.int64, ()))
        self._turn = 0

    @override
    def process(self, batch: list[Answer]) -> list[Answer]:
        out: list[Answer] = []
        for answer in batch:
            if isinstance(answer, ItemList):
                if self._is_new(answer):
                    out.append(answer)
                    self.counters.related += answer.request.kind == "related"
                    self.counters.trending += answer.request.kind == "trending"
            elif self.is_scored and isinstance(answer, Ranked) and isinstance(answer.event, Interaction | Forget):
                out.append(answer)
        return out

    def _is_new(self, listed: ItemList) -> bool:
        """Say whether a list is another than that which went out last, and remember it."""
        name = f"{listed.request.kind}:{listed.key}"
        row = self._sent.row(name)
        if not listed.items:
            if row:
                self._sent.forget([row])
            return bool(row)
        made = digest_of_list(listed.items)
        if row and self._sent.arrays["digest"][row] == made:
            return False
        row = row or self._sent.add(name)
        self._turn += 1
        self._sent.arrays["digest"][row], self._sent.arrays["turn"][row] = made, self._turn
        self._sent.dirty[row] = 1
        return True

    @override
    def dump(self) -> Snapshot:
        self._sent.dirty[: self._sent.used] = 1
        return self.dump_changes()

    @override
    def dump_changes(self) -> Snapshot:
        return {**dump_changes([self._sent]), **self._numbers()} if self._turn else {}

    @override
    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        part, place = dump_part([self._sent], place, size)
        return {**part, **self._numbers()}, place

    def _numbers(self) -> dict[str, NDArray[np.int64]]:
        return {"turn": np.array([self._turn])}

    @override
    def load(self, record: Snapshot) -> None:
        self._turn = int(record["turn"][0])
        self._sent.load_rows(record)
