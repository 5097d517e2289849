"""Partitions that are added to the input topic while the job runs."""

import signal
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]  # forgotten re-export

from flows.kafka.errors import Config, KafkaJobError
from flows.kafka.source import KafkaSource
from tests.support.flow import to_json
from tests.support.kafka_fixtures import AnyBroker, NewTopic, committed, config, fill, offsets, run, until
from tests.support.kafka_jobs import Job

pytestmark = pytest.mark.kafka

QUICK = {"statistics_interval_ms": 100, "topic_metadata_refresh_interval_ms": 100}


def quick(broker: AnyBroker, **more: str) -> Config:
    return config(broker.bootstrap, **{**QUICK, **more})


def grow(broker: AnyBroker, topic: str, size: int) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_partitions([NewPartitions(topic, size)])[topic].result(20)
    until(lambda: len(admin.list_topics(topic, timeout=5).topics[topic].partitions) == size)


def counts(raws: Iterable[Any]) -> Counter[int]:
    return Counter(raw.partition for raw in raws)


def taken(part: Any, count: int) -> Counter[int]:
    """Poll until `count` records have come, and return their partitions."""
    got: list[Any] = []
    until(lambda: got.extend(part.next_batch()) or len(got) >= count)
    return counts(got)


def test_added_partitions_are_read_from_their_start(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    source = KafkaSource(quick(broker, auto_offset_reset="latest"), topic)
    assert source.list_parts() == ["0"]
    part = source.build_part("in", "0", None)
    assert part.next_batch() == []
    grow(broker, topic, 3)
    fill(broker.bootstrap, topic, 9, parts=3)
    assert taken(part, 9) == {0: 3, 1: 3, 2: 3}
    assert offsets(part) == [3, 3, 3]
    part.next_batch()
    until(lambda: committed(broker.bootstrap, topic, 3) == [3, 3, 3])


@pytest.mark.parametrize("order", ["012", "210"])
def test_restart_moves_positions_of_added_partitions_to_their_own_state(
    broker: AnyBroker, new_topic: NewTopic, order: str
) -> None:
    topic = new_topic(3)
    fill(broker.bootstrap, topic, 30, parts=3)
    states: dict[str, Any] = {"0": {0: 5, 1: 6, 2: 7}, "1": None, "2": None}
    source = KafkaSource(quick(broker), topic)
    parts = {number: source.build_part("in", number, states[number]) for number in order}
    first, *others = parts.values()
    got = counts(raw for part in (first, *others, first, *others) for raw in part.next_batch())
    while got.total() < 12:
        got.update(counts(raw for part in parts.values() for raw in part.next_batch()))
    assert got == {0: 5, 1: 4, 2: 3}
    assert [offsets(parts[number])[-1] for number in "012"] == [10, 10, 10]


def test_a_position_that_nobody_takes_over_stops_the_start(broker: AnyBroker, new_topic: NewTopic) -> None:
    part = KafkaSource(quick(broker), new_topic(2)).build_part("in", "0", {0: 0, 1: 0})
    with pytest.raises(
        KafkaJobError, match=r"the offsets of topic-[0-9a-f]+/1, which this worker does not read.*with one worker"
    ):
        part.next_batch()


def test_workers_that_share_a_topic_log_that_a_restart_is_needed(
    broker: AnyBroker, new_topic: NewTopic, caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic(2)
    source = KafkaSource(quick(broker), topic)
    part = source.build_part("in", "0", None)
    part.next_batch()
    grow(broker, topic, 4)
    until(lambda: part.next_batch() or f"new partitions: {topic}/2, {topic}/3. Restart to read them." in caplog.text)
    fill(broker.bootstrap, topic, 8, parts=4)
    assert counts(run(KafkaSource(quick(broker), topic, stop_at_end=True))) == {0: 2, 1: 2, 2: 2, 3: 2}


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_job_loses_and_repeats_no_record_of_added_partitions(
    new_job: Callable[..., Job], tmp_path: Path, end: int
) -> None:
    settings = {name.replace("_", "."): str(value) for name, value in QUICK.items()}
    job = new_job(KAFKA=orjson.dumps(settings).decode())

    def produce(numbers: range, parts: int) -> None:
        producer = Producer({"bootstrap.servers": job.broker.bootstrap})
        for number in numbers:
            producer.produce(job.events, to_json(f"u{number % 7},i{number},{number},click,1"), partition=number % parts)
        assert producer.flush(120) == 0

    produce(range(100), 1)
    process = job.start()
    until(lambda: job.emitted() == 100)
    grow(job.broker, job.events, 3)
    produce(range(100, 1000), 3)
    until(lambda: job.emitted() == 1000)
    produce(range(1000, 1300), 3)
    process.send_signal(end)
    said = process.communicate(timeout=600)[1]
    assert process.returncode == (0 if end == signal.SIGTERM else -signal.SIGKILL), said
    job.run_to_the_end()
    assert len(job.answered()) == 1300
    assert committed(job.broker.bootstrap, job.events, 3, job.events) == [500, 400, 400]
    assert end == signal.SIGKILL or job.emitted() == 1300
