"""Active users: notes the newest event of each user, so that a list can be made for those who were active of late."""

from collections.abc import Mapping
from math import inf
from typing import Any, Final

import numpy as np
import orjson
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from numpy.typing import NDArray
from typing_extensions import override

from flows.messages import Forget, Interaction, Prepared, RecordPosition
from flows.state.stateful import Snapshot, StatefulStep, StoreFor, stateful
from recmodels.storage.bounded_table import BoundedTable
from recmodels.storage.tables import dump_changes, dump_part

TABLE: Final = "active"


class ActiveUsers(StatefulStep[Prepared, Prepared]):
    """The newest event time of each user, and the last event of all.

    Args:
        max_users: Number of users. Beyond it the users who were idle longest are dropped.

    Attributes:
        newest: Newest time of an event in Unix seconds; minus infinity before the first.
        last: Position of the last event. None before the first.

    >>> users = ActiveUsers(100)
    >>> events = [Interaction("ann", "tea", 10.0), Interaction("bob", "jam", 40.0), Interaction("eve", "pie", 90.0)]
    >>> _ = users.process([Prepared(event, None) for event in [*events, Forget("bob", 95.0)]])
    >>> users.newest, users.since(30.0), users.since(0.0)
    (90.0, ['eve'], ['eve', 'ann'])
    """

    def __init__(self, max_users: int) -> None:
        self.newest = -inf
        self.last: RecordPosition | None = None
        self._table = BoundedTable(TABLE, max_users, age="time", time=(np.float64, ()))

    @override
    def process(self, batch: list[Prepared]) -> list[Prepared]:
        table, newest = self._table, self.newest
        known, times, dirty = table.ids.rows, table.arrays["time"], table.dirty
        for event, _ in batch:
            if type(event) is Interaction:
                row = known.get(event.user) or table.add(event.user)
                if event.timestamp > times[row]:
                    times[row] = event.timestamp
                    dirty[row] = 1
                newest = max(newest, event.timestamp)
                self.last = event.at
            elif type(event) is Forget and (row := table.row(event.user)):
                table.forget([row])
        self.newest = newest
        return batch

    def since(self, time: float) -> list[str]:
        """Return the users with an event at this time or later, those with the newest event first."""
        rows = np.array(self._table.ids.taken(), np.int64)
        times = self._table.arrays["time"][rows]
        rows, times = rows[times >= time], times[times >= time]
        order = np.argsort(-times, kind="stable")
        return [str(self._table.ids.names[row]) for row in rows[order].tolist()]

    @override
    def dump(self) -> Snapshot:
        self._table.dirty[: self._table.used] = 1
        return self.dump_changes()

    @override
    def dump_changes(self) -> Snapshot:
        changes = dump_changes([self._table])
        return changes and changes | self._rest()

    @override
    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        part, place = dump_part([self._table], place, size)
        return part | self._rest(), place

    def _rest(self) -> dict[str, NDArray[Any]]:
        return {"newest": np.array([self.newest]), "last": np.frombuffer(orjson.dumps(self.last), np.uint8)}

    @override
    def load(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        self.newest = float(snapshot["newest"][0])
        last = orjson.loads(snapshot["last"].tobytes())
        self.last = last and (last[0], last[1], last[2])
        self._table.load_rows(snapshot)


@operator
def note_active_users(
    step_id: str, up: KeyedStream[Prepared], users: ActiveUsers, store: StoreFor
) -> KeyedStream[Prepared]:
    """Note the users of a stream of events, and pass the events on.

    Args:
        step_id: Id of the step. It names stored state.
        up: Prepared events by shard.
        users: Notes them. The caller reads it when the flow has ended.
        store: Opens the stored state of a step.
    """
    return stateful("users", up, lambda: users, store)
