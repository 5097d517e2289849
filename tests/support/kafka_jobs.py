"""`freshrank run` as a process of its own, between topics that a test fills and reads."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from bytewax.recovery import init_db_dir
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from flows.kafka.errors import retry
from flows.replay import replay
from flows.settings import Settings
from tests.support.forks import Process, start
from tests.support.gate import start_gated
from tests.support.kafka_fixtures import AnyBroker, NewTopic

ROOT = Path(__file__).parent.parent.parent


def produce(broker: AnyBroker, topic: str, values: Iterable[bytes]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "queue.buffering.max.messages": 1_000_000})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(120) == 0


def consume(broker: AnyBroker, topic: str) -> list[Message]:
    """Read all that is on a topic of one partition."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "reader"})
    end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=60)[1]
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages: list[Message] = []
    while len(messages) < end:
        messages += consumer.consume(min(end - len(messages), 10_000), timeout=5)  # it waits for no more
    consumer.close()
    return messages


class Job:
    """Topics, and the job between them as a process of its own. See `tests.support.forks`."""

    def __init__(self, broker: AnyBroker, new_topic: NewTopic, tmp_path: Path, **settings: Any) -> None:
        self.broker = broker
        self.events = new_topic()
        self.lists = f"{self.events}-lists"
        self.rejects = f"{self.events}-rejects"
        self.processes: list[Process | subprocess.Popen[str]] = []
        self.state = tmp_path / self.events
        self.variables = {
            "BOOTSTRAP": broker.bootstrap,
            "INPUT_TOPIC": self.events,
            "OUTPUT_TOPIC": self.lists,
            "DEAD_LETTER_TOPIC": self.rejects,
            "GROUP": self.events,
            "RECOVERY": self.state,
            "EPOCH_SECONDS": 0.2,
            "FALLBACK": "false",  # so that each event has one list, which the tests count
            **settings,
        }

    @property
    def environment(self) -> dict[str, str]:
        return {f"FRESHRANK_{name}": str(value) for name, value in self.variables.items()}

    def start(self, *arguments: str) -> Process:
        process = start("run", *arguments, env={**os.environ, **self.environment})
        self.processes.append(process)
        return process

    def start_gated(self, event: int) -> Process:
        """Start it, and wait until it is at an event. See `tests.support.gate`."""
        process = start_gated(event, "run", **self.environment)
        self.processes.append(process)
        return process

    def start_by_engine(self) -> subprocess.Popen[str]:
        """Start it by the engine's own command, with the engine's own recovery."""
        engine = self.state / "engine"
        engine.mkdir(parents=True, exist_ok=True)
        if not list(engine.iterdir()):
            init_db_dir(engine, 1)
        flow = ["bytewax.run", "flows.recommend:flow()", "-r", str(engine), "-s", "1", "-b", "0"]
        command, environment = [sys.executable, "-m", *flow], {**os.environ, **self.environment}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def run_to_the_end(self) -> str:
        process = self.start("--stop-at-end")
        said = process.communicate(timeout=600)[1]
        assert process.returncode == 0, said
        return said

    def answered(self) -> dict[str, bytes]:
        """The users' lists by the position of the event that each answers: repeats and fallback lists are gone."""
        values = (message.value() or b"" for message in consume(self.broker, self.lists) if message.key())
        return {orjson.loads(value)["source"]: value for value in values}

    def emitted(self) -> int:
        consumer = Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": "looker"})
        topics = consumer.list_topics(timeout=60).topics
        end = 0
        if self.lists in topics and topics[self.lists].partitions:
            where = TopicPartition(self.lists, 0)  # made a moment ago, it may have no leader yet
            end = retry({}, "asking", lambda: consumer.get_watermark_offsets(where, timeout=60))[1]
        consumer.close()
        return end


@pytest.fixture
def new_job(broker: AnyBroker, new_topic: NewTopic, tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """A function that makes a `Job` with topics and a directory of its own: `new_job(REPEATS="exclude")`."""
    jobs: list[Job] = []

    def new(**settings: Any) -> Job:
        jobs.append(Job(broker, new_topic, tmp_path, **settings))
        return jobs[-1]

    yield new
    for process in [process for job in jobs for process in job.processes]:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def replayed(job: Job, records: list[bytes], tmp_path: Path, repeats: str) -> list[bytes]:
    """Replay the same records from a file that is named like the topic."""
    log, out = tmp_path / f"{job.events}.jsonl", tmp_path / "lists.jsonl"
    log.write_bytes(b"".join(record + b"\n" for record in records))
    replay(log, Settings.model_validate({"repeats": repeats, "fallback": False}), out=out)
    return out.read_bytes().splitlines()
