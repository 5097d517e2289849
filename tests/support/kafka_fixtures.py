"""Fixtures and helpers for tests that need Kafka: a real broker, a mock of one, fresh topics, short flows."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import StatefulSourcePartition
from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]  # forgotten re-export

from flows.engine import run_flow
from flows.kafka import partition_buffer
from flows.kafka.errors import Config, retry
from flows.kafka.sink import KafkaSink
from flows.kafka.source import KafkaSource
from flows.messages import Outgoing, Raw
from tests.support.kafka_broker import Broker, NoBrokerError, make_topic


@dataclass
class GivenBroker:
    """A broker that somebody else runs: tests may use its open listener and nothing more."""

    bootstrap: str
    sasl_bootstrap: str | None = None


AnyBroker = Broker | GivenBroker
NewTopic = Callable[..., str]


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyBroker]:
    """One Apache Kafka broker for the whole session. That of `FRESHRANK_TEST_BOOTSTRAP` if it is set."""
    if given := os.environ.get("FRESHRANK_TEST_BOOTSTRAP"):
        yield GivenBroker(given)
        return
    own = start_broker(tmp_path_factory)
    yield own
    own.stop()


def start_broker(tmp_path_factory: pytest.TempPathFactory) -> Broker:
    """A broker of the caller's own. Where there can be none the test is skipped, on a CI machine failed."""
    try:
        broker = Broker(tmp_path_factory.mktemp("broker"))
        broker.start()
    except NoBrokerError as reason:
        if os.environ.get("CI"):
            pytest.fail(str(reason))
        pytest.skip(str(reason))
    return broker


@pytest.fixture
def new_topic(broker: AnyBroker) -> NewTopic:
    """A function that makes a topic of a new name: `new_topic(3, cleanup_policy="compact")`."""

    def new(partitions: int = 1, **config: str) -> str:
        topic = f"topic-{uuid.uuid4().hex[:8]}"
        make_topic(broker.bootstrap, topic, partitions, **config)
        return topic

    return new


@pytest.fixture
def patient_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a merge by time wait for a partition as long as a busy machine may need to fetch it."""
    monkeypatch.setattr(partition_buffer, "WAIT_SECONDS", 300.0)


@pytest.fixture
def mock_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of librdkafka's own mock cluster. A topic that is written to appears, with four partitions."""
    monkeypatch.setattr("flows.kafka.sink.max_message_bytes", lambda *asked: None)  # questions it never answers
    monkeypatch.setattr("flows.kafka.topic_ids.TopicIds.fetch", lambda *asked: {})
    owner = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 2})
    brokers = owner.list_topics(timeout=60).brokers
    yield ",".join(f"{each.host}:{each.port}" for each in brokers.values())
    owner.flush()  # the cluster lives as long as its owner: until here


def config(bootstrap: str, **more: str | int) -> Config:
    """Consumer settings of the group `freshrank`; `linger_ms=1` sets `linger.ms`."""
    settings = {name.replace("_", "."): value for name, value in more.items()}
    return {"bootstrap.servers": bootstrap, "group.id": "freshrank", "auto.offset.reset": "earliest", **settings}


def run(source: KafkaSource) -> list[Raw]:
    """All that a flow gets from the source until it ends, without the messages it came in."""
    got: list[Raw] = []
    flow = Dataflow("test")
    op.output("out", op.input("in", flow, source), TestingSink(got))
    run_flow(flow, None, epoch_seconds=0.05)
    source.close()
    return [raw._replace(carrier=None) for raw in got]


def offsets(part: StatefulSourcePartition[Raw, Any]) -> list[int]:
    """The offsets in a partition's snapshot, by topic and partition."""
    kept: dict[str, int] = part.snapshot()["offsets"]
    return [offset for _, offset in sorted(kept.items())]


def write(sink: KafkaSink, messages: list[Outgoing]) -> None:
    """Run a flow that writes these messages."""
    flow = Dataflow("test")
    pairs: list[tuple[str, Outgoing]] = [("", message) for message in messages]
    op.output("out", op.input("in", flow, TestingSource(pairs, batch_size=100)), sink)
    run_flow(flow, None, epoch_seconds=0.05)


def fill(bootstrap: str, topic: str, count: int, parts: int = 1, size: int = 0) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(count):
        producer.produce(topic, b"%d" % number + bytes(size), partition=number % parts)
    assert producer.flush(120) == 0


def delete_before(bootstrap: str, topic: str, offset: int) -> None:
    """What retention does, at once."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for done in admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        done.result(120)


def committed(bootstrap: str, topic: str, parts: int = 1, group: str = "freshrank") -> list[int]:
    """The group's offsets, a negative number where there is none."""
    consumer = Consumer(dict(config(bootstrap, group_id=group)))
    every = [TopicPartition(topic, part) for part in range(parts)]
    offsets = retry(config(bootstrap), "asking", lambda: consumer.committed(every, timeout=60))
    consumer.close()
    return [each.offset for each in offsets]


class Clock:
    """Takes the place of the module `time`: it stands still until a test moves it."""

    seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


def until(holds: Callable[[], object], seconds: float = 600.0) -> None:
    """Wait for something to hold. The limit only ends a test that hangs: a busy machine may take minutes."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)
