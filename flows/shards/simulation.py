"""Shards in one process, for replays: what N shards would cost in hit rate, in bytes and in time.

Each shard is a model with users of its own. After each round, each shard has what the others learned in the round
before: a delta comes one round late, as from a topic. The result depends on the order of the events alone.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from typing_extensions import override

from flows.errors import UsageError
from recmodels.base import Context, Example, Recommender, Step, Why

ROUND: Final = 200
"""Events of the whole stream between two rounds."""
MICROSECONDS: Final = 1e6
NOT_STORED: Final = "--shards: a replay of shards keeps no state. Leave --recovery out."


def shard_of(key: str, shards: int) -> int:
    """Return the shard that owns a key, by the CRC-32 of its UTF-8.

    >>> shard_of("ann", 4), shard_of("bob", 4)
    (3, 0)
    """
    return crc32(key.encode("utf-8", "surrogatepass")) % shards


@dataclass
class Exchange:
    """What shards have told each other, and how long it took."""

    shards: int
    round: int
    events: int = 0
    """Interactions of the stream."""
    rounds: int = 0
    deltas: int = 0
    sent: int = 0
    """Bytes of all deltas."""
    foreign: int = 0
    """Interactions that were applied, once for each shard that applied them."""
    own_seconds: float = 0.0
    """CPU seconds. They and the next two are of all shards together."""
    take_seconds: float = 0.0
    apply_seconds: float = 0.0

    @property
    def bytes_per_event(self) -> float:
        """Bytes of deltas for each event of the stream."""
        return self.sent / max(self.events, 1)

    @property
    def own_us(self) -> float:
        """CPU microseconds of a shard for an event of its own, with its part of a delta."""
        return MICROSECONDS * (self.own_seconds + self.take_seconds) / max(self.events, 1)

    @property
    def foreign_us(self) -> float:
        """CPU microseconds of a shard for an event of another shard."""
        return MICROSECONDS * self.apply_seconds / max(self.foreign, 1)

    def report(self) -> dict[str, Any]:
        """Return the figures as the report file says them."""
        return {
            "shards": self.shards,
            "round": self.round,
            "bytes_per_event": self.bytes_per_event,
            "deltas": self.deltas,
            "deltas_per_event": self.deltas / max(self.events, 1),
            "own_event_us": self.own_us,
            "foreign_event_us": self.foreign_us,
        }


class SimulatedShards(Recommender):
    """Several shards as one model.

    Args:
        build: Builds the model of one shard.
        shards: Number of shards.
        round_events: Number of events of the whole stream between two rounds.

    Attributes:
        exchange: What the shards have told each other.

    Raises:
        UsageError: The model cannot be shared. The message says why.

    >>> from recmodels import Popularity
    >>> shards = SimulatedShards(Popularity, shards=2, round_events=1)
    >>> for user, item in [("ann", "tea"), ("bob", "jam"), ("bob", "jam"), ("ann", "tea")]:
    ...     shards.learn_one(user, item)
    >>> [item for item, _ in shards.top("ann")], [item for item, _ in shards.top("bob")]
    (['jam', 'tea'], ['jam', 'tea'])
    >>> shards.exchange.deltas
    4
    """

    def __init__(self, build: Callable[[], Recommender], shards: int, round_events: int = ROUND) -> None:
        super().__init__()
        self.build = build
        self.shards = shards
        self.round_events = round_events
        self.models = [build() for _ in range(shards)]
        self.exchange = Exchange(shards, round_events)
        self._late: list[bytes] = []
        self._room = round_events
        try:
            for model in self.models:
                model.enable_deltas(shards)
        except ValueError as error:
            raise UsageError(f"--shards: {error}. Leave it out, or choose another model.") from error

    def model_of(self, key: str) -> Recommender:
        """Return the model of the shard that owns a user, or an item."""
        return self.models[shard_of(key, self.shards)]

    @override
    def step_many(self, examples: Sequence[Example], n: int = 10, score: bool = False) -> list[Step]:
        steps: list[Step] = []
        while len(steps) < len(examples):
            part = examples[len(steps) : len(steps) + self._room]
            steps += self._learn(part, n, score)
            self._room -= len(part)
            if self._room == 0:
                self._end_round()
        return steps

    def _learn(self, part: Sequence[Example], n: int, score: bool) -> list[Step]:
        started = time.process_time()
        places: list[list[int]] = [[] for _ in self.models]
        for place, example in enumerate(part):
            places[shard_of(example.user, self.shards)].append(place)
        found: dict[int, Step] = {}
        for model, own in zip(self.models, places, strict=True):
            if own:
                found |= zip(own, model.step_many([part[place] for place in own], n, score), strict=True)
        self.exchange.own_seconds += time.process_time() - started
        self.exchange.events += len(part)
        return [found[place] for place in range(len(part))]

    def _end_round(self) -> None:
        """Have each shard say what it learned, and learn what the others said one round before."""
        exchange = self.exchange
        started = time.process_time()
        new = [model.take_delta() for model in self.models]
        taken = time.process_time()
        for place, model in enumerate(self.models):
            for other, delta in enumerate(self._late):
                if other != place and delta:
                    exchange.foreign += model.apply_delta(delta)
        exchange.take_seconds += taken - started
        exchange.apply_seconds += time.process_time() - taken
        exchange.rounds += 1
        exchange.deltas += sum(map(bool, new))
        exchange.sent += sum(map(len, new))
        self._late, self._room = new, self.round_events

    @override
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        stamp = (x or {}).get("timestamp") or 0.0
        self.step_many([Example(user, item, y, float(stamp), x)], n=0)

    @override
    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        return self.model_of(user).predict_one(user, item, x)

    @override
    def predict_many(self, user: str, items: Sequence[str], x: Context | None = None) -> Sequence[float]:
        return self.model_of(user).predict_many(user, items, x)

    @override
    def rank(self, user: str, items: Collection[str], x: Context | None = None) -> list[str]:
        return self.model_of(user).rank(user, items, x)

    @override
    def top(self, user: str, n: int = 10, x: Context | None = None) -> list[tuple[str, float]]:
        return self.model_of(user).top(user, n, x)

    @override
    def explain(self, user: str, n: int = 10, x: Context | None = None) -> list[Why]:
        return self.model_of(user).explain(user, n, x)

    @override
    def learn_item(self, item: str, x: Context | None = None, available: bool | None = None) -> None:
        self.model_of(item).learn_item(item, x, available)

    @override
    def forget_one(self, user: str) -> None:
        self.model_of(user).forget_one(user)

    @override
    def related(self, item: str, n: int = 10) -> list[tuple[str, float]]:
        return self.model_of(item).related(item, n)

    @override
    def trending(self, n: int = 10, tag: str = "") -> list[tuple[str, float]]:
        return self.model_of(tag).trending(n, tag)

    @override
    def tags(self, item: str) -> list[str]:
        return self.model_of(item).tags(item)

    @override
    def has_seen(self, user: str, item: str) -> bool:
        return self.model_of(user).has_seen(user, item)

    @override
    def knows(self, item: str) -> bool:
        return self.model_of(item).knows(item)

    @override
    def is_available(self, item: str) -> bool:
        return self.model_of(item).is_available(item)

    @override
    def member_weights(self) -> dict[str, float]:
        return self.models[0].member_weights()

    @property
    @override
    def has_item_lists(self) -> bool:
        return self.models[0].has_item_lists

    @property
    @override
    def version(self) -> str:
        return self.models[0].version

    @override
    def dump(self) -> dict[str, Any]:
        raise UsageError(NOT_STORED)

    @override
    def load(self, record: Mapping[str, Any]) -> None:
        raise UsageError(NOT_STORED)
