"""Kafka partitions as the flow's source: undecoded records, each with its position.

One consumer per worker serves all of the worker's partitions: it fetches for all at once, and each partition takes its
own share. Partitions are assigned, not balanced by a group: the engine decides who reads what. The group's offsets are
committed all the same, each as soon as its epoch is durable, so that lag monitors work and a run without a recovery
state goes on where the last one stopped.
"""

import threading
from collections import Counter
from datetime import UTC, datetime
from typing import TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.kafka.admin import partitions
from flows.kafka.consumer import PartitionBuffer, Reader
from flows.kafka.errors import Config
from flows.kafka.outage import OutagePolicy
from flows.kafka.start_offsets import LostOffsets, StartOffsets
from flows.messages import Raw

Position: TypeAlias = int | dict[int, int]
"""The offset of a partition's next record; with those of the partitions it has adopted, by number, if there are any."""

_ALWAYS_DUE = datetime(1970, 1, 1, tzinfo=UTC)


class KafkaSource(FixedPartitionedSource[Raw, Position]):
    """Reads all partitions of a topic, in order within each.

    A partition starts where the recovery state says (the offset of its next record), else at the group's committed
    offset, else by `auto.offset.reset`; see `kafka_start`. Partitions that are added while the job runs are read from
    their first record, if one worker reads the whole topic; else they wait for a restart, and the log says so.

    Args:
        config: librdkafka consumer settings with `bootstrap.servers` and `group.id`. Commits are the source's own.
        topic: The topic to read.
        batch_size: Records taken at once, over all partitions.
        idle_seconds: How long to wait for a record where there is none. The wait ends with the first record.
        stop: When it is set, the source ends as if there were no more records, so that all state is kept.
        stop_at_end: End at what were the ends of the partitions when the flow began.
        patience: How long to wait for brokers.
        lost: What to do where the topic no longer holds the records to go on with.

    Raises:
        KafkaTrouble: From the methods and the running flow: no broker, no such topic, no rights, or a position that
            the topic no longer holds.
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
    ) -> None:
        self.config = config
        self.topic = topic
        self.batch_size = batch_size
        self.idle_seconds = idle_seconds
        self.stop = stop or threading.Event()
        self.stop_at_end = stop_at_end
        self.patience = patience or OutagePolicy(stop=self.stop)
        self.lost = lost
        self.numbers: list[int] = []
        """The topic's partitions as the engine was told of them."""
        self.skipped: Counter[int] = Counter()
        """How many records the topic no longer held when their turn came, by partition."""
        self._readers: dict[int, Reader] = {}

    def list_parts(self) -> list[str]:
        """Name the topic's partitions by their numbers."""
        self.numbers = partitions(self.config, self.topic)
        return [str(number) for number in self.numbers]

    def build_part(self, step_id: str, for_part: str, resume_state: Position | None) -> "_Partition":
        """Open one partition on the calling worker's consumer; see the engine's interface."""
        worker, number = threading.get_ident(), int(for_part)
        if worker not in self._readers:
            self._readers[worker] = self._read()
        reader, handed = self._readers[worker], {}
        if isinstance(resume_state, dict):
            handed = {other: offset for other, offset in resume_state.items() if other != number}
            resume_state = resume_state[number]
        return _Partition(reader, reader.open(number, resume_state, handed), self.stop)

    def close(self) -> None:
        """Commit the last positions and hang up: to be called when the dataflow has returned, not raised.

        The engine closes a partition before its last snapshot is durable, so no earlier moment is right.
        Without this call the group's offsets stay behind by the last epoch; nothing else is different.
        """
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _read(self) -> Reader:
        group, reset = self.config.get("group.id"), str(self.config.get("auto.offset.reset", "earliest"))
        return Reader(
            self.config,
            self.topic,
            self.numbers or partitions(self.config, self.topic),
            StartOffsets(self.topic, group, reset, self.lost, {}, self.skipped),
            self.patience,
            self.batch_size,
            self.idle_seconds,
            self.stop_at_end,
        )


class _Partition(StatefulSourcePartition[Raw, Position]):
    """One partition as the engine sees it, with those that it has adopted."""

    def __init__(self, reader: Reader, share: PartitionBuffer, stop: threading.Event) -> None:
        self._reader = reader
        self._shares = [share]
        self._stop = stop
        self._snapshot = {share.number: share.position}
        self._undurable = False

    def next_batch(self) -> list[Raw]:
        reader, (own, *_) = self._reader, self._shares
        if self._undurable:  # the engine asks for records again only when the snapshot's epoch is durable
            self._undurable = False
            reader.commit(self._snapshot)
        if self._stop.is_set() or (own.end is not None and own.position >= own.end):
            raise StopIteration
        if not reader.buffered:
            reader.fill()
        if reader.adopted:
            self._shares += reader.adopted
            reader.adopted = []
        batch: list[Raw] = []
        for share in self._shares:
            if batch := share.take():  # a batch is of one partition
                break
        reader.buffered -= len(batch)
        reader.idle_calls = 0 if batch else reader.idle_calls + 1
        return batch

    def next_awake(self) -> datetime:
        """Always due: `Reader.fill` does the waiting, and wakes with the first record."""
        return _ALWAYS_DUE

    def snapshot(self) -> Position:
        self._snapshot = {share.number: share.position for share in self._shares}
        self._undurable = True
        return dict(self._snapshot) if len(self._shares) > 1 else self._shares[0].position

    def close(self) -> None:
        for share in self._shares:
            self._reader.release(share.number, self._snapshot.get(share.number))
