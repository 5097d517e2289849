"""The Kafka source and sink on a real broker: crashes, security, retention, and topics that change."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, run_main
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]  # forgotten re-export

from flows.kafka.admin import create_topic
from flows.kafka.errors import Config, KafkaJobError
from flows.kafka.probe import cleanup_policies, probe
from flows.kafka.sink import KafkaSink
from flows.kafka.source import KafkaSource
from flows.kafka.start_offsets import LostOffsets
from flows.messages import Outgoing, Raw
from tests.support.kafka_fixtures import (
    AnyBroker,
    NewTopic,
    committed,
    config,
    delete_before,
    fill,
    offsets,
    run,
    until,
    write,
)

pytestmark = pytest.mark.kafka

JOB = """
import sys
from datetime import timedelta
from pathlib import Path
import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig
from bytewax.testing import run_main
from flows.kafka.sink import KafkaSink
from flows.kafka.source import KafkaSource
from flows.messages import Outgoing

bootstrap, events, lists, state, stop_at_end = sys.argv[1:]
config = {"bootstrap.servers": bootstrap}
source = KafkaSource(
    {**config, "group.id": "freshrank", "auto.offset.reset": "earliest"},
    events, batch_size=16, stop_at_end=bool(stop_at_end),
)
flow = Dataflow("job")
raws = op.input("events", flow, source)
answers = op.map("answer", raws, lambda raw: ("", Outgoing(raw.source.encode(), raw.value)))
op.output("lists", answers, KafkaSink(config, lists))
run_main(flow, epoch_interval=timedelta(seconds=0.1), recovery_config=RecoveryConfig(Path(state)))
source.close()
"""


def read(bootstrap: str, topic: str) -> list[Raw]:
    """All that is on a topic of one partition."""
    return run(KafkaSource(config(bootstrap, group_id="reader"), topic, stop_at_end=True))


@pytest.mark.parametrize("repeat", range(2))
def test_kill_9_loses_nothing(broker: AnyBroker, new_topic: NewTopic, tmp_path: Path, repeat: int) -> None:
    events, lists, count, parts = new_topic(3), new_topic(), 3000, 3
    fill(broker.bootstrap, events, count, parts)
    init_db_dir(tmp_path, 1)
    command = [sys.executable, "-c", JOB, broker.bootstrap, events, lists, str(tmp_path)]
    with subprocess.Popen([*command, ""]) as job:
        try:
            until(lambda: sum(committed(broker.bootstrap, events, parts)) > 0)
            fill(broker.bootstrap, events, count, parts)  # so that it is killed at work
            time.sleep(0.05 * repeat)
        finally:
            job.send_signal(signal.SIGKILL)
    subprocess.run([*command, "to the end"], check=True, timeout=600)
    answered = Counter((raw.value, raw.partition) for raw in read(broker.bootstrap, lists))
    assert {value for value, _ in answered} == {b"%d" % number for number in range(count)}
    assert min(answered.values()) >= 2  # both copies of each event
    assert committed(broker.bootstrap, events, parts) == [2 * count // parts] * parts


def test_a_clean_stop_repeats_nothing(broker: AnyBroker, new_topic: NewTopic, tmp_path: Path) -> None:
    topic, got = new_topic(2), list[Raw]()
    fill(broker.bootstrap, topic, 1000, 2)
    init_db_dir(tmp_path, 1)
    stopped_at = []
    for limit in (300, 1000):
        stop = threading.Event()
        source = KafkaSource(config(broker.bootstrap), topic, batch_size=10, stop=stop)

        def take(raw: Raw, limit: int = limit, stop: threading.Event = stop) -> Raw:
            got.append(raw._replace(carrier=None))
            if len(got) >= limit:
                stop.set()
            return raw

        flow = Dataflow("test")
        op.output("out", op.map("take", op.input("in", flow, source), take), TestingSink([]))
        run_main(flow, epoch_interval=timedelta(seconds=10), recovery_config=RecoveryConfig(tmp_path))
        source.close()
        stopped_at.append(len(got))
        assert sum(committed(broker.bootstrap, topic, 2)) == len(got)
    assert 300 <= stopped_at[0] < 1000
    assert len(got) == len(set(got)) == 1000


def test_probe_names_the_missing_topic(broker: AnyBroker) -> None:
    [said] = probe(config(broker.bootstrap), {"output_topic": "nowhere"})
    assert "'nowhere'" in said
    assert "`output_topic`" in said


def test_sink_is_loud_about_a_missing_topic(broker: AnyBroker) -> None:
    hasty: Config = {"bootstrap.servers": broker.bootstrap, "topic.metadata.propagation.max.ms": 500}
    with pytest.raises(KafkaJobError, match=r"'nowhere' failed: .*[Uu]nknown topic.*`output_topic`"):
        write(KafkaSink(hasty, "nowhere"), [Outgoing(b"u1", b"list")])


def test_sink_is_loud_about_a_message_the_broker_refuses(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic(max_message_bytes="1000")
    sink = KafkaSink({"bootstrap.servers": broker.bootstrap}, topic)
    with pytest.raises(KafkaJobError, match=r"key b'u1' .*too large"):
        write(sink, [Outgoing(b"u1", bytes(2000))])


def test_the_key_of_the_list_for_strangers_is_one_key(broker: AnyBroker, new_topic: NewTopic) -> None:
    """A key of no bytes is a key: a compacted topic takes it, and all its messages are in one partition."""
    topic = new_topic(4, cleanup_policy="compact")
    write(KafkaSink({"bootstrap.servers": broker.bootstrap}, topic), [Outgoing(b"", b"%d" % n) for n in range(50)])
    consumer = Consumer(dict(config(broker.bootstrap)))
    consumer.assign([TopicPartition(topic, part, 0) for part in range(4)])
    got: list[Message] = []
    until(lambda: got.extend(consumer.consume(50, 1.0)) or len(got) == 50)
    consumer.close()
    assert {message.key() for message in got} == {b""}
    assert len({message.partition() for message in got}) == 1
    assert [message.value() for message in got] == [b"%d" % n for n in range(50)]


def test_a_topic_that_is_deleted_stops_the_source(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    hasty = config(broker.bootstrap, topic_metadata_refresh_interval_ms=200, topic_metadata_propagation_max_ms=200)
    part = KafkaSource(hasty, topic).build_part("in", "0", None)
    part.next_batch()
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.delete_topics([topic])[topic].result(20)
    with pytest.raises(KafkaJobError, match=rf"{topic}.*`input_topic`"):
        until(part.next_batch)


def test_records_lost_to_retention_stop_a_start(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    fill(broker.bootstrap, topic, 10)
    delete_before(broker.bootstrap, topic, 7)
    source = KafkaSource(config(broker.bootstrap), topic)
    with pytest.raises(KafkaJobError, match=rf"{topic}/0: expected .* offset 5 .*7 to 10: 2 records are gone"):
        source.build_part("in", "0", 5)
    assert offsets(source.build_part("in", "0", None)) == [7]


def test_records_lost_to_retention_are_passed_over_and_counted_if_so_set(
    broker: AnyBroker, new_topic: NewTopic, caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic()
    fill(broker.bootstrap, topic, 10)
    delete_before(broker.bootstrap, topic, 7)
    source = KafkaSource(config(broker.bootstrap), topic, lost="continue")
    part = source.build_part("in", "0", 5)
    assert offsets(part) == [7]
    assert source.skipped == {(topic, 0): 2}
    assert f"{topic}/0: 2 records are gone" in caplog.text
    with pytest.raises(KafkaJobError, match=r"it is shorter than it was"):
        source.build_part("in", "0", 11)


def slowly_read(broker: AnyBroker, topic: str, lost: LostOffsets) -> tuple[KafkaSource, Any]:
    """A source that has begun with a topic of 200 records, and has not fetched all of them. Then they are removed."""
    for _ in range(200):  # so that each is a batch of its own, and none comes with its neighbours
        fill(broker.bootstrap, topic, 1, size=1000)
    slow = config(broker.bootstrap, fetch_message_max_bytes=1000, queued_min_messages=1)
    source = KafkaSource(slow, topic, batch_size=1, lost=lost)
    part = source.build_part("in", "0", None)
    until(part.next_batch)
    delete_before(broker.bootstrap, topic, 200)
    return source, part


def test_records_lost_to_retention_while_running_stop_the_source(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    _, part = slowly_read(broker, topic, "stop")
    with pytest.raises(KafkaJobError, match=rf"{topic}/0: expected .* holds 200 to 200: \d+ records are gone"):
        until(lambda: part.next_batch() and False)


def test_records_lost_to_retention_while_running_are_passed_over_if_so_set(
    broker: AnyBroker, new_topic: NewTopic
) -> None:
    topic, got = new_topic(), list[Raw]()
    source, part = slowly_read(broker, topic, "continue")
    until(lambda: got.extend(part.next_batch()) or source.skipped)
    assert offsets(part) == [200]
    fill(broker.bootstrap, topic, 3)
    until(lambda: got.extend(part.next_batch()) or offsets(part) == [203])
    assert [raw.offset for raw in got[-3:]] == [200, 201, 202]
    assert 1 + len(got) - 3 + source.skipped[topic, 0] == 200


def test_ends_at_offsets_that_transactions_have_taken(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    producer.init_transactions(20)
    for _ in range(2):
        producer.begin_transaction()
        producer.produce(topic, b"event")
        producer.commit_transaction(20)
    assert [raw.offset for raw in run(KafkaSource(config(broker.bootstrap), topic, stop_at_end=True))] == [
        0,
        2,
    ]
    assert committed(broker.bootstrap, topic) == [4]


def test_create_topic_sets_the_policy_of_a_new_topic_and_leaves_one_that_exists(
    broker: AnyBroker, new_topic: NewTopic
) -> None:
    plain, lists, letters = new_topic(), f"lists-{time.time_ns()}", f"letters-{time.time_ns()}"
    settings = config(broker.bootstrap)
    for _ in range(2):
        create_topic(settings, lists, compacted=True, partitions=2, replication=1)
    create_topic(settings, letters, compacted=False, partitions=1, replication=1)
    create_topic(settings, plain, compacted=True, partitions=1, replication=1)
    assert cleanup_policies(settings, [lists, letters, plain]) == {lists: "compact", letters: "delete", plain: "delete"}


def test_create_topic_says_why_it_cannot(broker: AnyBroker) -> None:
    with pytest.raises(KafkaJobError, match=r"'nowhere' failed: .*replica"):
        create_topic(config(broker.bootstrap), "nowhere", compacted=True, partitions=1, replication=9)
