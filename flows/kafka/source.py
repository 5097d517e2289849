"""Kafka source of the flow: records as bytes, each with its position.

One consumer per worker reads all of the worker's partitions. One worker usually has all of them, and then merges their
records by time. The engine assigns partitions to workers, so there is no group balancing. Still, the source commits the
group's offsets, each as soon as its epoch is durable. So lag monitors work, and a run without a recovery state
continues where the last one stopped.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
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
from flows.kafka.share import Share
from flows.kafka.start_offsets import BeginFrom, LostOffsets, StartOffsets
from flows.kafka.topics import TopicChoice
from flows.messages import Raw

_ALWAYS_DUE = datetime(1970, 1, 1, tzinfo=UTC)


class KafkaSource(FixedPartitionedSource[Raw, Any]):
    """Reads all partitions of one or several topics, in order within each.

    A partition starts at the offset of the recovery state, else at the group's committed offset, else by
    `auto.offset.reset` (see `flows.kafka.start_offsets`). If one worker reads everything, it also reads partitions and
    matching topics that are added while the job runs, from their first record. Otherwise they wait for a restart, and a
    log line says so.

    Args:
        config: librdkafka consumer settings with `bootstrap.servers` and `group.id`. The source makes all commits.
        topic: The topic to read, several with commas between them, or a pattern that begins with `^`.
        batch_size: Number of records taken at once, over all partitions.
        idle_seconds: Seconds to wait for a record if there is none. The wait ends with the first record.
        stop: When it is set, the source ends as if there were no more records, so all state is saved.
        stop_at_end: End at the ends that the partitions had when the flow began.
        patience: How long to wait for brokers.
        lost: What to do if retention removed the next records.
        begin_from: Start offset that the operator has chosen, if any.
        expects_state: There is a recovery directory. An empty one is refused if the group has read before.
        begin_at: Offsets behind a backfill, for partitions without a recovery state.
        share: The partitions that are read. None: all.

    Raises:
        KafkaJobError: From the methods and the running flow: no broker, no such topic, no rights, or an offset that the
            topic no longer holds.
        StartError: From the methods and the running flow: the start offset is ambiguous.
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
        begin_at: Mapping[Place, int] | None = None,
        share: Share | None = None,
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
        self.begin_at = begin_at
        self.share = share
        self.places: list[Place] = []
        """The partitions that the engine knows."""
        self.skipped: Counter[Place] = Counter()
        """Number of records that retention removed before they were read, by partition."""
        self.ended = 0
        """Number of partitions that have come to their end."""
        self._readers: dict[int, Reader] = {}

    @property
    def has_ended(self) -> bool:
        """Whether all partitions have come to their end."""
        return bool(self.places) and self.ended >= len(self.places)

    def list_parts(self) -> list[str]:
        """Name the partitions: those of the main topic by their numbers, others `topic/number`."""
        self.places = self._list()
        return [str(place[1]) if place[0] == self.topics.main else name_of(place) for place in self.places]

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> "_Partition":
        """Open one partition on the calling worker's consumer. See the engine's interface."""
        worker, place = threading.get_ident(), place_of(for_part)
        place = (place[0] or self.topics.main or "", place[1])
        if worker not in self._readers:
            self._readers[worker] = self._read()
        reader = self._readers[worker]
        saved = None if resume_state is None else Position.load(resume_state, place)
        return _Partition(reader, reader.open(place, saved), self.stop, self._note_end)

    def close(self) -> None:
        """Commit the last positions and close the consumer. Call it once the dataflow has returned normally.

        The engine closes a partition before its last snapshot is durable, so an earlier commit would be wrong. Without
        this call the group's offsets lack the last epoch. Nothing else differs.
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
        every = [(topic, number) for topic in topics for number in sorted(cluster.topics[topic].partitions)]
        return every if self.share is None else self.share.begin(every)

    def _note_end(self) -> None:
        self.ended += 1

    def _read(self) -> Reader:
        group, reset = self.config.get("group.id"), str(self.config.get("auto.offset.reset", "earliest"))
        return Reader(
            self.config,
            self.topics,
            self.places or self._list(),
            StartOffsets(group, reset, self.lost, self.begin_from, self.skipped, self.begin_at),
            self.patience,
            self.batch_size,
            self.idle_seconds,
            self.stop_at_end,
            self.expects_state,
            self.share,
        )


class _Partition(StatefulSourcePartition[Raw, dict[str, Any]]):
    """One partition as the engine sees it. The host of merged partitions reads them all."""

    def __init__(
        self, reader: Reader, partition: PartitionBuffer, stop: threading.Event, note_end: Callable[[], None]
    ) -> None:
        self._reader = reader
        self._own = partition
        self._partitions = [partition]
        self._stop = stop
        self._note_end = note_end
        self._snapshot = {partition.place: partition.position}
        self._undurable = False

    def next_batch(self) -> list[Raw]:
        reader = self._reader
        reader.check_state()
        if self._undurable:  # the engine polls again only when the snapshot's epoch is durable
            self._undurable = False
            if not reader.hosts(self._own.place):
                reader.commit(self._snapshot)
        if self._stop.is_set() or self._has_ended:
            self._note_end()
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
        """Return a time in the past: `Reader.fill` does the waiting, and returns with the first record."""
        return _ALWAYS_DUE

    def snapshot(self) -> dict[str, Any]:
        position = self._reader.position(self._partitions)
        self._snapshot = position.offsets
        self._undurable = True
        return position.dump()

    def close(self) -> None:
        # A host closes before or after the partitions that it hosts. So each is released by itself, with its newest
        # known offset.
        self._reader.release(self._own, self._snapshot.get(self._own.place))
        for partition in self._partitions:
            if partition is not self._own:
                self._reader.release(partition, self._snapshot.get(partition.place))

    @property
    def _has_ended(self) -> bool:
        if not self._own.has_ended or self._reader.host != self._own.place:
            return self._own.has_ended  # enough for a job without an end
        return all(partition.has_ended for partition in [*self._partitions, *self._reader.partitions()])
