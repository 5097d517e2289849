"""Emit: the list policy. It decides which lists go out, and never changes the model."""

import hashlib
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import orjson
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from numpy.typing import NDArray
from typing_extensions import override

from flows.kept import Kept, Record, StoreFor, keep
from flows.messages import Decided, Ranked
from flows.tally import Tally

Policy: TypeAlias = Literal["every", "changed"]
"""Emit a list after every event, or only if its items are others, or in another order, than those last emitted."""


@operator
def emit(
    step_id: str,
    up: KeyedStream[Ranked],
    policy: Policy,
    interval: float,
    max_users: int,
    tally: Tally,
    store: StoreFor,
) -> KeyedStream[Decided]:
    """Decide for each list whether it goes out."""
    return keep("lists", up, lambda: Emitter(policy, interval, max_users, tally), store)


class Emitter(Kept[Ranked, Decided]):
    """Knows of each user what was emitted last and when.

    Args:
        policy: "every" or "changed".
        interval: Seconds, by the events' time, between two lists of one user; 0: no limit.
        max_users: So many users are known. The one whose list is the oldest is given up for a new one.
        tally: Counts lists.

    >>> from flows.messages import Interaction
    >>> emitter = Emitter("changed", 0.0, 1_000, Tally())
    >>> event = Interaction("u1", "i1", 10.0)
    >>> [d.is_emitted for d in emitter.process([Ranked(event, None, items, [1.0]) for items in ("a", "a", "b")])]
    [True, False, True]
    """

    def __init__(self, policy: Policy, interval: float, max_users: int, tally: Tally) -> None:
        self.policy = policy
        self.interval = interval
        self.max_users = max_users
        self.tally = tally
        self._last: dict[str, tuple[int, float]] = {}

    @override
    def process(self, batch: list[Ranked]) -> list[Decided]:
        if self.policy == "every" and not self.interval:
            self.tally.emitted += len(batch)
            return [Decided(ranked, True) for ranked in batch]
        return [Decided(ranked, self._decide(ranked)) for ranked in batch]

    def _decide(self, ranked: Ranked) -> bool:
        user, time = ranked.event.user, ranked.event.timestamp
        if ranked.items is None:
            self._last.pop(user, None)
            self.tally.emitted += 1
            return True
        digest, last_digest, last_time = 0, None, -np.inf
        if user in self._last:
            last_digest, last_time = self._last[user]
        if self.policy == "changed":
            digest = _digest(ranked.items)
        if (self.policy == "changed" and digest == last_digest) or time - last_time < self.interval:
            self.tally.suppressed += 1
            return False
        self._last.pop(user, None)  # to the end of the dict: the first is the user whose list is the oldest
        self._last[user] = digest, max(time, last_time)
        if len(self._last) > self.max_users:
            del self._last[next(iter(self._last))]
        self.tally.emitted += 1
        return True

    @override
    def dump(self) -> Record:
        names = orjson.dumps(list(self._last))
        rows: NDArray[np.int64] = np.array([digest for digest, _ in self._last.values()], np.int64)
        times: NDArray[np.float64] = np.array([time for _, time in self._last.values()], np.float64)
        return {"users": np.frombuffer(names, np.uint8), "digests": rows, "times": times}

    @override
    def load(self, record: Record) -> None:
        users: list[str] = orjson.loads(record["users"].tobytes())
        values = zip(record["digests"].tolist(), record["times"].tolist(), strict=True)
        self._last = dict(zip(users, values, strict=True))


def _digest(items: Sequence[str]) -> int:
    text = "\0".join(items)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
