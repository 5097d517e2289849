"""How many events of a topic are late when a job catches up: with one partition, and with eight.

Users are spread over the partitions, as a producer spreads keys, and Kafka's timestamps are the times of the events.
A late event is older than one that came before it.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink
from confluent_kafka import Producer

from bench.broker import on_a_broker
from bench.report import Number, Section, main
from flows.engine import run_flow
from flows.formats.json_events import JsonDecoder
from flows.kafka.source import KafkaSource
from flows.messages import Raw, Rejected
from flows.monitoring.counters import Counters
from flows.steps.clean import Cleaner
from tests.support.kafka_broker import Broker, make_topic

START = 1_700_000_000
USERS = 5_000


def records(count: int) -> Iterator[tuple[str, int, bytes]]:
    """Yield events, one a second: the user, Unix milliseconds, and the record."""
    for n in range(count):
        user, time = f"u{n * 7_919 % USERS}", START + n
        yield user, time * 1_000, b'{"user": "%s", "item": "i%d", "timestamp": %d}' % (user.encode(), n % 999, time)


def late_events(bootstrap: str, partitions: int, count: int) -> tuple[int, int]:
    """Fill a topic, read it from its beginning to its end, and count the events and the late ones."""
    topic = f"catch-up-{uuid.uuid4().hex[:8]}"
    make_topic(bootstrap, topic, partitions, retention_ms="-1")  # the times are of long ago
    settings: dict[str, Any] = {"bootstrap.servers": bootstrap, "queue.buffering.max.messages": 1_000_000}
    producer = Producer({**settings, "enable.idempotence": True})  # without it, a batch that is retried comes late
    for user, milliseconds, record in records(count):
        producer.produce(topic, record, partition=crc32(user.encode()) % partitions, timestamp=milliseconds)
        producer.poll(0)
    assert producer.flush(120) == 0
    source = KafkaSource(
        {"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest"}, topic, stop_at_end=True
    )
    decode, cleaner, read = JsonDecoder(), Cleaner(0, Counters()), 0

    def clean(batch: list[Raw]) -> list[int]:
        events = [event for raw in batch if not isinstance(event := decode(raw, 0.0), Rejected)]
        return [len(cleaner.process(events))]

    counts: list[int] = []
    flow = Dataflow("catch_up")
    op.output("out", op.flat_map_batch("clean", op.input("in", flow, source), clean), TestingSink(counts))
    run_flow(flow, None, epoch_seconds=5.0)
    source.close()
    read = sum(counts)
    return read, cleaner.counters.late


def measure(quick: bool) -> Section:
    """Start a broker, and read the same events from one partition and from eight."""
    section = Section("Late events while a job catches up", "python -m bench.catch_up")
    count = 20_000 if quick else 300_000

    def on(broker: Broker, _: Path) -> None:
        for partitions in (1, 8):
            read, late = late_events(broker.bootstrap, partitions, count)
            assert read == count, f"{read:,} of {count:,} events came"
            section.numbers.append(Number(f"late of {count:,} events, {partitions} partitions", late, "events"))

    return on_a_broker(section, on)


if __name__ == "__main__":
    main(measure)
