"""Ask for items: puts requests for lists that belong to no user between the events.

The step behind it holds the model and answers them in their turn. So the order of the events alone decides what is
listed, and the number of requests is bounded:

- Related items are asked for of the item that a user had before, since the event says what follows it. They are asked
  for of the event's own item whenever its events have doubled. A request that waits is not made twice.
- Trending items are asked for of all items now and then, and between that of a tag of one of the newest events' items.
  So a tag with many events is renewed often.
"""

from dataclasses import dataclass
from math import inf
from typing import Any, Final

import numpy as np
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from numpy.typing import NDArray
from typing_extensions import override

from flows.messages import Forget, Interaction, ItemListRequest, Prepared
from flows.state.stateful import Snapshot, StatefulStep, StoreFor, stateful
from recmodels.storage.bounded_table import BoundedTable, oldest
from recmodels.storage.tables import dump_changes, dump_part

ROUND: Final = 8
"""Number of interactions from one round of requests to the next: the model learns those between in one call."""
TRENDING_ROUND: Final = 5 * ROUND
"""Number of interactions from one list of what trends among all items to the next."""
MOST_ITEMS: Final = 1_000_000
"""Most items that are remembered. The one whose event is the oldest is forgotten."""


@dataclass(frozen=True, kw_only=True)
class ItemLists:
    """How many lists that belong to no user are made.

    Args:
        related: Largest number of lists of related items per interaction; 0: none.
        trending: The same of trending items.
        max_users: Number of users whose last item is remembered.
    """

    related: float
    trending: float
    max_users: int


@operator
def ask_items(step_id: str, up: KeyedStream[Prepared], rules: ItemLists, store: StoreFor) -> KeyedStream[Prepared]:
    """Put requests for lists of items between the events."""
    return stateful("asked", up, lambda: ItemAsker(rules), store)


class ItemAsker(StatefulStep[Prepared, Prepared]):
    """Knows which items' lists are due.

    Args:
        rules: How many lists are made.

    >>> asker = ItemAsker(ItemLists(related=0.25, trending=0.0, max_users=1_000))
    >>> taken = ["tea", "cup", "jam", "tea", "cup", "jam", "tea", "cup"]
    >>> events = [Interaction("ann", item, float(time)) for time, item in enumerate(taken)]
    >>> for event, example in asker.process([Prepared(event, None) for event in events]):
    ...     if isinstance(event, ItemListRequest):
    ...         print(event.kind, event.item)
    related tea
    related cup
    """

    def __init__(self, rules: ItemLists) -> None:
        self.related = rules.related
        self.trending = rules.trending
        columns: dict[str, Any] = {
            "newest": (np.int64, ()),  # number of the item's newest event
            "events": (np.int64, ()),  # events of the item ...
            "asked": (np.int64, ()),  # ... and how many there were when its list was asked for
            "due": (np.int64, ()),  # order in which lists are due; 0: none is
        }
        self._items = BoundedTable("items", MOST_ITEMS, "newest", **columns)
        # item: the row of the user's last item; 0: not known any more
        self._users = BoundedTable("users", rules.max_users, "newest", newest=(np.int64, ()), item=(np.int64, ()))
        self._due: dict[int, None] = {}
        """Rows of items whose lists are due, the longest due first."""
        self._events = 0
        self._turn = 0
        self._round: list[int] = []
        """Rows of the items of the round so far."""
        self._related_left = 0.0
        self._trending_left = 0.0
        self._now = -inf

    @override
    def process(self, batch: list[Prepared]) -> list[Prepared]:
        out: list[Prepared] = []
        for prepared in batch:
            out.append(prepared)
            event = prepared.event
            if isinstance(event, Interaction):
                self._events += 1
                self._now = max(self._now, event.timestamp)
                self._note(event)
                if self._events % ROUND == 0:
                    out.extend(Prepared(request, None) for request in self._requests(event))
            elif isinstance(event, Forget) and (row := self._users.row(event.user)):
                self._users.forget([row])
        return out

    def _note(self, event: Interaction) -> None:
        item = self._items.row(event.item) or self._new_item(event.item)
        items = self._items.arrays
        items["newest"][item] = self._events
        items["events"][item] += 1
        self._items.dirty[item] = 1
        self._round.append(item)
        if not self.related:
            return
        user = self._users.row(event.user) or self._users.add(event.user)
        users = self._users.arrays
        before = int(users["item"][user])
        users["item"][user], users["newest"][user] = item, self._events
        self._users.dirty[user] = 1
        if before:
            self._enqueue(before)
        if items["events"][item] >= 2 * items["asked"][item]:
            self._enqueue(item)

    def _enqueue(self, row: int) -> None:
        if row not in self._due:
            self._turn += 1
            self._due[row] = None
            self._items.arrays["due"][row] = self._turn
            self._items.dirty[row] = 1

    def _new_item(self, name: str) -> int:
        if self._items.ids.is_full:
            rows = oldest(self._items.ids, self._items.arrays["newest"])
            for row in rows:
                self._due.pop(row, None)
            self._round = [row for row in self._round if row not in rows]
            last = self._users.arrays["item"][: self._users.used]
            users = np.flatnonzero(np.isin(last, rows))
            last[users] = 0
            self._users.dirty[users] = 1
            self._items.forget(rows)
        return self._items.add(name)

    def _requests(self, event: Interaction) -> list[ItemListRequest]:
        made: list[ItemListRequest] = []
        names, items = self._items.ids.names, self._items.arrays
        self._related_left += self.related * ROUND
        while self._related_left >= 1.0 and self._due:
            self._related_left -= 1.0
            row = next(iter(self._due))
            del self._due[row]
            items["due"][row], items["asked"][row] = 0, items["events"][row]
            self._items.dirty[row] = 1
            made.append(ItemListRequest("related", str(names[row]), self._now, event.at, event.arrived))
        self._related_left %= 1.0  # what is not used is not saved up
        self._trending_left += self.trending * ROUND
        turn = self._events // ROUND
        is_of_all = self._events % TRENDING_ROUND < ROUND or self.trending * TRENDING_ROUND <= 1.0
        while self._trending_left >= 1.0:
            self._trending_left -= 1.0
            # Another place of the round each time, since users may come in a rhythm.
            item = "" if is_of_all or not self._round else str(names[self._round[turn % len(self._round)]])
            made.append(ItemListRequest("trending", item, self._now, event.at, event.arrived, turn // ROUND))
            is_of_all, turn = False, turn + 1
        self._round.clear()
        return made

    @override
    def dump(self) -> Snapshot:
        for table in (self._items, self._users):
            table.dirty[: table.used] = 1
        return self.dump_changes()

    @override
    def dump_changes(self) -> Snapshot:
        return {**dump_changes([self._items, self._users]), **self._numbers()} if self._events else {}

    @override
    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        part, place = dump_part([self._items, self._users], place, size)
        return {**part, **self._numbers()}, place

    def _numbers(self) -> dict[str, NDArray[Any]]:
        numbers = [self._events, self._turn, self._related_left, self._trending_left, self._now]
        return {"numbers": np.array(numbers, np.float64), "round": np.array(self._round, np.int64)}

    @override
    def load(self, record: Snapshot) -> None:
        events, turn, self._related_left, self._trending_left, self._now = record["numbers"].tolist()
        self._events, self._turn = int(events), int(turn)
        self._round = record["round"].tolist()
        self._items.load_rows(record)
        self._users.load_rows(record)
        due = self._items.arrays["due"]
        rows = np.flatnonzero(due[: self._items.used])
        self._due = dict.fromkeys(rows[np.argsort(due[rows], kind="stable")].tolist())
