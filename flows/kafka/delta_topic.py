"""Topic of deltas: one partition a shard, written by that shard and read by all of them.

The reader needs no group: the shards keep their own positions. `flows.shards.link` gives the messages their meaning.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]  # forgotten re-export

from flows.kafka.admin import connect, create_topic, max_message_bytes, partitions
from flows.kafka.errors import SILENCE_STDERR, Config, KafkaJobError, explain_error, retry
from flows.kafka.outage import STOP_SECONDS, ErrorCallback, OutagePolicy
from flows.kafka.sink import PRODUCER_DEFAULTS
from flows.kafka.topic_ids import TopicIds

_SECONDS: Final = 10.0
"""Timeout in seconds of a request before the flow runs."""
_FETCHED: Final = 256
"""Largest number of messages that are taken at once."""
_WAIT_SECONDS: Final = 0.02
_LOOK_SECONDS: Final = 5.0
"""Time between two looks at the topic's id and ends."""
RETENTION: Final = {"retention.ms": "3600000", "segment.ms": "600000"}
"""What a topic of deltas is created with: an hour."""


class Read(NamedTuple):
    """A message of the topic."""

    partition: int
    offset: int
    value: bytes


class DeltaTopic:
    """The topic as one shard sees it.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
        topic: The topic.
        own: The partition that this shard writes to.
        patience: How long to wait for brokers.

    Attributes:
        ends: The end of each partition as of the last look.

    Raises:
        KafkaJobError: From every method: no broker, no such topic, or no rights.
    """

    def __init__(self, config: Config, topic: str, own: int, patience: OutagePolicy) -> None:
        self.config = config
        self.topic = topic
        self.own = own
        self.patience = patience
        self.ends: dict[int, int] = {}
        self.topic_id = ""
        self._ids = TopicIds(config)
        self._reading, self._writing = (
            ErrorCallback(config, f"{doing} topic {topic!r}", patience) for doing in ("reading", "writing")
        )
        self._failure: KafkaJobError | None = None
        self._delivered = -1
        self._consumer: Any = None
        self._producer: Any = None
        self._looked = 0.0

    def open(self) -> None:
        """Connect."""
        doing = f"opening topic {self.topic!r}"
        self.topic_id = self._ids.fetch([self.topic]).get(self.topic, "")
        writing: dict[str, Any] = {
            **PRODUCER_DEFAULTS,
            "linger.ms": 0,
            "compression.type": "lz4",
            "message.timeout.ms": max(1, int(self.patience.seconds * 1000)),
            **self.config,
            "error_cb": self._writing,
        }
        if "message.max.bytes" not in writing and (most := max_message_bytes(self.config, self.topic)) is not None:
            writing["message.max.bytes"] = max(1_000, most)
        reading: dict[str, Any] = {
            **SILENCE_STDERR,
            "fetch.wait.max.ms": 100,
            "fetch.min.bytes": 1,
            "statistics.interval.ms": 1_000,
            **self.config,
            "group.id": "freshrank-shards",  # a consumer must name one; this one neither joins it nor commits
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",  # a gap shows in the chain of the messages
            "error_cb": self._reading,
        }
        self._producer = retry(self.config, doing, lambda: Producer(writing))
        self._consumer = retry(self.config, doing, lambda: Consumer(reading))

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the offset of the first message, and of the next one to come."""
        where = TopicPartition(self.topic, partition)
        request = partial(self._consumer.get_watermark_offsets, where, timeout=_SECONDS)
        low, high = retry(self.config, f"asking for the offsets of {self.topic}/{partition}", request)
        return int(low), int(high)

    def read(self, partition: int, start: int, end: int) -> list[Read]:
        """Return the messages of a partition from `start` up to `end`, and wait for them."""
        found: list[Read] = []
        if start >= end:
            return found
        self._consumer.assign([TopicPartition(self.topic, partition, start)])
        deadline = time.monotonic() + self.patience.seconds
        at = start
        while at < end:
            # With a larger number it would wait for messages that do not come.
            for each in self._taken(self._consumer.consume(min(_FETCHED, end - at), 0.1)):
                found += [each] if each.offset < end else []
                at = each.offset + 1
            at = max(at, self._position(partition))
            self._reading.check()
            if time.monotonic() > deadline or self.patience.stop.is_set():
                raise KafkaJobError(f"{self.topic}/{partition}: expected the messages up to offset {end}; got to {at}.")
        self._consumer.unassign()
        return found

    def begin(self, starts: Mapping[int, int]) -> None:
        """Read on at these offsets, by partition."""
        self._consumer.assign([TopicPartition(self.topic, *place) for place in starts.items()])
        self._looked = time.monotonic()

    def poll(self) -> list[Read]:
        """Return the next messages, without waiting."""
        found = self._taken(self._consumer.consume(_FETCHED, 0))
        self._producer.poll(0)
        self._check()
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._look()
        return found

    def send(self, value: bytes) -> None:
        """Send a message to the own partition."""
        while True:
            try:
                self._producer.produce(self.topic, value, partition=self.own, on_delivery=self._on_delivery)
                break
            except BufferError:  # the brokers are slower than the flow, which has to wait
                self._producer.poll(_WAIT_SECONDS)
                self._check()
            except KafkaException as error:
                raise explain_error(self.config, self._sending, error) from None
        self._producer.poll(0)

    def flush(self) -> int:
        """Wait until all messages are delivered, and return the offset of the last one. -1: there was none."""
        while self._producer.flush(_WAIT_SECONDS):
            self._check()
            if self.patience.stopping_for() > STOP_SECONDS:
                raise KafkaJobError(
                    f"topic {self.topic!r}: the job is to stop, but no broker takes the last messages. They do not "
                    "count as sent: the job goes on from its last snapshot when it is started again."
                )
        self._check()
        return self._delivered

    def close(self) -> None:
        """Close the clients."""
        with suppress(KafkaException, RuntimeError):
            if self._producer is not None:
                self._producer.flush(1.0)
            if self._consumer is not None:
                self._consumer.close()

    @property
    def _sending(self) -> str:
        return f"sending a delta to topic {self.topic!r}"

    def _position(self, partition: int) -> int:
        """Return the position behind the last message, and behind markers that are no messages."""
        [at] = self._consumer.position([TopicPartition(self.topic, partition)])
        return int(at.offset)

    def _taken(self, messages: Iterable[Message]) -> list[Read]:
        found = []
        for message in messages:
            if (error := message.error()) is not None:
                self._reading(error)
            else:
                found.append(Read(int(message.partition() or 0), int(message.offset() or 0), message.value() or b""))
        if found:
            self._reading.answered()
        self._check()
        return found

    def _look(self) -> None:
        """Note the ends of the partitions. End the job if the topic was made anew."""
        self._looked = time.monotonic()
        for each in self._consumer.assignment():
            self.ends[each.partition] = self._consumer.get_watermark_offsets(each, cached=True)[1]
        if self._ids.changed() is not None:
            self._reading.give_up(
                f"topic {self.topic!r} was deleted and made anew while the job used it: the job ends. Start it again: "
                "it goes on from its last snapshot, and says whether deltas of its peers are missing."
            )

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._delivered = max(self._delivered, int(message.offset() or 0))
            self._writing.answered()
        elif self._failure is None:
            self._failure = explain_error(self.config, self._sending, error)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._reading.check()
        self._writing.check()
        self._reading.check_patience()


def make_delta_topic(config: Config, topic: str, shards: int, replication: int) -> None:
    """Create the topic of deltas, or add the partitions that it lacks.

    Raises:
        KafkaJobError: That is not possible.
    """
    admin, cluster = connect(config, _SECONDS)
    if topic not in cluster.topics:
        create_topic(config, topic, RETENTION, compacted=False, partitions=shards, replication=replication)
        admin, cluster = connect(config, _SECONDS)
    if len(cluster.topics[topic].partitions) >= shards:
        return
    doing = f"adding partitions to topic {topic!r}"
    try:
        admin.create_partitions([NewPartitions(topic, shards)])[topic].result(_SECONDS)
    except KafkaException as error:
        if len(partitions(config, topic)) < shards:  # unless another shard was faster
            raise explain_error(config, doing, error) from None
    deadline = time.monotonic() + _SECONDS
    while len(partitions(config, topic)) < shards and time.monotonic() < deadline:
        time.sleep(0.05)
