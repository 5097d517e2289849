"""The Kafka source and sink on a real broker: crashes, security, retention, and topics that change."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, run_main
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]  # forgotten re-export

from flows.engine import run_flow
from flows.kafka_admin import create_topic, probe
from flows.kafka_sink import KafkaSink
from flows.kafka_source import KafkaSource
from flows.kafka_trouble import Config, KafkaTrouble
from flows.messages import Outgoing, Raw
from tests.kafka_broker import PASSWORD, USER, Broker
from tests.kafka_fixtures import AnyBroker, NewTopic, committed, config, run, start_broker, until, write

pytestmark = pytest.mark.kafka

JOB = """
import sys
from datetime import timedelta
from pathlib import Path
import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig
from bytewax.testing import run_main
from flows.kafka_sink import KafkaSink
from flows.kafka_source import KafkaSource
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


def sasl(broker: AnyBroker, password: str) -> Config:
    if broker.sasl_bootstrap is None:
        pytest.skip("the given broker has no SASL listener that the tests know of")
    return {
        **config(broker.sasl_bootstrap),
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": USER,
        "sasl.password": password,
    }


def fill(bootstrap: str, topic: str, count: int, parts: int = 1, size: int = 0) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(count):
        producer.produce(topic, b"%d" % number + bytes(size), partition=number % parts)
    assert producer.flush(20) == 0


def read(bootstrap: str, topic: str) -> list[Raw]:
    """All that is on a topic of one partition."""
    return run(KafkaSource(config(bootstrap, group_id="reader"), topic, stop_at_end=True))


@pytest.fixture
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that the test may kill."""
    broker = start_broker(tmp_path_factory)
    yield broker
    broker.stop()


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
    subprocess.run([*command, "to the end"], check=True, timeout=60)
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
            got.append(raw)
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


def test_the_job_waits_for_a_broker_that_is_gone(own_broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    address, stop, got = own_broker.bootstrap, threading.Event(), list[Raw]()
    for topic in ("events", "lists"):
        create_topic(config(address), topic, compacted=False, partitions=1, replication=1)
    fill(address, "events", 100)
    eager = config(address, reconnect_backoff_max_ms=500)
    source = KafkaSource(eager, "events", stop=stop)
    sink = KafkaSink({"bootstrap.servers": address, "reconnect.backoff.max.ms": 500}, "lists")
    flow = Dataflow("test")
    raws = op.inspect("see", op.input("in", flow, source), lambda _, raw: got.append(raw))
    op.output("out", op.map("answer", raws, lambda raw: ("", Outgoing(None, raw.value))), sink)

    def disturb() -> None:
        try:
            until(lambda: len(got) == 100)
            own_broker.kill()
            time.sleep(2)
            own_broker.start()
            fill(address, "events", 100)
            until(lambda: len(got) == 200)
        finally:
            stop.set()

    other = threading.Thread(target=disturb)
    other.start()
    with caplog.at_level(logging.WARNING):
        run_flow(flow, None, epoch_seconds=0.5)
    other.join()
    source.close()
    assert [raw.offset for raw in got] == list(range(200))
    assert len(read(address, "lists")) >= 200  # a broker's death may leave a list twice
    assert "The job waits and tries again." in caplog.text


def test_security_settings_reach_source_and_sink(broker: AnyBroker, new_topic: NewTopic) -> None:
    secured = sasl(broker, PASSWORD)
    topic = new_topic()
    assert probe(secured, {"input_topic": topic}) == []
    write(KafkaSink(secured, topic), [Outgoing(b"u1", b"list")])
    assert [raw.value for raw in run(KafkaSource(secured, topic, stop_at_end=True))] == [b"list"]


def test_probe_names_a_wrong_password_and_keeps_it_secret(broker: AnyBroker) -> None:
    started = time.monotonic()
    [said] = probe(sasl(broker, "battery-staple"), {})
    assert time.monotonic() - started < 15  # it is a promise
    assert "`sasl.password`" in said
    assert "battery-staple" not in said


def test_probe_names_the_missing_topic(broker: AnyBroker) -> None:
    [said] = probe(config(broker.bootstrap), {"output_topic": "nowhere"})
    assert "'nowhere'" in said
    assert "`output_topic`" in said


def test_sink_is_loud_about_a_missing_topic(broker: AnyBroker) -> None:
    hasty: Config = {"bootstrap.servers": broker.bootstrap, "topic.metadata.propagation.max.ms": 500}
    with pytest.raises(KafkaTrouble, match=r"'nowhere' failed: .*[Uu]nknown topic.*`output_topic`"):
        write(KafkaSink(hasty, "nowhere"), [Outgoing(b"u1", b"list")])


def test_sink_is_loud_about_a_message_the_broker_refuses(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic(max_message_bytes="1000")
    sink = KafkaSink({"bootstrap.servers": broker.bootstrap}, topic)
    with pytest.raises(KafkaTrouble, match=r"key b'u1' .*too large"):
        write(sink, [Outgoing(b"u1", bytes(2000))])


def test_a_topic_that_is_deleted_stops_the_source(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    hasty = config(broker.bootstrap, topic_metadata_refresh_interval_ms=200, topic_metadata_propagation_max_ms=200)
    part = KafkaSource(hasty, topic).build_part("in", "0", None)
    part.next_batch()
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.delete_topics([topic])[topic].result(20)
    with pytest.raises(KafkaTrouble, match=rf"{topic}.*`input_topic`"):
        until(part.next_batch)


def test_records_lost_to_retention_stop_a_start(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    fill(broker.bootstrap, topic, 10)
    delete_before(broker.bootstrap, topic, 7)
    source = KafkaSource(config(broker.bootstrap), topic)
    with pytest.raises(KafkaTrouble, match=rf"{topic}/0: expected .* offset 5 .*7 to 10: 2 records are gone"):
        source.build_part("in", "0", 5)
    assert source.build_part("in", "0", None).snapshot() == 7


def test_records_lost_to_retention_while_running_stop_the_source(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic, count = new_topic(), 200
    for _ in range(count):  # so that each is a batch of its own, and none comes with its neighbours
        fill(broker.bootstrap, topic, 1, size=1000)
    slow = config(broker.bootstrap, fetch_message_max_bytes=1000, queued_min_messages=1)
    part = KafkaSource(slow, topic, batch_size=1).build_part("in", "0", None)
    until(part.next_batch)
    delete_before(broker.bootstrap, topic, count)
    with pytest.raises(KafkaTrouble, match=rf"{topic}/0: expected .* holds 200 to 200: \d+ records are gone"):
        until(lambda: part.next_batch() and False)


def test_new_partitions_are_told_of_and_read_from_their_start_after_a_restart(
    broker: AnyBroker, new_topic: NewTopic, caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic()
    quick = config(
        broker.bootstrap,
        auto_offset_reset="latest",
        statistics_interval_ms=100,
        topic_metadata_refresh_interval_ms=100,
    )
    source = KafkaSource(quick, topic)
    assert source.list_parts() == ["0"]
    part = source.build_part("in", "0", None)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(20)
    until(lambda: part.next_batch() or "new partitions: 1, 2" in caplog.text)
    part.snapshot()
    part.next_batch()
    until(lambda: committed(broker.bootstrap, topic) == [0])
    fill(broker.bootstrap, topic, 9, parts=3)
    got = run(KafkaSource(quick, topic, stop_at_end=True))
    assert Counter(raw.partition for raw in got) == {0: 3, 1: 3, 2: 3}


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


def test_create_topic_makes_it_compacted_once_and_warns_of_one_that_is_not(
    broker: AnyBroker, new_topic: NewTopic
) -> None:
    plain, name, settings = new_topic(), f"made-{time.time_ns()}", config(broker.bootstrap)
    for _ in range(2):
        assert create_topic(settings, name, compacted=True, partitions=2, replication=1) is None
    assert create_topic(settings, plain, compacted=False, partitions=1, replication=1) is None
    warning = create_topic(settings, plain, compacted=True, partitions=1, replication=1)
    assert warning is not None
    assert f"{plain!r} has cleanup.policy=delete" in warning


def test_create_topic_says_why_it_cannot(broker: AnyBroker) -> None:
    with pytest.raises(KafkaTrouble, match=r"'nowhere' failed: .*replica"):
        create_topic(config(broker.bootstrap), "nowhere", compacted=True, partitions=1, replication=9)


def delete_before(bootstrap: str, topic: str, offset: int) -> None:
    """What retention does, at once."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for done in admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        done.result(20)
