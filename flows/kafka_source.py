"""Kafka partitions as the flow's source: undecoded records, each with its position.

One consumer per worker serves all of the worker's partitions: it fetches for all at once, and each partition takes its
own share. Partitions are assigned, not balanced by a group: the engine decides who reads what. The group's offsets are
committed all the same, each as soon as its epoch is durable, so that lag monitors work and a run without a recovery
state goes on where the last one stopped.
"""

import logging
import threading
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka_admin import partitions
from flows.kafka_trouble import QUIET, Config, ErrorWatch, KafkaTrouble, ask, trouble
from flows.messages import Raw

logger = logging.getLogger(__name__)

_ALWAYS_DUE = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = 10.0
"""How long a question to the brokers may take before the flow runs."""
_DEFAULTS: dict[str, Any] = {
    **QUIET,
    "topic.metadata.refresh.interval.ms": 30_000,
    "statistics.interval.ms": 30_000,  # the statistics name a topic's partitions, new ones too
    "session.timeout.ms": 6_000,  # there is no session; this is how long a commit seeks its coordinator
}
_RESETS = {"earliest": 0, "smallest": 0, "beginning": 0, "latest": 1, "largest": 1, "end": 1}


class KafkaSource(FixedPartitionedSource[Raw, int]):
    """Reads all partitions of a topic, in order within each.

    A partition starts where the recovery state says (the offset of its next record), else at the group's committed
    offset, else by `auto.offset.reset`. A partition that was added since others were committed starts at its first
    record, whatever `auto.offset.reset` says: nobody has had its events yet.

    Args:
        config: librdkafka consumer settings with `bootstrap.servers` and `group.id`. Commits are the source's own.
        topic: The topic to read.
        batch_size: Records taken at once, over all partitions.
        idle_seconds: How long to wait for a record where there is none. The wait ends with the first record.
        stop: When it is set, the source ends as if there were no more records, so that all state is kept.
        stop_at_end: End at what were the ends of the partitions when the flow began.

    Raises:
        KafkaTrouble: From the methods and the running flow: no broker at the start, no such topic, no rights, or a
            position that the topic no longer holds.
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
    ) -> None:
        self.config = config
        self.topic = topic
        self.batch_size = batch_size
        self.idle_seconds = idle_seconds
        self.stop = stop or threading.Event()
        self.stop_at_end = stop_at_end
        self.numbers: list[int] = []
        """The topic's partitions as the engine was told of them."""
        self._readers: dict[int, _Reader] = {}

    def list_parts(self) -> list[str]:
        """Name the topic's partitions by their numbers."""
        self.numbers = partitions(self.config, self.topic)
        return [str(number) for number in self.numbers]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_Partition":
        """Open one partition on the calling worker's consumer; see the engine's interface."""
        worker = threading.get_ident()
        if worker not in self._readers:
            self._readers[worker] = _Reader(self)
        return self._readers[worker].open(int(for_part), resume_state)

    def close(self) -> None:
        """Commit the last positions and hang up: to be called when the dataflow has returned, not raised.

        The engine closes a partition before its last snapshot is durable, so no earlier moment is right.
        Without this call the group's offsets stay behind by the last epoch; nothing else is different.
        """
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()


class _Reader:
    """One worker's consumer, and the partitions that it fetches for."""

    def __init__(self, source: KafkaSource) -> None:
        self.source = source
        self.topic = source.topic
        self.buffered = 0
        self.idle_calls = 0
        """Calls of `_Partition.next_batch` in a row that had nothing to give."""
        self._parts: dict[int, _Partition] = {}
        self._unassigned: dict[int, TopicPartition] = {}
        self._final: dict[int, int] = {}
        self._watch = ErrorWatch(source.config, f"reading topic {source.topic!r}")
        settings: dict[str, Any] = {
            **_DEFAULTS,
            **source.config,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # `_start` resolves it; no later jump may pass silently
            "enable.partition.eof": source.stop_at_end,
            "error_cb": self._watch,
            "on_commit": self._on_commit,
            "stats_cb": self._statistics,
        }
        self._known = set(source.numbers or partitions(source.config, self.topic))
        every = [TopicPartition(self.topic, number) for number in self._known]
        doing = f"opening topic {self.topic!r}"
        self._consumer = ask(source.config, doing, lambda: Consumer(settings))
        answers = ask(source.config, doing, lambda: self._consumer.committed(every, timeout=_SECONDS))
        self._commits = {each.partition: each.offset for each in answers}

    def open(self, number: int, resume: int | None) -> "_Partition":
        low, high = self._ends(number)
        where = TopicPartition(self.topic, number, self._start(number, resume, low, high))
        # Assigned when all are open: a broker that holds a fetch until records come answers nothing else.
        self._unassigned[number] = where
        end = high if self.source.stop_at_end else None
        self._parts[number] = part = _Partition(self, number, where.offset, end)
        return part

    def fill(self) -> None:
        """Fetch once for all partitions; wait only where one whole round of calls has found nothing.

        To wait any sooner would hold up the records that another partition has just given to the flow.
        """
        if self._unassigned:
            self._consumer.incremental_assign(list(self._unassigned.values()))
            self._unassigned.clear()
        messages = self._consumer.consume(self.source.batch_size, 0)
        if not messages and self.idle_calls and self.idle_calls % len(self._parts) == 0:
            # Unlike `consume`, `poll` returns with the first record.
            first = self._consumer.poll(self.source.idle_seconds)
            messages = [] if first is None else [first]
        self._watch.check()
        topic, parts = self.topic, self._parts
        for message in messages:
            number, offset = message.partition(), message.offset()
            part = parts.get(-1 if number is None else number)
            if (error := message.error()) is not None:
                self._failed(error, part, offset)
            elif part is None or offset is None:
                continue  # on its way when the partition was closed
            elif part.end is not None and offset >= part.end:
                part.reached = part.end
            else:
                part.buffer.append(Raw(topic, part.number, offset, message.value()))
                self.buffered += 1

    def commit(self, number: int, offset: int) -> None:
        """Tell the group, without waiting for its answer."""
        try:
            self._consumer.commit(offsets=[TopicPartition(self.topic, number, offset)], asynchronous=True)
        except KafkaException as error:
            self._on_commit(error.args[0], [])

    def release(self, number: int, final: int) -> None:
        self.buffered -= len(self._parts.pop(number).buffer)
        self._final[number] = final
        with suppress(KafkaException):  # the engine aborts the process where a `close` raises after another failure
            if self._unassigned.pop(number, None) is None:
                self._consumer.incremental_unassign([TopicPartition(self.topic, number)])

    def close(self) -> None:
        offsets = [TopicPartition(self.topic, number, offset) for number, offset in self._final.items()]
        try:
            if offsets:
                self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            self._on_commit(error.args[0], [])
        self._consumer.close()

    def _ends(self, number: int) -> tuple[int, int]:
        """The offset of the first record that the partition holds, and that of the next to come."""
        where, doing = TopicPartition(self.topic, number), f"asking for the offsets of {self.topic}/{number}"
        request = partial(self._consumer.get_watermark_offsets, where, timeout=_SECONDS)
        return ask(self.source.config, doing, request)

    def _start(self, number: int, resume: int | None, low: int, high: int) -> int:
        """The offset to start from, which the topic must still hold or be about to write."""
        committed = self._commits.get(number, -1)
        if resume is not None:
            start, origin = resume, "the recovery state"
        elif committed >= 0:
            start, origin = committed, f"group {self.source.config.get('group.id')!r}"
        elif any(offset >= 0 for offset in self._commits.values()):
            start, origin = low, "a new partition, from its start"
        else:
            reset = str(self.source.config.get("auto.offset.reset", "earliest"))
            if reset not in _RESETS:
                raise KafkaTrouble(
                    f"{self.topic}/{number}: expected a recovery state or an offset of group"
                    f" {self.source.config.get('group.id')!r} to start from, found neither, and"
                    f" auto.offset.reset is {reset!r}. Set `start` to earliest or latest."
                )
            start, origin = (low, high)[_RESETS[reset]], f"auto.offset.reset {reset}"
        if not low <= start <= high:
            raise self._out_of_range(number, start, origin, low, high)
        logger.info("%s/%d: reading from offset %d (%s)", self.topic, number, start, origin)
        return start

    def _out_of_range(self, number: int, offset: int, origin: str, low: int, high: int) -> KafkaTrouble:
        # The one place that decides what a lost position means: a policy other than to stop belongs here.
        lost = f"{low - offset} records are gone" if offset < low else "the topic is shorter than it was"
        return KafkaTrouble(
            f"{self.topic}/{number}: expected to go on at offset {offset} ({origin}), but the topic holds"
            f" {low} to {high}: {lost}. Restore the topic, or accept the gap: start with an empty state and"
            " the group's offsets reset (kafka-consumer-groups.sh --reset-offsets)."
        )

    def _failed(self, error: KafkaError, part: "_Partition | None", offset: int | None) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            if part is not None:
                part.reached = offset or 0
        elif error.code() == KafkaError._AUTO_OFFSET_RESET and part is not None:
            raise self._out_of_range(part.number, offset or 0, "reading on", *self._ends(part.number))
        else:
            self._watch(error)
            self._watch.check()

    def _on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        failed = error or next((each.error for each in offsets if each.error), None)
        if failed is not None:
            said = trouble(self.source.config, f"committing offsets of topic {self.topic!r}", failed)
            logger.warning("%s Lag monitors are behind until a commit succeeds.", said)

    def _statistics(self, text: str) -> None:
        seen = orjson.loads(text)["topics"].get(self.topic, {}).get("partitions", {})
        new = {int(number) for number, state in seen.items() if not state["unknown"]} - self._known - {-1}
        if new:
            self._known |= new
            numbers = ", ".join(map(str, sorted(new)))
            logger.warning("topic %r has new partitions: %s. Restart to read them.", self.topic, numbers)


class _Partition(StatefulSourcePartition[Raw, int]):
    """One partition as the engine sees it."""

    def __init__(self, reader: _Reader, number: int, position: int, end: int | None) -> None:
        self.number = number
        self.end = end
        self.buffer: list[Raw] = []
        self.reached = position
        """Where the log was last seen to end: transactions leave offsets there that no record fills."""
        self._reader = reader
        self._position = position
        self._snapshot = position
        self._undurable = False

    def next_batch(self) -> list[Raw]:
        reader = self._reader
        if self._undurable:  # the engine asks for records again only when the snapshot's epoch is durable
            self._undurable = False
            reader.commit(self.number, self._snapshot)
        if reader.source.stop.is_set() or (self.end is not None and self._position >= self.end):
            raise StopIteration
        if not reader.buffered:
            reader.fill()
        batch = self.buffer
        if not batch:
            reader.idle_calls += 1
            self._position = max(self._position, self.reached)
            return batch
        self.buffer = []
        reader.idle_calls = 0
        reader.buffered -= len(batch)
        self._position = batch[-1].offset + 1
        return batch

    def next_awake(self) -> datetime:
        """Always due: `fill` does the waiting, and wakes with the first record."""
        return _ALWAYS_DUE

    def snapshot(self) -> int:
        self._snapshot, self._undurable = self._position, True
        return self._snapshot

    def close(self) -> None:
        self._reader.release(self.number, self._snapshot)
