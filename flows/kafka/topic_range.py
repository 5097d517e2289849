"""Range of a topic: the records of all partitions between two times or two offsets, merged by time."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from flows.errors import LogError
from flows.kafka.admin import partitions
from flows.kafka.errors import SILENCE_STDERR, Config, explain_error, retry
from flows.kafka.outage import ErrorCallback, OutagePolicy
from flows.messages import Raw

GROUP: Final = "freshrank-record"
"""Name of the group that a consumer must have. It is neither joined nor committed to."""
_SECONDS: Final = 10.0
_FETCHED: Final = 500


@dataclass(frozen=True)
class TopicRange:
    """Start and end in every partition. None sets no limit."""

    since: float | None = None
    """Unix seconds. The range starts at the first record with this Kafka timestamp or a later one."""
    until: float | None = None
    """Unix seconds. The range ends before the first record with this Kafka timestamp or a later one."""
    first: int | None = None
    """Offset of the first record."""
    end: int | None = None
    """Offset behind the last record."""


def read_range(config: Config, topic: str, wanted: TopicRange, patience: OutagePolicy | None = None) -> Iterator[Raw]:
    """Read a range of a topic, at most up to the present ends of its partitions.

    Partitions are merged by Kafka timestamp, and records of the same time by partition. This is about the order in
    which a job without lag reads them. It is the same each time the range is read. Within a partition it is the order
    of the offsets.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
        topic: Its name.
        wanted: The range.
        patience: How long to wait for brokers that are away.

    Raises:
        KafkaJobError: No broker answers, the topic does not exist, or it may not be read.
        LogError: The topic no longer holds the record at the first offset.
    """
    doing = f"reading topic {topic!r}"
    parts = [
        _Part(config, topic, number, ErrorCallback(config, doing, patience)) for number in partitions(config, topic)
    ]
    try:
        bounds = [part.bounds(wanted) for part in parts]
        streams = [part.read(*each) for part, each in zip(parts, bounds, strict=True)]
        for _, raw in heapq.merge(*streams, key=itemgetter(0)):
            yield raw
    finally:
        for part in parts:
            part.consumer.close()


def read_partition(config: Config, topic: str, number: int, wanted: TopicRange) -> Iterator[Raw]:
    """Read a range of one partition. Arguments and errors are those of `read_range`."""
    part = _Part(config, topic, number, ErrorCallback(config, f"reading topic {topic!r}", None))
    try:
        for _, raw in part.read(*part.bounds(wanted)):
            yield raw
    finally:
        part.consumer.close()


class _Part:
    """One partition with a consumer of its own, so that fetching pauses while the merge waits for another."""

    def __init__(self, config: Config, topic: str, number: int, watch: ErrorCallback) -> None:
        self.config = config
        self.where = f"{topic}/{number}"
        self.topic = topic
        self.number = number
        self.watch = watch
        settings: dict[str, Any] = {
            **SILENCE_STDERR,
            "queued.max.messages.kbytes": 4_096,
            **config,
            "group.id": config.get("group.id", GROUP),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "error_cb": watch,
        }
        self.consumer = retry(config, f"opening {self.where}", lambda: Consumer(settings))

    def bounds(self, wanted: TopicRange) -> tuple[int, int]:
        """Return the first offset, and the one after the last."""
        doing, place = f"asking for the offsets of {self.where}", TopicPartition(self.topic, self.number)
        request = partial(self.consumer.get_watermark_offsets, place, timeout=_SECONDS)
        low, high = retry(self.config, doing, request)
        if wanted.first is not None and wanted.first < low:
            raise LogError(
                f"{self.where}: expected to record from offset {wanted.first}; the topic holds {low} to {high}, its "
                "retention has removed what was before. Begin there."
            )
        start = max(low, wanted.first or 0, self._at(wanted.since, high) if wanted.since is not None else low)
        stop = min(high, high if wanted.end is None else wanted.end)
        if wanted.until is not None:
            stop = min(stop, self._at(wanted.until, high))
        return start, stop

    def _at(self, moment: float, high: int) -> int:
        """Return the offset of the first record with a Kafka timestamp of at least `moment`."""
        place = TopicPartition(self.topic, self.number, int(moment * 1_000))
        doing = f"asking for the offset of {self.where} at a time"
        (found,) = retry(self.config, doing, partial(self.consumer.offsets_for_times, [place], timeout=_SECONDS))
        if found.error is not None:
            raise explain_error(self.config, doing, found.error)
        return found.offset if found.offset >= 0 else high

    def read(self, start: int, stop: int) -> Iterator[tuple[int, Raw]]:
        """Yield records, each with its Kafka timestamp in milliseconds."""
        if start >= stop:
            return
        self.consumer.assign([TopicPartition(self.topic, self.number, start)])
        while True:
            messages = self.consumer.consume(_FETCHED, 0.5)
            self.watch.check()
            if messages:
                self.watch.answered()
            else:
                self.watch.check_patience()
            for message in messages:
                offset, error = message.offset(), message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise explain_error(self.config, f"reading {self.where}", error)
                if offset is None or offset >= stop:
                    return  # at the end, where what was removed or aborted leaves offsets that no record fills
                if error is None:
                    yield message.timestamp()[1], Raw(self.topic, self.number, offset, message.value(), message)
                if offset + 1 >= stop:
                    return
