"""Seeded endless streams of events with Zipf-distributed users and items, without network or files."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import orjson
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from numpy.typing import NDArray
from typing_extensions import override

from flows.messages import Raw

CHUNK = 10_000
"""Number of events drawn at once."""
TOPIC = "events"


class Pair(NamedTuple):
    """A user and an item."""

    user: str
    item: str


class Zipf:
    """Draws numbers from 0 with probabilities proportional to 1 / (rank + 1)^exponent. Ranks are shuffled."""

    def __init__(self, size: int, random: np.random.Generator, exponent: float = 1.0) -> None:
        self._random = random
        self._sums = np.cumsum(1.0 / np.arange(1, size + 1) ** exponent)
        self._order = random.permutation(size)

    def draw(self, count: int) -> NDArray[np.int64]:
        """Draw `count` numbers."""
        ranks = np.searchsorted(self._sums, self._random.random(count) * self._sums[-1])
        numbers: NDArray[np.int64] = self._order[ranks]
        return numbers


def every_one(users: int, items: int, seed: int) -> Iterator[Pair]:
    """Yield every user and every item at least once, in shuffled order, each with a Zipf-distributed partner."""
    random = np.random.default_rng(seed)
    pairs = max(users, items)
    user_numbers = np.concatenate([random.permutation(users), Zipf(users, random).draw(pairs - users)])
    item_numbers = np.concatenate([random.permutation(items), Zipf(items, random).draw(pairs - items)])
    for user, item in zip(user_numbers.tolist(), random.permutation(item_numbers).tolist(), strict=True):
        yield Pair(f"u{user}", f"i{item}")


def popular(users: int, items: int, seed: int) -> Iterator[Pair]:
    """Yield Zipf-distributed users and items without end."""
    random = np.random.default_rng(seed)
    draw_users, draw_items = Zipf(users, random), Zipf(items, random)
    while True:
        for user, item in zip(draw_users.draw(CHUNK).tolist(), draw_items.draw(CHUNK).tolist(), strict=True):
            yield Pair(f"u{user}", f"i{item}")


def ever_new(user_share: float, item_share: float, active_users: int, active_items: int, seed: int) -> Iterator[Pair]:
    """Yield pairs without end, with new ids all the time. Each id stops coming at some time.

    Args:
        user_share, item_share: Share of the events with a new user, or a new item.
        active_users, active_items: Number of newest ids from which the others are drawn, the newest more often.
        seed: Seed of all draws.
    """
    random = np.random.default_rng(seed)
    users = items = 1
    while True:
        new_user, new_item = random.random(CHUNK) < user_share, random.random(CHUNK) < item_share
        back_user, back_item = random.random(CHUNK) ** 2, random.random(CHUNK) ** 2
        for k in range(CHUNK):
            users += int(new_user[k])
            items += int(new_item[k])
            user = users if new_user[k] else users - int(back_user[k] * min(users, active_users))
            item = items if new_item[k] else items - int(back_item[k] * min(items, active_items))
            yield Pair(f"u{user}", f"i{item}")


def to_records(pairs: Iterator[Pair], seconds_between: float = 1.0) -> Iterator[bytes]:
    """Encode pairs as input messages with evenly spaced times."""
    for number, (user, item) in enumerate(pairs):
        yield orjson.dumps({"user": user, "item": item, "timestamp": 1.7e9 + number * seconds_between})


class Generated(FixedPartitionedSource[Raw, int]):
    """A source of `count` records in batches.

    Args:
        records: The records.
        count: Number of records to take.
        batch_size: Number of records in a batch.
        told: Called with the number of records so far, before each batch.
    """

    def __init__(
        self,
        records: Iterator[bytes],
        count: int,
        batch_size: int = 8,
        told: Callable[[int], Any] = lambda taken: None,
    ) -> None:
        self.records = islice(records, count)
        self.batch_size = batch_size
        self.told = told

    @override
    def list_parts(self) -> list[str]:
        return ["0"]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_GeneratedPart":
        return _GeneratedPart(self)


class _GeneratedPart(StatefulSourcePartition[Raw, int]):
    def __init__(self, source: Generated) -> None:
        self._source = source
        self._taken = 0

    @override
    def next_batch(self) -> list[Raw]:
        self._source.told(self._taken)
        values = list(islice(self._source.records, self._source.batch_size))
        if not values:
            raise StopIteration
        start, self._taken = self._taken, self._taken + len(values)
        return [Raw(TOPIC, 0, start + k, value) for k, value in enumerate(values)]

    @override
    def snapshot(self) -> int:
        return self._taken
