"""The Kafka source and sink against librdkafka's mock cluster: positions, commits, deliveries, failures."""

import logging
import socket
import threading
import time
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

import flows.kafka.consumer
from flows.kafka.errors import KafkaJobError, explain_error
from flows.kafka.outage import ErrorCallback, OutagePolicy
from flows.kafka.probe import probe
from flows.kafka.sink import KafkaSink, OversizeFallback
from flows.kafka.source import KafkaSource
from flows.messages import Outgoing, Raw
from tests.support.kafka_fixtures import Clock, committed, config, offsets, run, until, write

TOPIC = "events"
PARTS = range(4)  # what the mock gives every topic
PER_PART = 50


@pytest.fixture
def bootstrap(mock_broker: str) -> str:
    """The mock with `PER_PART` records in each partition of `TOPIC`."""
    producer = Producer({"bootstrap.servers": mock_broker})
    for number in range(PER_PART):
        for part in PARTS:
            producer.produce(TOPIC, value_at(part, number), partition=part)
    assert producer.flush(120) == 0
    return mock_broker


def value_at(part: int, offset: int) -> bytes:
    return f"{part}:{offset}".encode()


def closed_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


def test_reads_every_record_once_in_order_and_with_its_position(bootstrap: str) -> None:
    got = run(KafkaSource(config(bootstrap), TOPIC, stop_at_end=True))
    assert len(got) == len(PARTS) * PER_PART
    for part in PARTS:
        expected = [Raw(TOPIC, part, offset, value_at(part, offset)) for offset in range(PER_PART)]
        assert [raw for raw in got if raw.partition == part] == expected


def test_one_consumer_serves_all_partitions(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Consumer] = []

    def counted(settings: dict[str, Any]) -> Consumer:
        made.append(Consumer(settings))
        return made[-1]

    monkeypatch.setattr(flows.kafka.consumer, "Consumer", counted)
    run(KafkaSource(config(bootstrap), TOPIC, stop_at_end=True))
    assert len(made) == 1


def test_value_may_be_none(mock_broker: str) -> None:
    producer = Producer({"bootstrap.servers": mock_broker})
    producer.produce(TOPIC, None, key=b"u1", partition=0)
    producer.flush()
    assert run(KafkaSource(config(mock_broker), TOPIC, stop_at_end=True)) == [Raw(TOPIC, 0, 0, None)]


def test_starts_at_the_recovery_state_before_the_committed_offset(bootstrap: str) -> None:
    commit(bootstrap, 10)
    source = KafkaSource(config(bootstrap), TOPIC)
    assert offsets(source.build_part("in", "2", 30)) == [30]


def test_starts_at_the_committed_offset_before_the_reset(bootstrap: str) -> None:
    commit(bootstrap, 10)
    got = run(KafkaSource(config(bootstrap), TOPIC, stop_at_end=True))
    assert sorted({raw.offset for raw in got}) == list(range(10, PER_PART))


@pytest.mark.parametrize(("reset", "start"), [("earliest", 0), ("latest", PER_PART)])
def test_starts_by_the_reset_where_nothing_is_committed(bootstrap: str, reset: str, start: int) -> None:
    source = KafkaSource(config(bootstrap, auto_offset_reset=reset), TOPIC)
    assert [offsets(source.build_part("in", str(part), None)) for part in PARTS] == [[start]] * 4


def test_reset_error_stops_and_says_what_to_set(bootstrap: str) -> None:
    source = KafkaSource(config(bootstrap, auto_offset_reset="error"), TOPIC)
    with pytest.raises(KafkaJobError, match=r"events/0: expected .* group 'freshrank'.*earliest or latest"):
        source.build_part("in", "0", None)


def test_a_partition_newer_than_the_commits_starts_at_its_first_record(bootstrap: str) -> None:
    commit(bootstrap, 10, parts=[0, 1, 2])
    source = KafkaSource(config(bootstrap, auto_offset_reset="latest"), TOPIC)
    assert offsets(source.build_part("in", "3", None)) == [0]


def test_a_position_the_topic_does_not_hold_stops_loudly(bootstrap: str) -> None:
    source = KafkaSource(config(bootstrap), TOPIC)
    with pytest.raises(KafkaJobError, match=r"events/1: expected to go on at offset 51 .* holds 0 to 50"):
        source.build_part("in", "1", PER_PART + 1)


def test_offsets_are_committed_when_the_epoch_is_durable_and_not_before(bootstrap: str) -> None:
    source = KafkaSource(config(bootstrap), TOPIC, batch_size=5)
    part = source.build_part("in", "0", None)
    until(lambda: bool(part.next_batch()))
    [position] = offsets(part)
    assert 0 < position <= 5
    time.sleep(0.2)
    assert committed(bootstrap, TOPIC, len(PARTS))[0] == -1001  # librdkafka's "none"
    part.next_batch()  # the engine's sign that the snapshot is durable
    until(lambda: committed(bootstrap, TOPIC, len(PARTS))[0] == position)


def test_close_commits_the_last_positions(bootstrap: str) -> None:
    run(KafkaSource(config(bootstrap), TOPIC, stop_at_end=True))
    assert committed(bootstrap, TOPIC, len(PARTS)) == [PER_PART] * 4


def test_stop_ends_the_flow_and_the_next_run_goes_on_after_it(bootstrap: str) -> None:
    stop = threading.Event()
    source = KafkaSource(config(bootstrap), TOPIC, batch_size=7, stop=stop)
    got: list[Raw] = []

    def take(raw: Raw) -> Raw:
        got.append(raw._replace(carrier=None))
        if len(got) == 20:
            stop.set()
        return raw

    flow = Dataflow("test")
    op.output("out", op.map("take", op.input("in", flow, source), take), TestingSink([]))
    run_main(flow)
    source.close()
    assert 20 <= len(got) < 4 * PER_PART
    got += run(KafkaSource(config(bootstrap), TOPIC, stop_at_end=True))
    assert sorted(got) == [Raw(TOPIC, p, n, value_at(p, n)) for p in PARTS for n in range(PER_PART)]


def test_sink_delivers_keys_values_tombstones_and_headers(mock_broker: str) -> None:
    sent = [
        Outgoing(b"u1", b"list"),
        Outgoing(b"u2", None),
        Outgoing(None, b"raw", (("reason", b"no user"), ("field", b"user"))),
    ]
    sink = KafkaSink({"bootstrap.servers": mock_broker}, "lists")
    write(sink, sent)
    assert sink.delivered == 3
    consumer = Consumer({"bootstrap.servers": mock_broker, "group.id": "reader"})
    consumer.assign([TopicPartition("lists", part, 0) for part in PARTS])
    got = consumer.consume(3, 10)
    consumer.close()
    arrived = {Outgoing(m.key(), m.value(), tuple(m.headers() or ())) for m in got}  # type: ignore[arg-type]
    assert arrived == set(sent)


def test_sink_waits_where_the_queue_is_full(mock_broker: str) -> None:
    sink = KafkaSink({"bootstrap.servers": mock_broker, "queue.buffering.max.messages": 10}, "lists")
    write(sink, [Outgoing(b"u%d" % n, b"list") for n in range(500)])
    assert sink.delivered == 500


def test_sink_is_loud_about_a_message_that_is_too_large(mock_broker: str) -> None:
    sink = KafkaSink({"bootstrap.servers": mock_broker, "message.max.bytes": 2000}, "lists")
    with pytest.raises(KafkaJobError, match=r"key b'u1' to topic 'lists' failed: .*too large"):
        write(sink, [Outgoing(b"u1", bytes(3000))])


@pytest.mark.slow
def test_sink_is_loud_about_a_dead_broker_before_the_epoch_is_durable() -> None:
    sink = KafkaSink({"bootstrap.servers": closed_port()}, "lists", patience=OutagePolicy(0.3))
    part = sink.build_part("out", "0", None)
    part.write_batch([Outgoing(b"u1", b"list")])
    with pytest.raises(KafkaJobError, match=r"key b'u1' to topic 'lists' failed: .*timed out"):
        part.snapshot()
    assert sink.delivered == 0


def test_oversize_fallback_is_delivered_before_the_epoch_is_durable(mock_broker: str) -> None:
    nobody = KafkaSink({"bootstrap.servers": closed_port()}, "rejects", patience=OutagePolicy(0.3))
    small = {"bootstrap.servers": mock_broker, "message.max.bytes": 2000}
    sink = KafkaSink(
        small, "lists", instead=OversizeFallback(nobody, lambda message: message._replace(value=b"letter"))
    )
    part = sink.build_part("out", "0", None)
    part.write_batch([Outgoing(b"u1", bytes(3000))])
    with pytest.raises(KafkaJobError, match=r"key b'u1' to topic 'rejects' failed: .*timed out"):
        part.snapshot()
    assert sink.too_large == 1


def test_a_source_without_records_knows_that_its_broker_is_back(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[ErrorCallback] = []
    clock = Clock()
    monkeypatch.setattr("flows.kafka.outage.time", clock)

    class Noted(ErrorCallback):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(flows.kafka.consumer, "ErrorCallback", Noted)
    source = KafkaSource(config(bootstrap, auto_offset_reset="latest"), TOPIC, patience=OutagePolicy(1.0))
    part = source.build_part("in", "0", None)
    made[0](KafkaError(KafkaError._TRANSPORT, "it was away"))
    with caplog.at_level(logging.INFO):
        until(lambda: part.next_batch() or "a broker answers again" in caplog.text)
    clock.seconds += 3_600
    assert part.next_batch() == []


def test_probe_is_content_with_a_broker_that_has_the_topics(bootstrap: str) -> None:
    assert probe(config(bootstrap), {"input_topic": TOPIC}) == []


def test_probe_names_the_missing_topic_and_its_setting(bootstrap: str) -> None:
    [said] = probe(config(bootstrap), {"input_topic": TOPIC, "output_topic": "lists"})
    assert "'lists'" in said
    assert "`output_topic`" in said


def test_probe_names_a_broker_that_does_not_answer() -> None:
    nobody = closed_port()
    [said] = probe(config(nobody), {"input_topic": TOPIC}, timeout=1.5)
    assert nobody in said
    assert "`bootstrap`" in said


def test_probe_names_a_setting_that_does_not_exist() -> None:
    [said] = probe(config("127.0.0.1:1", sasl_pasword="hush"), {})
    assert "sasl.pasword" in said
    assert "`kafka`" in said


def test_source_without_its_topic_says_which(mock_broker: str) -> None:
    with pytest.raises(KafkaJobError, match=r"topic 'nowhere'.*`input_topic`"):
        KafkaSource(config(mock_broker), "nowhere").list_parts()


def test_secrets_are_blotted_out() -> None:
    settings = config("b:9092", sasl_password="hush", ssl_key_password="quiet")
    said = str(explain_error(settings, "connecting", KafkaError(KafkaError._AUTHENTICATION, "hush or quiet?")))
    assert "hush" not in said
    assert "quiet" not in said
    assert "`sasl.username`" not in said.split("failed: ")[0]


def test_watch_logs_what_may_heal_once_and_raises_what_will_not(caplog: pytest.LogCaptureFixture) -> None:
    watch = ErrorCallback(config("b:9092"), "reading events", OutagePolicy())
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            watch(KafkaError(KafkaError._TRANSPORT, "connection refused"))
    assert len(caplog.records) == 1
    watch.check()
    watch(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(KafkaJobError, match="reading events failed"):
        watch.check()


def commit(bootstrap: str, offset: int, parts: list[int] | range = PARTS) -> None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "freshrank"})
    consumer.commit(offsets=[TopicPartition(TOPIC, part, offset) for part in parts], asynchronous=False)
    consumer.close()


@pytest.mark.parametrize("part", PARTS)
def test_flow_ends_although_most_partitions_are_empty(mock_broker: str, part: int) -> None:
    producer = Producer({"bootstrap.servers": mock_broker})
    producer.produce(TOPIC, b"one", partition=part)
    assert producer.flush(120) == 0
    assert [raw.value for raw in run(KafkaSource(config(mock_broker), TOPIC, stop_at_end=True))] == [b"one"]
