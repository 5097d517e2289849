"""Clean: drops repeated events and events of bots, counts late events, and corrects times that are far ahead."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import msgspec
import numpy as np
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from numpy.typing import NDArray
from typing_extensions import override

from flows.messages import Event, Forget, Interaction, Request
from flows.monitoring.counters import Counters
from flows.state.stateful import StatefulStep, StoreFor, stateful
from flows.steps.bot_guard import filter_bots
from flows.steps.event_time import EventTime
from flows.steps.hashing import digest

SLOT_BYTES: Final = 24
"""Bytes of a remembered id in a dump: its slot, its digest and its user's digest."""


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """Configuration of `clean`."""

    dedup_window: int
    """Number of event ids that are remembered."""
    bot_threshold: float
    """Threshold of the bot filter in interquartile ranges (`flows.steps.bot_detector`). 0: no filter."""


@operator
def clean(
    step_id: str, up: KeyedStream[Event], rules: Cleaning, counters: Counters, store: StoreFor
) -> KeyedStream[Event]:
    """Drop events whose id is remembered, and events of users who act like bots.

    Args:
        step_id: Id of the step. It names stored state.
        up: Events by shard.
        rules: Configuration.
        counters: Counts dropped, late and corrected events.
        store: Opens the stored state of a step.
    """
    fresh = stateful("ids", up, lambda: Cleaner(rules.dedup_window, counters), store)
    return filter_bots("hold_back", fresh, rules.bot_threshold, counters, store) if rules.bot_threshold else fresh


class Cleaner(StatefulStep[Event, Event]):
    """Drops repeated events by their ids, and corrects event times.

    A ring of fixed size holds 64-bit digests of the last ids, from which no id can be read. A late event keeps its
    time. An event whose time is not trusted gets the newest trusted time (`flows.steps.event_time`). Times of item
    events, requests and erasures do not move the clock.

    Args:
        window: Number of ids that are remembered.
        counters: Counts events that are dropped, late or far ahead.

    >>> cleaner = Cleaner(100, Counters())
    >>> click = Interaction("u1", "i1", 10.0, id="e-77")
    >>> cleaner.process([click, click, Interaction("u1", "i2", 9.0)]) == [click, Interaction("u1", "i2", 9.0)]
    True
    >>> cleaner.counters.duplicate, cleaner.counters.late
    (1, 1)
    """

    def __init__(self, window: int, counters: Counters) -> None:
        self.window = window
        self.counters = counters
        self.time = EventTime()
        self._ids: NDArray[np.uint64] = np.zeros(window, np.uint64)
        self._users: NDArray[np.uint64] = np.zeros(window, np.uint64)
        self._next = 0
        self._unsaved = 0
        """Number of slots before `_next` that changed since the last dump."""
        self._known: set[int] = set()

    @override
    def process(self, batch: list[Event]) -> list[Event]:
        if len(self._ids) != self.window:
            self._resize()
        fresh: list[Event] = []
        for event in batch:
            if isinstance(event, Interaction):
                if event.id is None or not self._is_repeat(event):
                    fresh.append(self._at_its_time(event))
                continue
            if isinstance(event, Forget):
                self._forget(event.user)
            fresh.append(self._at_believed_time(event) if isinstance(event, Request) else event)
        if isfinite(self.time.newest):
            self.counters.event_time = self.time.newest
        return fresh

    def _is_repeat(self, event: Interaction) -> bool:
        """Say whether an event was seen before. User and item count, too: all events of an order may share its id."""
        deleted = ("deleted",) if event.is_deleted else ()
        known_as = digest("\0".join((event.id or "", event.user, event.item, event.event, *deleted)))
        if known_as in self._known:
            self.counters.duplicate += 1
            return True
        if self.window:
            self._remember(known_as, digest(event.user))
        return False

    def _at_its_time(self, event: Interaction) -> Interaction:
        placed = self.time.place(event.timestamp, event.user)
        if placed < self.time.newest:
            self.counters.late += 1
        elif placed < event.timestamp:
            self.counters.ahead += 1
            return msgspec.structs.replace(event, timestamp=placed)
        return event

    def _at_believed_time(self, request: Request) -> Request:
        time = self.time.trusted(request.timestamp)
        return request if time == request.timestamp else msgspec.structs.replace(request, timestamp=time)

    def _remember(self, known_as: int, user: int) -> None:
        self._known.discard(int(self._ids[self._next]))
        self._ids[self._next], self._users[self._next] = known_as, user
        self._known.add(known_as)
        self._next = (self._next + 1) % self.window
        self._unsaved += 1

    def _forget(self, user: str) -> None:
        self.time.forget(user)
        theirs = self._users == np.uint64(digest(user))
        if not theirs.any():
            return
        self._known.difference_update(self._ids[theirs].tolist())
        self._ids[theirs] = 0
        self._users[theirs] = 0
        self._unsaved = self.window

    def _resize(self) -> None:
        """Move the newest ids to a ring of the present size."""
        size = len(self._ids)
        slots = (self._next + np.arange(size)) % max(size, 1)
        slots = slots[self._ids[slots] != 0]
        slots = slots[max(0, len(slots) - self.window) :]
        ids, users = np.zeros(self.window, np.uint64), np.zeros(self.window, np.uint64)
        ids[: len(slots)], users[: len(slots)] = self._ids[slots], self._users[slots]
        self._ids, self._users, self._known = ids, users, set(ids[: len(slots)].tolist())
        self._next = len(slots) % max(self.window, 1)
        self._unsaved = self.window

    @override
    def dump(self) -> dict[str, NDArray[Any]]:
        self._unsaved = len(self._ids)
        return self.dump_changes()

    @override
    def dump_changes(self) -> dict[str, NDArray[Any]]:
        count = min(self._unsaved, len(self._ids))
        self._unsaved = 0
        return self._record((self._next - count + np.arange(count)) % max(len(self._ids), 1))

    @override
    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        end = min(place + max(1, size // SLOT_BYTES), len(self._ids))
        return self._record(np.arange(place, end)), end % max(len(self._ids), 1)

    def _record(self, slots: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        ring = {"ring": np.array([len(self._ids), self._next], np.int64), "slots": slots}
        return {**ring, "ids": self._ids[slots], "users": self._users[slots], **self.time.dump()}

    @override
    def load(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        size, self._next = snapshot["ring"].tolist()
        if size != len(self._ids):  # then the snapshot is a whole dump, or the first part of one
            self._ids, self._users = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
            self._known.clear()
        slots = snapshot["slots"]
        self._known.difference_update(self._ids[slots].tolist())
        self._ids[slots], self._users[slots] = snapshot["ids"], snapshot["users"]
        self._known.update(snapshot["ids"][snapshot["ids"] != 0].tolist())
        self.time.load(snapshot)
