"""A topic of deltas in memory, and shards without an engine that can be killed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flows.messages import Interaction, Prepared
from flows.monitoring.counters import Counters
from flows.shards.identity import Shard
from flows.shards.link import Rounds, ShardLink
from flows.shards.peer_snapshots import PeerSnapshots
from flows.state.stateful import Snapshot
from flows.steps.learn import Learning
from flows.steps.peers import News, as_event
from flows.steps.shard_learner import ShardLearner
from recmodels.base import Example, Recommender


class Topic:
    """Messages of all shards. `first` is the offset of the first one that is left, by partition."""

    def __init__(self, shards: int) -> None:
        self.messages: list[list[bytes]] = [[] for _ in range(shards)]
        self.first = [0] * shards
        self.id = "made once"

    def expire(self, partition: int, until: int) -> None:
        """Remove the messages of a partition below an offset."""
        self.first[partition] = until


class TopicLog:
    """A topic as one shard sees it. What it sends arrives at `flush`, or when the shard pleases."""

    topic = "deltas"

    def __init__(self, topic: Topic, own: int) -> None:
        self.of = topic
        self.topic_id = topic.id
        self.own = own
        self.unsent: list[bytes] = []
        self.at: dict[int, int] = {}

    def open(self) -> None: ...

    def close(self) -> None: ...

    def bounds(self, partition: int) -> tuple[int, int]:
        return self.of.first[partition], len(self.of.messages[partition])

    def read(self, partition: int, start: int, end: int) -> list[tuple[int, int, bytes]]:
        kept = self.of.messages[partition]
        return [(partition, at, kept[at]) for at in range(max(start, self.of.first[partition]), end)]

    def begin(self, starts: Mapping[int, int]) -> None:
        self.at = dict(starts)

    def poll(self) -> list[tuple[int, int, bytes]]:
        found = []
        for partition, at in self.at.items():
            low, high = self.bounds(partition)
            found += self.read(partition, max(at, low), high)
            self.at[partition] = high
        return found

    def send(self, value: bytes) -> None:
        self.unsent.append(value)

    def deliver(self) -> None:
        """Let what was sent arrive."""
        self.of.messages[self.own] += self.unsent
        self.unsent = []

    def flush(self) -> int:
        self.deliver()
        return len(self.of.messages[self.own]) - 1


class Process:
    """A shard as a process, with the events of its partitions.

    Args:
        shard: Which one.
        topic: The topic of deltas.
        events: Events by partition of the input.
        build: Builds the model.
        rounds: When it tells its peers.
        settings: Number for the settings of what is learned.
        snapshots: Directory of the snapshots for peers. None: there are none.
    """

    def __init__(
        self,
        shard: Shard,
        topic: Topic,
        events: Mapping[int, Sequence[tuple[str, str]]],
        build: Callable[[], Recommender],
        rounds: Rounds | None = None,
        settings: int = 0,
        snapshots: Path | None = None,
    ) -> None:
        self.shard = shard
        self.topic = topic
        self.events = {place: list(some) for place, some in events.items() if shard.owns(place)}
        self.build = build
        self.rounds = rounds or Rounds(events=3)
        self.settings = settings
        self.snapshots = snapshots
        self.snapshot: Snapshot | None = None
        self.durable = dict.fromkeys(self.events, 0)
        self.start()

    def start(self) -> None:
        """Begin at the last snapshot."""
        self.log = TopicLog(self.topic, self.shard.index)
        snapshots = self.snapshots and PeerSnapshots(self.snapshots, self.shard)
        self.link = ShardLink(
            self.shard, self.log, self.rounds, settings=self.settings, clock=lambda: 0.0, snapshots=snapshots
        )
        learning = Learning(build_model=self.build, top=2, max_users=100, refresh_removed=0)
        self.learner = ShardLearner(learning, Counters(), self.link)
        if self.snapshot is not None:
            self.learner.load(self.snapshot)
        self.at = dict(self.durable)
        self.hear()

    def learn(self, partition: int, count: int) -> None:
        """Learn some events of a partition."""
        start = self.at[partition]
        batch = []
        for offset, (user, item) in enumerate(self.events[partition][start : start + count], start=start):
            event = Interaction(user=user, item=item, timestamp=1e9, at=("events", partition, offset))
            batch.append(Prepared(event, Example(user, item, 1.0, 1e9)))
        self.at[partition] += len(batch)
        if batch:
            self.learner.process(batch)

    def hear(self) -> None:
        """Learn what the peers have told."""
        told = self.link.poll() if self.link.is_begun else []
        self.learner.process([as_event(News(told))])

    def save(self) -> None:
        """Take a snapshot."""
        self.snapshot, self.durable = self.learner.dump(), dict(self.at)

    def offer(self) -> None:
        """Write a snapshot for the peers, if this shard can, as a snapshot of the engine does."""
        if self.link.catch_up.snapshots is not None:
            self.link.catch_up.snapshots.make_due()
            self.learner.dump_changes()
            self.link.catch_up.snapshots.join()

    def finish(self) -> None:
        """Learn all events, and tell all of it."""
        for partition, events in self.events.items():
            self.learn(partition, len(events))
        self.link.has_ended = True
        self.hear()
        self.log.deliver()
