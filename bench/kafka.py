"""Latency and throughput on Kafka: from an event produced to its list consumed, through a real broker."""

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from bench.broker import on_a_broker
from bench.process import ROOT, environment
from bench.report import Number, Section, main, median
from bench.streams import popular, to_records
from flows.replay import replay
from flows.settings import Settings
from tests.support.kafka_broker import Broker, make_topic

RATE = 2_000
USERS, ITEMS = 5_000, 2_000
WARM_UP = 2_000
"""Number of first events that do not count, since connections are made and the first snapshot holds the whole state."""


def measure(quick: bool) -> Section:
    """Start a broker, and run the job on it with recovery off and on."""
    section = Section("Kafka to Kafka, on a real broker", "python -m bench.kafka")
    seconds, bulk = (4, 10_000) if quick else (20, 100_000)

    def on(broker: Broker, directory: Path) -> None:
        for recovery in (False, True):
            runs = [at_a_rate(broker, directory, RATE * seconds + WARM_UP, recovery) for _ in range(1 if quick else 5)]
            said = f"recovery {'on' if recovery else 'off'}"
            p50, p99 = ([float(np.quantile(run, q)) * 1_000 for run in runs] for q in (0.5, 0.99))
            section.numbers += [
                median(f"p50 at {RATE:,} events/s, {said}", p50, "ms", 5, 2, is_cost=True),
                median(f"p99 at {RATE:,} events/s, {said}", p99, "ms", 25, 10, is_cost=True),
                Number(f"worst of all, {said}", max(float(run.max()) for run in runs) * 1_000, "ms"),
            ]
        for recovery in (False, True):
            speeds = [as_fast_as_it_goes(broker, directory, bulk, recovery) for _ in range(1 if quick else 5)]
            said = f"recovery {'on' if recovery else 'off'}"
            section.numbers.append(median(f"as fast as it goes, {said}", speeds, "events/s", 6_000, 20_000))
        section.notes = [
            f"{USERS:,} users, {ITEMS:,} items (Zipf), one partition, default settings, snapshots every 5 s. Producer "
            "and consumer are librdkafka's with `linger.ms` 0, in one process with one clock. With the broker and the "
            f"job, three busy processes share the cores. Each run: {seconds} s at the rate, after {WARM_UP:,} events "
            f"to warm up; {bulk:,} events as fast as it goes, from the first list's timestamp to the last's. Every "
            "run's lists are, byte for byte, those of a replay of the same events from a file."
        ]

    return on_a_broker(section, on)


class Job:
    """The job in a process of its own, with topics of its own.

    Args:
        broker: The broker.
        directory: Directory for the state.
        records: Events of the input topic.
        recovery: Whether the job has a recovery directory.
    """

    def __init__(self, broker: Broker, directory: Path, records: list[bytes], recovery: bool) -> None:
        self.broker, self.directory, self.records = broker, directory, records
        self.events = f"events-{uuid.uuid4().hex[:8]}"
        self.lists = f"{self.events}-lists"
        for topic in (self.events, self.lists):
            make_topic(broker.bootstrap, topic)
        self._variables = {
            "FRESHRANK_BOOTSTRAP": broker.bootstrap,
            "FRESHRANK_INPUT_TOPIC": self.events,
            "FRESHRANK_OUTPUT_TOPIC": self.lists,
            "FRESHRANK_DEAD_LETTER_TOPIC": f"{self.events}-rejects",
            "FRESHRANK_GROUP": self.events,
        }
        if recovery:
            self._variables["FRESHRANK_RECOVERY"] = str(directory / f"{self.events}-state")

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run the job. At the end stop it if it still runs, and raise if it failed."""
        with (self.directory / f"{self.events}.err").open("w+b") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", "run", *arguments],
                cwd=ROOT,
                env=environment(self._variables),
                stderr=errors,
            )
            try:
                yield process
                if process.poll() is None:
                    process.terminate()
                status = process.wait(120)
                errors.seek(0)
                assert status == 0, errors.read().decode()
            finally:
                process.kill()

    def check(self, messages: list[Message]) -> None:
        """Compare the lists with those of a replay of the same events from a file."""
        log, out = self.directory / f"{self.events}.jsonl", self.directory / f"{self.events}.out"
        log.write_bytes(b"\n".join(self.records) + b"\n")
        replay(log, Settings(), out=out)
        assert [message.value() for message in messages] == out.read_bytes().splitlines(), "lists differ"


def at_a_rate(broker: Broker, directory: Path, count: int, recovery: bool) -> np.ndarray:
    """Produce events at the rate, and return the latency of each in seconds, without the first `WARM_UP`."""
    job = Job(broker, directory, records_of(count), recovery)
    produced, consumed = np.zeros(count), np.zeros(count)
    messages: list[Message] = []
    with job.running() as process:
        reader = threading.Thread(target=read_lists, args=(job, messages, consumed, process))
        reader.start()
        producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0, "acks": 1})
        producer.produce(job.events, job.records[0])
        producer.flush()
        produced[0] = time.perf_counter()
        while not messages and process.poll() is None:
            time.sleep(0.01)  # the job is up when it has answered
        start = time.perf_counter()
        for number in range(1, count):
            due = start + number / RATE
            while (now := time.perf_counter()) < due:
                time.sleep(max(0.0, due - now))
            produced[number] = now
            producer.produce(job.events, job.records[number])
            producer.poll(0)
        assert producer.flush(30) == 0
        reader.join(60)
        assert not reader.is_alive(), f"{len(messages)} of {count} lists have come"
    job.check(messages)
    return (consumed - produced)[WARM_UP:]


def read_lists(job: Job, messages: list[Message], consumed: np.ndarray, process: subprocess.Popen[bytes]) -> None:
    """Consume the lists, and note the time of each."""
    consumer = Consumer({"bootstrap.servers": job.broker.bootstrap, "group.id": f"{job.lists}-reader"})
    consumer.assign([TopicPartition(job.lists, 0, 0)])
    while len(messages) < len(consumed) and process.poll() is None:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            now = time.perf_counter()
            value = message.value()
            assert value is not None
            consumed[int(orjson.loads(value)["source"].rpartition("/")[2])] = now
            messages.append(message)
    consumer.close()


def as_fast_as_it_goes(broker: Broker, directory: Path, count: int, recovery: bool) -> float:
    """Fill the topic, run the job to its end, and return its events per second."""
    job = Job(broker, directory, records_of(count), recovery)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "queue.buffering.max.messages": 1_000_000})
    for record in job.records:
        producer.produce(job.events, record)
    assert producer.flush(60) == 0
    with job.running("--stop-at-end") as process:
        assert process.wait(600) == 0
    messages: list[Message] = []
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": f"{job.lists}-reader"})
    consumer.assign([TopicPartition(job.lists, 0, 0)])
    while len(messages) < count:
        taken = consumer.consume(10_000, timeout=10)
        assert taken, f"{len(messages)} of {count} lists are there"
        messages += taken
    consumer.close()
    job.check(messages)
    seconds = (messages[-1].timestamp()[1] - messages[0].timestamp()[1]) / 1_000
    return (count - 1) / seconds


def records_of(count: int) -> list[bytes]:
    """Make the events."""
    stream = to_records(popular(USERS, ITEMS, seed=1), seconds_between=1.0 / RATE)
    return [next(stream) for _ in range(count)]


if __name__ == "__main__":
    main(measure)
