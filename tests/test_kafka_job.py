"""`freshrank run` on a real broker: every event gets its list, whatever happens to the process."""

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from bytewax.recovery import init_db_dir
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from tests.kafka_fixtures import AnyBroker, NewTopic, committed, until

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parent.parent


def to_json(row: str) -> bytes:
    user, item, time, event, value = row.split(",")
    return orjson.dumps({"user": user, "item": item, "timestamp": float(time), "event": event, "value": float(value)})


def records_of(log: Path, count: int | None = None) -> list[bytes]:
    rows = gzip.decompress(log.read_bytes()).decode().splitlines()[1:]
    return [to_json(row) for row in rows[:count]]


def produce(broker: AnyBroker, topic: str, values: Iterable[bytes]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "queue.buffering.max.messages": 1_000_000})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(60) == 0


def consume(broker: AnyBroker, topic: str) -> list[Message]:
    """Read all that is on a topic of one partition."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "reader"})
    end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages: list[Message] = []
    while len(messages) < end:
        messages += consumer.consume(10_000, timeout=5)
    consumer.close()
    return messages


class Job:
    """Topics, and the job between them as a process of its own."""

    def __init__(self, broker: AnyBroker, new_topic: NewTopic, tmp_path: Path, **settings: Any) -> None:
        self.broker = broker
        self.events = new_topic()
        self.lists = f"{self.events}-lists"
        self.rejects = f"{self.events}-rejects"
        self.state = tmp_path / "state"
        self.variables = {
            "BOOTSTRAP": broker.bootstrap,
            "INPUT_TOPIC": self.events,
            "OUTPUT_TOPIC": self.lists,
            "DEAD_LETTER_TOPIC": self.rejects,
            "GROUP": self.events,
            "RECOVERY": self.state,
            "EPOCH_SECONDS": 0.2,
            **settings,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        variables = {f"FRESHRANK_{name}": str(value) for name, value in self.variables.items()}
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "run", *arguments],
            cwd=ROOT,
            env={**os.environ, **variables},
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_by_engine(self) -> subprocess.Popen[str]:
        """Start it by the engine's own command, with the engine's own recovery."""
        engine = self.state / "engine"
        engine.mkdir(parents=True, exist_ok=True)
        if not list(engine.iterdir()):
            init_db_dir(engine, 1)
        variables = {f"FRESHRANK_{name}": str(value) for name, value in self.variables.items()}
        return subprocess.Popen(
            [sys.executable, "-m", "bytewax.run", "flows.recommend:flow()", "-r", str(engine), "-s", "1", "-b", "0"],
            cwd=ROOT,
            env={**os.environ, **variables},
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_to_the_end(self) -> str:
        process = self.start("--stop-at-end")
        said = process.communicate(timeout=180)[1]
        assert process.returncode == 0, said
        return said

    def emitted(self) -> int:
        consumer = Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": "looker"})
        topics = consumer.list_topics(timeout=10).topics
        end = 0
        if self.lists in topics and topics[self.lists].partitions:
            end = consumer.get_watermark_offsets(TopicPartition(self.lists, 0), timeout=10)[1]
        consumer.close()
        return end


@pytest.fixture
def new_job(broker: AnyBroker, new_topic: NewTopic, tmp_path: Path) -> Callable[..., Job]:
    return lambda **settings: Job(broker, new_topic, tmp_path, **settings)


def replayed(job: Job, records: list[bytes], tmp_path: Path, repeats: str) -> list[bytes]:
    """Replay the same records from a file that is named like the topic."""
    log, out = tmp_path / f"{job.events}.jsonl", tmp_path / "lists.jsonl"
    log.write_bytes(b"".join(record + b"\n" for record in records))
    replay(log, Settings.model_validate({"repeats": repeats}), out=out)
    return out.read_bytes().splitlines()


def test_kafka_and_file_give_the_same_bytes(new_job: Callable[..., Job], tmp_path: Path) -> None:
    job = new_job(REPEATS="exclude")
    records = records_of(EVENTS, 5_000)
    produce(job.broker, job.events, records)
    job.run_to_the_end()
    messages = consume(job.broker, job.lists)
    assert [message.value() for message in messages] == replayed(job, records, tmp_path, "exclude")
    assert all(message.key() == orjson.loads(message.value() or b"")["user"].encode() for message in messages)
    assert committed(job.broker.bootstrap, job.events, 1, job.events) == [5_000]


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_killed_and_resumed_loses_nothing(new_job: Callable[..., Job], tmp_path: Path, share: float) -> None:
    job = new_job(REPEATS="exclude")
    records = records_of(EVENTS, 20_000)
    produce(job.broker, job.events, records)
    process = job.start()
    until(lambda: job.emitted() > share * len(records))
    process.kill()
    process.communicate()
    assert job.emitted() < len(records)
    job.run_to_the_end()
    lists = {
        orjson.loads(message.value() or b"")["source"]: message.value() for message in consume(job.broker, job.lists)
    }
    assert list(lists.values()) == replayed(job, records, tmp_path, "exclude")


def test_a_signal_stops_it_with_everything_delivered_and_committed(new_job: Callable[..., Job]) -> None:
    job = new_job()
    produce(job.broker, job.events, records_of(EVENTS, 20_000))
    process = job.start()
    until(lambda: job.emitted() > 2_000)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 0, said
    assert "SIGTERM: finishing" in said
    (offset,) = committed(job.broker.bootstrap, job.events, 1, job.events)
    assert offset == job.emitted()
    job.run_to_the_end()
    assert job.emitted() == 20_000


def test_rejects_and_erasures_reach_their_topics(new_job: Callable[..., Job]) -> None:
    job = new_job()
    forget = b'{"kind": "forget", "user": "u1", "timestamp": 3}'
    good = [to_json(f"u{n},i{n},{n},click,1") for n in (1, 2)]
    produce(job.broker, job.events, [*good, b"\xff garbage", forget])
    said = job.run_to_the_end()
    assert "1 rejected (1 not UTF-8)" in said
    lists = consume(job.broker, job.lists)
    assert [(message.key(), message.value() is None) for message in lists] == [
        (b"u1", False),
        (b"u2", False),
        (b"u1", True),
    ]
    (letter,) = consume(job.broker, job.rejects)
    assert letter.value() == b"\xff garbage"
    headers = dict(letter.headers() or [])  # type: ignore[arg-type]
    assert headers == {"source": f"{job.events}/0/2".encode(), "reason": b"not UTF-8", "field": b""}


def test_every_event_of_a_real_log_gets_a_list(new_job: Callable[..., Job], real_log: Callable[[str], Path]) -> None:
    job = new_job(REPEATS="exclude")
    produce(job.broker, job.events, records_of(real_log("ml-100k")))
    job.run_to_the_end()
    messages = consume(job.broker, job.lists)
    assert len(messages) == 100_000
    assert len({orjson.loads(message.value() or b"")["source"] for message in messages}) == 100_000


def test_a_missing_topic_is_named_with_its_setting(broker: AnyBroker, new_job: Callable[..., Job]) -> None:
    job = new_job(INPUT_TOPIC="no-such-topic")
    process = job.start()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert "no-such-topic" in said
    assert "`input_topic`" in said


def test_the_engines_own_command_runs_and_resumes_it(
    new_job: Callable[..., Job], tmp_path: Path, new_topic: NewTopic
) -> None:
    job = new_job(REPEATS="exclude")
    job.lists, job.rejects = new_topic(), new_topic()
    job.variables |= {"OUTPUT_TOPIC": job.lists, "DEAD_LETTER_TOPIC": job.rejects}
    records = records_of(EVENTS, 20_000)
    for end in (10_000, 20_000):
        produce(job.broker, job.events, records[end - 10_000 : end])
        process = job.start_by_engine()
        until(lambda end=end: committed(job.broker.bootstrap, job.events, 1, job.events) == [end])  # type: ignore[misc]
        process.kill()
        process.communicate()
    lists = {
        orjson.loads(message.value() or b"")["source"]: message.value() for message in consume(job.broker, job.lists)
    }
    assert list(lists.values()) == replayed(job, records, tmp_path, "exclude")
