"""Faults of Kafka: in outages, with deleted topics and oversize lists the job waits, or ends with a reason."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]  # forgotten re-export

from flows.kafka.errors import KafkaJobError
from flows.kafka.lag import Lag
from flows.kafka.source import KafkaSource
from flows.sample import EVENTS
from tests.support.flow import records_of
from tests.support.forks import Process
from tests.support.gate import let_go
from tests.support.kafka_broker import Broker, make_topic
from tests.support.kafka_fixtures import NewTopic, committed, config, fill, start_broker, until
from tests.support.kafka_jobs import Job, consume, produce, replayed

pytestmark = pytest.mark.kafka

OUTAGE_SECONDS = float(os.environ.get("FRESHRANK_TEST_OUTAGE", "3"))
COUNT = 6_000
RECORDS = records_of(EVENTS, COUNT)

NewJob = Callable[..., Job]


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that these tests may kill."""
    broker = start_broker(tmp_path_factory)
    yield broker
    broker.stop()


@pytest.fixture
def broker(own_broker: Broker) -> Broker:
    """What `new_topic` and `new_job` use here. It runs, whatever the test before has done."""
    if not own_broker.is_running:
        own_broker.start()
    return own_broker


PATIENCE = 15
"""Seconds that a job waits for brokers where they do not come back. Fewer would be too short for a busy machine."""
AT_WORK = 2_000
"""The event at which a job is interrupted."""


def at_work(job: Job) -> Process:
    """Return a job in the midst of its events, that waits to be let go on: lists of more events are to be sent."""
    produce(job.broker, job.events, RECORDS)
    return job.start_gated(AT_WORK)


def finishing(process: Process, number: signal.Signals) -> None:
    """Send a job a signal, and wait until it says that it finishes."""
    process.send_signal(number)
    assert process.stderr is not None
    while f"{number.name}: finishing" not in (line := process.stderr.readline()):
        assert line, "it has ended"


def ended(process: Process) -> str:
    """Let a job go on to its end, and return what it said."""
    return process.communicate(timeout=600)[1]


def check_nothing_is_lost(job: Job, tmp_path: Path) -> None:
    """Events of durable epochs have delivered lists. The rest follows after the restart."""
    (done,) = committed(job.broker.bootstrap, job.events, 1, job.events)
    assert done <= job.emitted()
    job.run_to_the_end()
    assert list(job.answered().values()) == replayed(job, RECORDS, tmp_path, "exclude")
    assert committed(job.broker.bootstrap, job.events, 1, job.events) == [COUNT]


def test_a_broker_that_comes_back_is_waited_for(broker: Broker, new_job: NewJob, tmp_path: Path) -> None:
    job = new_job(REPEATS="exclude")
    process = at_work(job)
    began = time.monotonic()
    broker.kill()
    let_go(process)
    time.sleep(OUTAGE_SECONDS)
    assert process.poll() is None
    broker.start()
    until(lambda: job.emitted() >= COUNT)
    seconds = time.monotonic() - began  # a broker may need long to start
    process.send_signal(signal.SIGTERM)
    said = ended(process)
    assert process.returncode == 0, said
    assert 1 <= said.count("WARNING") <= 3 + seconds / 10, said
    assert "The job waits and tries again." in said
    assert "a broker answers again" in said
    check_nothing_is_lost(job, tmp_path)


@pytest.mark.parametrize(
    ("patience", "number", "reason"),
    [(PATIENCE, 0, "`broker_patience`"), (300, signal.SIGTERM, "They do not count as delivered")],
    ids=["patience", "signal"],
)
def test_brokers_that_are_gone_for_good_end_a_job_at_work(
    broker: Broker, new_job: NewJob, tmp_path: Path, patience: int, number: int, reason: str
) -> None:
    job = new_job(REPEATS="exclude", BROKER_PATIENCE=patience)
    process = at_work(job)
    broker.kill()
    process.send_signal(number)
    said = ended(process)
    assert process.returncode == 1, said
    assert reason in said
    broker.start()
    check_nothing_is_lost(job, tmp_path)


def test_a_broker_that_hangs_is_waited_for(broker: Broker, new_job: NewJob, tmp_path: Path) -> None:
    """Its connections stay open, and nothing is answered."""
    job = new_job(REPEATS="exclude")
    process = at_work(job)
    broker.freeze()
    let_go(process)
    time.sleep(OUTAGE_SECONDS)
    assert process.poll() is None
    broker.thaw()

    def is_done() -> bool:
        with suppress(KafkaJobError):  # it has missed its own heartbeats: for a moment no partition has a leader
            return job.emitted() >= COUNT
        return False

    until(lambda: process.poll() is not None or is_done())
    process.send_signal(signal.SIGTERM)
    said = ended(process)
    assert process.returncode == 0, said
    check_nothing_is_lost(job, tmp_path)


def test_a_broker_that_hangs_for_good_ends_a_job_at_work(broker: Broker, new_job: NewJob, tmp_path: Path) -> None:
    job = new_job(REPEATS="exclude", BROKER_PATIENCE=PATIENCE)
    process = at_work(job)
    broker.freeze()
    try:
        said = ended(process)
    finally:
        broker.thaw()  # or no later test has a broker
    assert process.returncode == 1, said
    assert "`broker_patience`" in said
    check_nothing_is_lost(job, tmp_path)


def test_brokers_that_are_gone_for_good_end_an_idle_job(broker: Broker, new_job: NewJob, tmp_path: Path) -> None:
    impatient, stopped = new_job(REPEATS="exclude", BROKER_PATIENCE=PATIENCE), new_job(REPEATS="exclude")
    one, other = at_work(impatient), at_work(stopped)
    let_go(one)
    let_go(other)
    for job in (impatient, stopped):
        until(lambda job=job: committed(broker.bootstrap, job.events, 1, job.events) == [COUNT])  # type: ignore[misc]
    broker.kill()
    other.send_signal(signal.SIGTERM)
    said = ended(other)
    assert other.returncode == 0, said  # everything was delivered
    said = ended(one)
    assert one.returncode == 1, said
    assert f"No broker has answered for {PATIENCE} s (`broker_patience`)" in said
    broker.start()
    for job in (impatient, stopped):
        check_nothing_is_lost(job, tmp_path)
        assert job.emitted() == COUNT


def test_a_second_signal_ends_it_at_once(broker: Broker, new_job: NewJob, tmp_path: Path) -> None:
    job = new_job(REPEATS="exclude")
    process = at_work(job)
    finishing(process, signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.wait(600)  # although the event that it is at is not learned yet
    assert process.returncode == -signal.SIGINT
    check_nothing_is_lost(job, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_all_delivered(
    broker: Broker, new_job: NewJob, tmp_path: Path, number: signal.Signals
) -> None:
    """It learns what it has read, and waits for no more: neither for the rest of the topic nor for the epoch's end."""
    job = new_job(REPEATS="exclude", EPOCH_SECONDS=86_400)
    process = at_work(job)
    finishing(process, number)
    said = ended(process)
    assert process.returncode == 0, said
    (done,) = committed(broker.bootstrap, job.events, 1, job.events)
    assert AT_WORK <= done < COUNT
    assert done == job.emitted()
    check_nothing_is_lost(job, tmp_path)
    assert job.emitted() == COUNT


@pytest.mark.parametrize(("which", "setting"), [("events", "input_topic"), ("lists", "output_topic")])
def test_a_topic_that_is_deleted_ends_the_job(broker: Broker, new_job: NewJob, which: str, setting: str) -> None:
    soon = '{"topic.metadata.refresh.interval.ms": "500", "topic.metadata.propagation.max.ms": "500"}'
    job = new_job(KAFKA=soon)  # else it takes half a minute
    produce(broker, job.events, RECORDS[:100])
    process = job.start()
    until(lambda: job.emitted() == 100)
    topic = {"events": job.events, "lists": job.lists}[which]
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.delete_topics([topic])[topic].result(120)
    if which == "lists":
        produce(broker, job.events, RECORDS[100:200])
    said = ended(process)
    assert process.returncode == 1, said
    assert f"{topic!r}" in said
    assert f"`{setting}`" in said


def with_small_lists(new_job: NewJob, new_topic: NewTopic, policy: str) -> Job:
    job = new_job(TOP=100, TOO_LARGE=policy)
    job.lists = job.variables["OUTPUT_TOPIC"] = new_topic(max_message_bytes="2500")
    return job


def test_a_list_that_is_too_large_stops_the_job(new_job: NewJob, new_topic: NewTopic) -> None:
    job = with_small_lists(new_job, new_topic, "stop")
    produce(job.broker, job.events, RECORDS[:1_000])
    process = job.start("--stop-at-end")
    said = ended(process)
    assert process.returncode == 1, said
    assert "too large" in said
    assert "`too_large`" in said


def test_a_list_that_is_too_large_goes_to_the_dead_letters(new_job: NewJob, new_topic: NewTopic) -> None:
    job = with_small_lists(new_job, new_topic, "dead-letter")
    produce(job.broker, job.events, RECORDS[:1_000])
    said = job.run_to_the_end()
    assert "too large" in said
    letters = [dict(letter.headers() or []) for letter in consume(job.broker, job.rejects)]  # type: ignore[arg-type]
    assert {letter["reason"] for letter in letters} == {b"list too large"}
    lost = {str(letter["source"], "utf-8") for letter in letters}
    kept = set(job.answered())
    assert lost
    assert kept
    assert sorted(lost | kept) == sorted(f"{job.events}/0/{offset}" for offset in range(1_000))
    assert len(letters) + job.emitted() == 1_000


def test_a_dead_letter_is_cut_to_what_its_topic_takes(new_job: NewJob, new_topic: NewTopic) -> None:
    job = new_job()
    job.rejects = job.variables["DEAD_LETTER_TOPIC"] = new_topic(max_message_bytes="2500")
    produce(job.broker, job.events, [b"\xff" * 10_000, b"\xff" * 100, *RECORDS[:10]])
    job.run_to_the_end()
    large, small = consume(job.broker, job.rejects)
    assert 2_000 < len(large.value() or b"") < 2_500
    assert dict(large.headers() or [])["raw_bytes"] == b"10000"  # type: ignore[arg-type]
    assert small.value() == b"\xff" * 100
    assert len(job.answered()) == 10


def test_the_lag_comes_back_when_a_broker_has_started_again(broker: Broker) -> None:
    topic = f"lag-{time.time_ns()}"
    make_topic(broker.bootstrap, topic)
    fill(broker.bootstrap, topic, 5)
    lag = Lag({"bootstrap.servers": broker.bootstrap}, {(topic, 0): 2})
    until(lambda: lag() == {(topic, 0): 3})  # absent while a broker takes its time
    killing = threading.Thread(target=broker.kill)
    killing.start()
    # The connection breaks under one of these requests. Then there is no number, rather than a wrong one.
    seen = []
    deadline = time.monotonic() + 300
    while killing.is_alive() or not seen or seen[-1] != {}:
        seen.append(lag())
        assert time.monotonic() < deadline
    assert all(each in ({}, {(topic, 0): 3}) for each in seen)
    assert lag() == {}
    broker.start()
    until(lambda: lag() == {(topic, 0): 3})


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_source_closes_though_no_broker_answers_its_last_commit(
    broker: Broker, new_topic: NewTopic, caplog: pytest.LogCaptureFixture, is_frozen: bool
) -> None:
    topic = new_topic(1)
    fill(broker.bootstrap, topic, 5)
    source = KafkaSource(config(broker.bootstrap), topic)
    part = source.build_part("in", "0", None)
    until(part.next_batch)
    part.snapshot()
    part.close()
    if is_frozen:
        broker.freeze()
    else:
        broker.kill()
    closing = threading.Thread(target=source.close, daemon=True)
    closing.start()
    closing.join(120)
    has_closed = not closing.is_alive()
    broker.kill()  # a frozen one has lost its own session, and takes long to be of use
    broker.start()
    closing.join(120)
    assert has_closed
    assert f"the last offsets of topic {topic!r} are not committed" in caplog.text
