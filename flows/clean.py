"""Clean: drop events that were already seen, and count those that come late."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from numpy.typing import NDArray

from flows.kept import Kept, StoreFor, keep
from flows.messages import Event, Forget, Interaction
from flows.tally import Tally


@operator
def clean(step_id: str, up: KeyedStream[Event], window: int, tally: Tally, store: StoreFor) -> KeyedStream[Event]:
    """Pass on every event but those whose id has been seen among the last `window` ids."""
    return keep("ids", up, lambda: Cleaner(window, tally), store)


class Cleaner(Kept[Event, Event]):
    """Remembers the ids of events, as 64-bit digests in a ring: bounded, and nobody's id can be read from it.

    Args:
        window: How many ids are remembered.
        tally: Counts what is dropped or late.

    >>> cleaner = Cleaner(100, Tally())
    >>> click = Interaction("u1", "i1", 10.0, id="e-77")
    >>> cleaner.process([click, click, Interaction("u1", "i2", 9.0)]) == [click, Interaction("u1", "i2", 9.0)]
    True
    >>> cleaner.tally.duplicate, cleaner.tally.late
    (1, 1)
    """

    def __init__(self, window: int, tally: Tally) -> None:
        self.window = window
        self.tally = tally
        self._ids: NDArray[np.uint64] = np.zeros(window, np.uint64)
        self._users: NDArray[np.uint64] = np.zeros(window, np.uint64)
        self._next = 0
        self._newest = 0.0
        self._known: set[int] = set()

    def process(self, batch: list[Event]) -> list[Event]:
        """Return the events of a batch that are new, in order."""
        return [event for event in batch if self._is_new(event)]

    def _is_new(self, event: Event) -> bool:
        if isinstance(event, Forget):
            self._forget(event.user)
        elif isinstance(event, Interaction) and event.id is not None and self.window:
            digest = _digest(event.id)
            if digest in self._known:
                self.tally.duplicate += 1
                return False
            self._remember(digest, _digest(event.user))
        if event.timestamp < self._newest:
            self.tally.late += 1
        else:
            self._newest = event.timestamp
        return True

    def _remember(self, digest: int, user: int) -> None:
        self._known.discard(int(self._ids[self._next]))
        self._ids[self._next], self._users[self._next] = digest, user
        self._known.add(digest)
        self._next = (self._next + 1) % self.window

    def _forget(self, user: str) -> None:
        theirs = self._users == np.uint64(_digest(user))
        self._known.difference_update(self._ids[theirs].tolist())
        self._ids[theirs] = 0
        self._users[theirs] = 0

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as arrays."""
        place = np.array([self._next], np.int64)
        return {"ids": self._ids, "users": self._users, "next": place, "newest": np.array([self._newest])}

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `dump` gave."""
        self.window = len(record["ids"])
        self._ids, self._users = record["ids"].copy(), record["users"].copy()
        self._next, self._newest = int(record["next"][0]), float(record["newest"][0])
        self._known = set(self._ids[self._ids != 0].tolist())


def _digest(text: str) -> int:
    """Digest an id to 64 bits, never 0."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1
