"""Kafka partitions as the flow's source: undecoded records, each with its position.

One consumer per worker serves all of the worker's partitions. Where one worker has all of them, as is usual, their
records come merged by time; else each partition takes its own share. Partitions are assigned, not balanced by a
group: the engine decides who reads what. The group's offsets are committed all the same, each as soon as its epoch is
durable, so that lag monitors work and a run without a recovery state goes on where the last one stopped.
"""

import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import KafkaError

from flows.kafka.admin import connect
from flows.kafka.consumer import Reader
from flows.kafka.errors import Config, explain_error
from flows.kafka.outage import OutagePolicy
from flows.kafka.partition_buffer import PartitionBuffer
from flows.kafka.position import Place, Position, name_of, place_of
from flows.kafka.start_offsets import BeginFrom, LostOffsets, StartOffsets
from flows.kafka.topics import TopicChoice
from flows.messages import Raw

_ALWAYS_DUE = datetime(1970, 1, 1, tzinfo=UTC)


class KafkaSource(FixedPartitionedSource[Raw, Any]):
    """Reads all partitions of one or several topics, in order within each.

    A partition starts where the recovery state says (the offset of its next record), else at the group's committed
    offset, else by `auto.offset.reset`; see `flows.kafka.start_offsets`. Partitions that are added while the job runs,
    and topics that begin to match a pattern, are read from their first record, if one worker reads everything; else
    they wait for a restart, and the log says so.

    Args:
        config: librdkafka consumer settings with `bootstrap.servers` and `group.id`. Commits are the source's own.
        topic: The topic to read, several with commas between them, or a pattern that begins with `^`.
        batch_size: Records taken at once, over all partitions.
        idle_seconds: How long to wait for a record where there is none. The wait ends with the first record.
        stop: When it is set, the source ends as if there were no more records, so that all state is kept.
        stop_at_end: End at what were the ends of the partitions when the flow began.
        patience: How long to wait for brokers.
        lost: What to do where the topic no longer holds the records to go on with.
        begin_from: Where to begin, if the operator has chosen.
        expects_state: There is a recovery directory: an empty one is not begun with in silence.

    Raises:
        KafkaJobError: From the methods and the running flow: no broker, no such topic, no rights, or a position that
            the topic no longer holds.
        StartError: From the methods and the running flow: it is not clear where to begin.
    """

    def __init__(
        self,
        config: Config,
        topic: str,
        *,
        batch_size: int = 64,
        idle_seconds: float = 0.002,
        stop: threading.Event | None = None,
        stop_at_end: bool = False,
        patience: OutagePolicy | None = None,
        lost: LostOffsets = "stop",
        begin_from: BeginFrom | None = None,
        expects_state: bool = False,
    ) -> None:
        self.config = config
        self.topics = TopicChoice(topic)
        self.batch_size = batch_size
        self.idle_seconds = idle_seconds
        self.stop = stop or threading.Event()
        self.stop_at_end = stop_at_end
        self.patience = patience or OutagePolicy(stop=self.stop)
        self.lost = lost
        self.begin_from = begin_from
        self.expects_state = expects_state
        self.places: list[Place] = []
        """The partitions as the engine was told of them."""
        self.skipped: Counter[Place] = Counter()
        """How many records the topic no longer held when their turn came, by partition."""
        self._readers: dict[int, Reader] = {}

    def list_parts(self) -> list[str]:
        """Name the partitions: those of the main topic by their numbers, others `topic/number`."""
        self.places = self._list()
        return [str(place[1]) if place[0] == self.topics.main else name_of(place) for place in self.places]

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> "_Partition":
        """Open one partition on the calling worker's consumer; see the engine's interface."""
        worker, place = threading.get_ident(), place_of(for_part)
        place = (place[0] or self.topics.main or "", place[1])
        if worker not in self._readers:
            self._readers[worker] = self._read()
        reader = self._readers[worker]
        saved = None if resume_state is None else Position.load(resume_state, place)
        return _Partition(reader, reader.open(place, saved), self.stop)

    def close(self) -> None:
        """Commit the last positions and hang up: to be called when the dataflow has returned, not raised.

        The engine closes a partition before its last snapshot is durable, so no earlier moment is right.
        Without this call the group's offsets stay behind by the last epoch; nothing else is different.
        """
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _list(self) -> list[Place]:
        _, cluster = connect(self.config, 10.0)
        topics = self.topics.among(cluster.topics)
        missing = [topic for topic in self.topics.names if topic not in topics] or (
            [] if topics else [self.topics.text]
        )
        if missing:
            raise explain_error(
                self.config, f"reading topic {missing[0]!r}", KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
            )
        return [(topic, number) for topic in topics for number in sorted(cluster.topics[topic].partitions)]

    def _read(self) -> Reader:
        group, reset = self.config.get("group.id"), str(self.config.get("auto.offset.reset", "earliest"))
        return Reader(
            self.config,
            self.topics,
            self.places or self._list(),
            StartOffsets(group, reset, self.lost, self.begin_from, self.skipped),
            self.patience,
            self.batch_size,
            self.idle_seconds,
            self.stop_at_end,
            self.expects_state,
        )


class _Partition(StatefulSourcePartition[Raw, dict[str, Any]]):
    """One partition as the engine sees it; the host of merged partitions has them all."""

    def __init__(self, reader: Reader, partition: PartitionBuffer, stop: threading.Event) -> None:
        self._reader = reader
        self._own = partition
        self._partitions = [partition]
        self._stop = stop
        self._snapshot = {partition.place: partition.position}
        self._undurable = False

    def next_batch(self) -> list[Raw]:
        reader = self._reader
        reader.check_state()
        if self._undurable:  # the engine asks for records again only when the snapshot's epoch is durable
            self._undurable = False
            if not reader.hosts(self._own.place):
                reader.commit(self._snapshot)
        if self._stop.is_set() or self._has_ended:
            raise StopIteration
        if reader.hosts(self._own.place):
            return []
        batch = reader.take(self._partitions) if reader.buffered else []
        if not batch:
            reader.fill()
            if reader.merge is not None:
                if reader.hosts(self._own.place):
                    return []
                self._partitions += [
                    partition for partition in reader.partitions() if partition not in self._partitions
                ]
            batch = reader.take(self._partitions)
        return batch

    def next_awake(self) -> datetime:
        """Always due: `Reader.fill` does the waiting, and wakes with the first record."""
        return _ALWAYS_DUE

    def snapshot(self) -> dict[str, Any]:
        position = self._reader.position(self._partitions)
        self._snapshot = position.offsets
        self._undurable = True
        return position.dump()

    def close(self) -> None:
        # A host closes before those that it hosts, or after: each partition is released by itself, with the newest
        # offset that is known of it.
        self._reader.release(self._own, self._snapshot.get(self._own.place))
        for partition in self._partitions:
            if partition is not self._own:
                self._reader.release(partition, self._snapshot.get(partition.place))

    @property
    def _has_ended(self) -> bool:
        if not self._own.has_ended or self._reader.host != self._own.place:
            return self._own.has_ended  # a job without an end asks no further
        return all(partition.has_ended for partition in [*self._partitions, *self._reader.partitions()])
