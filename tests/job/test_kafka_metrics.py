"""Metrics of Kafka: lag, deliveries and redeliveries."""

from collections.abc import Callable

import bytewax.operators as op
import orjson
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink
from confluent_kafka import Producer

from flows.engine import run_flow
from flows.kafka.lag import Lag
from flows.kafka.output_positions import latest_source_positions
from flows.kafka.source import KafkaSource
from flows.monitoring.counters import Counters
from flows.monitoring.instrumented_source import InstrumentedSource
from tests.support.flow import event, sample_records
from tests.support.gate import kill
from tests.support.kafka_fixtures import NewTopic, config, until
from tests.support.kafka_jobs import Job, consume, produce
from tests.support.monitored_flow import Scraped, free_port, get, scrape, watching


def test_lag_is_what_the_topic_holds_and_the_flow_has_not_been_given(mock_broker: str) -> None:
    producer = Producer({"bootstrap.servers": mock_broker})
    for part, count in enumerate((30, 0, 20, 10)):
        for _ in range(count):
            producer.produce("events", b"x", partition=part)
    assert producer.flush(120) == 0
    source, got = KafkaSource(config(mock_broker), "events", stop_at_end=True), []
    watched = InstrumentedSource(source, Counters())
    lag = Lag({"bootstrap.servers": mock_broker}, watched.positions)
    assert lag() == {}
    flow = Dataflow("test")
    op.output("out", op.input("in", flow, watched), TestingSink(got))
    run_flow(flow, None, epoch_seconds=0.05)
    source.close()
    assert len(got) == watched.counters.received == 60
    until(lambda: lag() == {("events", part): 0 for part in range(4)})  # absent while a broker takes its time
    for _ in range(7):
        producer.produce("events", b"x", partition=2)
    assert producer.flush(120) == 0
    until(lambda: lag() == {("events", part): 7 if part == 2 else 0 for part in range(4)})


def test_lag_of_a_topic_that_cannot_be_asked_is_not_told() -> None:
    lag = Lag({"bootstrap.servers": f"127.0.0.1:{free_port()}"}, {("events", 0): 5})
    assert lag() == {}


def test_the_last_events_that_have_lists_are_found_and_lists_up_to_them_count_as_redelivered(mock_broker: str) -> None:
    producer = Producer({"bootstrap.servers": mock_broker})
    answered = ["events/0/5", "events/0/6", "events/1/3", None, "events/0/7"]
    for n, source in enumerate(answered):
        value = None if source is None else orjson.dumps({"source": source})
        producer.produce("lists", value, partition=n % 4)
    producer.produce("lists", b"[not ours]", partition=2)
    assert producer.flush(120) == 0
    held = latest_source_positions({"bootstrap.servers": mock_broker}, "lists")
    assert held == {("events", 0): 7, ("events", 1): 3}

    job = watching([event("u", f"i{n}", n) for n in range(20)])
    job.connections.counters.held = held
    job.run(model="popularity")
    assert (job.connections.counters.redelivered, job.connections.counters.emitted) == (8, 20)
    assert job.connections.counters.held == {("events", 1): 3}


def test_an_output_topic_that_cannot_be_read_costs_only_the_count(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert latest_source_positions({"bootstrap.servers": f"127.0.0.1:{free_port()}"}, "lists") == {}
    assert "will not be counted" in caplog.text


@pytest.mark.kafka
def test_a_job_on_a_real_broker_tells_its_lag_its_deliveries_and_what_it_repeats(new_job: Callable[..., Job]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    job = new_job(METRICS_PORT=port, LOG_FORMAT="json", EPOCH_SECONDS=1.0)
    records = sample_records(6_000)
    produce(job.broker, job.events, [*records, b"garbage"])
    killed = job.start_gated(3_000)
    until(lambda: job.emitted() > 0)  # lists of events that no snapshot holds yet
    kill(killed)

    process = job.start()
    until(lambda: is_ready(url))
    until(lambda: job.emitted() >= len(records) and scrape(url)["freshrank_lag_records", "0"] == 0)
    told = all_delivered(url)
    assert told["freshrank_redelivered_total", ""] == job.emitted() - len(records) > 0
    assert told["freshrank_delivered_total", "dead_letters"] == 1
    assert told["freshrank_received_total", ""] == told["freshrank_learned_total", ""] + 1
    assert told["freshrank_state_bytes", "learn"] > 0
    produce(job.broker, job.events, records[:10])
    until(lambda: all_delivered(url)["freshrank_emitted_total", ""] == told["freshrank_emitted_total", ""] + 10)
    process.terminate()
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 0, said
    last = [orjson.loads(line) for line in said.splitlines()][-1]
    assert last["learned"] == told["freshrank_learned_total", ""] + 10
    assert last["rejected"] == {"not JSON": 1}


@pytest.mark.kafka
def test_the_engines_own_command_tells_them_too(new_job: Callable[..., Job], new_topic: NewTopic) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    job = new_job(METRICS_PORT=port, LOG_FORMAT="json", TOP=100, TOO_LARGE="dead-letter")
    job.lists, job.rejects = new_topic(max_message_bytes="2500"), new_topic()
    job.variables |= {"OUTPUT_TOPIC": job.lists, "DEAD_LETTER_TOPIC": job.rejects}
    produce(job.broker, job.events, sample_records(1_000))
    process = job.start_by_engine()
    until(lambda: is_ready(url))
    until(lambda: scrape(url)["freshrank_learned_total", ""] == 1_000)
    until(lambda: job.emitted() + len(consume(job.broker, job.rejects)) == 1_000)
    told = scrape(url)
    assert 0 < told["freshrank_too_large_total", "lists"] == 1_000 - job.emitted()
    assert told["freshrank_delivered_total", "lists"] == job.emitted()
    process.kill()
    said = process.communicate()[1].splitlines()
    assert f"serving {url}/metrics" in " ".join(orjson.loads(line)["message"] for line in said if line[:1] == "{")


def is_ready(url: str) -> bool:
    try:
        return get(f"{url}/healthz")[0] == 200
    except OSError:
        return False


def all_delivered(url: str) -> Scraped:
    """What is scraped when everything that was emitted has arrived."""
    told: Scraped = {}

    def holds() -> bool:
        told.update(scrape(url))
        emitted, rejected = told["freshrank_emitted_total", ""], told["freshrank_rejected_total", "not JSON"]
        delivered = {to: told["freshrank_delivered_total", to] for to in ("lists", "dead_letters")}
        return delivered == {"lists": emitted, "dead_letters": rejected}

    until(holds)
    return told
