"""Feed: write a recorded log into the input topic, as if its events came now."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from flows.errors import UsageError
from flows.files.open_log import Log, LogError, open_log
from flows.formats.file_format import FileOptions
from flows.formats.json_events import encode_event, fields_of
from flows.formats.record_writer import RecordWriter
from flows.job.decoder import format_of
from flows.job.preflight import require_brokers
from flows.kafka.admin import create_topic, partitions
from flows.kafka.errors import SILENCE_STDERR, retry
from flows.kafka.sink import KafkaSink
from flows.messages import Event, Interaction, Outgoing, Rejected
from flows.settings import Settings

BATCH = 1_000
"""Most events handed to the client at once."""
BATCHES_A_SECOND = 20
"""Number of batches a second if a rate is given."""


class Fed(NamedTuple):
    """Result of a feed."""

    delivered: int
    """Events that the brokers have acknowledged."""
    rejected: int
    """Records of the log that are no events, and did not go."""
    skipped: bool = False
    """Whether nothing was done, since the topic has held an event before."""


def feed(
    log: str | Path,
    settings: Settings,
    topic: str,
    rate: float | None = None,
    file_options: Sequence[tuple[str, FileOptions]] = (),
    *,
    if_empty: bool = False,
) -> Fed:
    """Write the good events of a log into a topic, in order per user, and wait until all have arrived.

    They have the names of fields and the form of times that the job reads from the topic.
    A missing topic is created, if `settings.create_topics`. If the topic has one
    partition, and the log has its name and no rejects, the job's lists equal those of a replay.

    Args:
        log: CSV or JSON, plain, `.gz` or `.zst`, or Parquet.
        settings: Where the brokers are, and the size of a topic that is created.
        topic: The topic to write to.
        rate: Events per second. None: as fast as they go.
        file_options: How files are read, by patterns of their names. It comes before what the settings say.
        if_empty: Do nothing where the topic has held an event before.

    Raises:
        LogError: The log cannot be read, or breaks off; then all that was read before has been delivered.
        KafkaJobError: An event could not be delivered.
        UsageError: The rate is not above 0, or the brokers or the topic cannot be reached.
    """
    if rate is not None and not rate > 0.0:
        raise UsageError(f"rate: expected events per second, above 0; got {rate}")
    batch = BATCH if rate is None else max(1, min(BATCH, int(rate / BATCHES_A_SECOND)))
    opened = open_log(log, file_options=[*file_options, *settings.file_options], batch_size=batch)
    client = settings.client()
    require_brokers(settings, {"input_topic": [topic]}, may_be_missing=True)
    if settings.create_topics:
        size = {"partitions": settings.partitions, "replication": settings.replication}
        create_topic(client, topic, compacted=False, **size)
        require_brokers(settings, {"input_topic": [topic]})
    if if_empty and not _is_empty(client, topic):
        return Fed(0, 0, skipped=True)
    sink, rejected = KafkaSink(client, topic), 0
    part, encode = sink.build_part("feed", "0", None), _encoder(settings, topic)
    for decoded in _paced(_batches(opened), rate):
        events = [event for event in decoded if not isinstance(event, Rejected)]
        rejected += len(decoded) - len(events)
        part.write_batch([encode(event) for event in events])
    part.snapshot()  # waits for every delivery, and fails loudly
    part.close()
    if opened.source.damage:
        raise LogError(f"{opened.source.damage} {sink.delivered:,} events were delivered to {topic!r}.")
    return Fed(sink.delivered, rejected)


def _encoder(settings: Settings, topic: str) -> Callable[[Event], Outgoing]:
    """Return a function that encodes an event as the job will read it from the topic."""
    found = format_of(settings, topic)
    fields, times = found.fields or {}, found.times
    if not fields and times.is_plain:
        return encode_event
    writer = RecordWriter(fields, times)

    def encode(event: Event) -> Outgoing:
        if not writer.has_kinds and not isinstance(event, Interaction):
            raise UsageError(
                f"{event.source}: expected an interaction, since the setting `fields` gives the name `kind` to another "
                f"field; got an event of another kind. Read {topic} with another name for it."
            )
        return writer.encode(fields_of(event))

    return encode


def _batches(log: Log) -> Iterator[list[Event | Rejected]]:
    part = log.source.build_part("feed", "log", None)
    while True:
        try:
            batch = part.next_batch()
        except StopIteration:
            return
        yield [log.decoder(raw, 0.0) for raw in batch]


def _paced(batches: Iterator[list[Event | Rejected]], rate: float | None) -> Iterator[list[Event | Rejected]]:
    """Let each batch go when its last record is due."""
    start, records = time.monotonic(), 0
    for batch in batches:
        records += len(batch)
        if rate is not None:
            time.sleep(max(0.0, start + records / rate - time.monotonic()))
        yield batch


def _is_empty(client: Mapping[str, Any], topic: str) -> bool:
    """Say whether no partition of a topic has ever held a record; one that was deleted counts, too."""
    doing = f"asking for the offsets of topic {topic!r}"
    settings = {**SILENCE_STDERR, **client, "group.id": "freshrank-feed"}
    consumer = retry(client, doing, lambda: Consumer(settings))
    try:
        for number in partitions(client, topic):
            request = partial(consumer.get_watermark_offsets, TopicPartition(topic, number), timeout=10.0)
            if retry(client, doing, request)[1] > 0:
                return False
    finally:
        consumer.close()
    return True
