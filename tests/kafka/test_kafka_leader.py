"""Partitions without a leader while other brokers are up, by the client's statistics."""

from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from flows.kafka.errors import KafkaJobError
from flows.kafka.outage import OutagePolicy
from flows.kafka.source import KafkaSource
from tests.support.kafka_fixtures import Clock, config


def statistics(topic: str, leader: int) -> str:
    states = {str(number): {"unknown": False, "leader": 1 if number else leader} for number in range(4)}
    return orjson.dumps({"brokers": {"b": {"state": "UP"}}, "topics": {topic: {"partitions": states}}}).decode()


def reading(mock_broker: str, seconds: float) -> tuple[Any, Any]:
    producer = Producer({"bootstrap.servers": mock_broker})
    for number in range(4):
        producer.produce("t", b"x", partition=number)
    assert producer.flush(120) == 0
    source = KafkaSource({**config(mock_broker), "statistics.interval.ms": 0}, "t", patience=OutagePolicy(seconds))
    parts = [source.build_part("in", str(number), None) for number in range(4)]
    return source._readers.popitem()[1], parts


def ask_all(reader: Any, parts: list[Any], leader: int) -> None:
    reader._statistics(statistics("t", leader))
    for part in parts:
        part.next_batch()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the reader takes for the time: it stands still until a test moves it."""
    clock = Clock()
    monkeypatch.setattr("flows.kafka.consumer.time", clock)
    return clock


def test_job_warns_and_then_ends_when_partition_has_no_leader(
    mock_broker: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    reader, parts = reading(mock_broker, 5)
    ask_all(reader, parts, -1)
    assert "t/0 has no leader" in caplog.text
    assert "The job waits." in caplog.text
    clock.seconds += 5
    ask_all(reader, parts, -1)
    clock.seconds += 1
    with pytest.raises(KafkaJobError, match=r"t/0 has no leader.*for 5 s \(`broker_patience`\): the job ends"):
        ask_all(reader, parts, -1)
    reader.close()


def test_job_goes_on_when_partition_has_a_leader_again(mock_broker: str, clock: Clock) -> None:
    reader, parts = reading(mock_broker, 5)
    for _ in range(4):
        ask_all(reader, parts, -1)
        clock.seconds += 4
        ask_all(reader, parts, 1)
    reader.close()
