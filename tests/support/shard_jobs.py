"""Several shards as processes, between topics with some partitions, and what they have counted in the end."""

import gzip
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from flows.inspection.stored_model import read_stored
from flows.sample import EVENTS
from flows.shards.envelope import Envelope, EnvelopeError, unseal
from recmodels.base import Example
from recmodels.specification import build_model
from tests.support.forks import Process, start
from tests.support.kafka_broker import make_topic
from tests.support.kafka_fixtures import AnyBroker, NewTopic, committed, until
from tests.support.kafka_jobs import Job

PARTITIONS = 4


class ShardedJob(Job):
    """Topics, and the shards between them."""

    def __init__(self, broker: AnyBroker, new_topic: NewTopic, tmp_path: Path, **settings: Any) -> None:
        super().__init__(broker, new_topic, tmp_path, **settings)
        self.events = new_topic(PARTITIONS)
        self.deltas = f"{self.lists}-deltas"
        self.variables |= {"INPUT_TOPIC": self.events, "GROUP": self.events}
        self.ends = [0] * PARTITIONS
        self.rows: list[tuple[str, str, float]] = []

    def feed(self, count: int) -> None:
        """Write the next interactions of the sample, each with its user as the key."""
        start = len(self.rows)
        lines = gzip.decompress(EVENTS.read_bytes()).decode().splitlines()[1 + start : 1 + start + count]
        producer = Producer({"bootstrap.servers": self.broker.bootstrap})
        for number, line in enumerate(lines, start=start):
            user, item, time_, *_ = line.split(",")
            self.rows.append((user, item, float(time_)))
            value = {"user": user, "item": item, "timestamp": float(time_), "id": f"e{number}"}
            partition = crc32(user.encode()) % PARTITIONS
            producer.produce(self.events, orjson.dumps(value), user.encode(), partition=partition)
            self.ends[partition] += 1
        assert producer.flush(120) == 0

    def shard(self, index: int | str, count: int, *arguments: str, **settings: Any) -> Process:
        """Start a shard."""
        kept = dict(self.variables)
        self.variables |= {"SHARD": f"{index}/{count}", **settings}
        process = self.start(*arguments)
        self.variables = kept
        return process

    def command(self, *arguments: str) -> str:
        """Run a command with the settings of the job to its end, and return what it said."""
        process = start(*arguments, env={**os.environ, **self.environment, "COLUMNS": "300"})
        said = process.communicate()[1]
        assert process.returncode == 0, said
        return said

    def committed(self) -> list[int]:
        return [max(at, 0) for at in committed(self.broker.bootstrap, self.events, PARTITIONS, self.events)]

    def wait_for_events(self, count: int) -> None:
        """Wait until so many events are part of snapshots."""
        until(lambda: sum(self.committed()) >= count)

    def messages(self) -> list[Envelope]:
        """All messages on the topic of deltas that are any."""
        consumer = Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": "reader"})
        found, left, first = [], {}, {}
        for number in consumer.list_topics(self.deltas, timeout=60).topics[self.deltas].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(self.deltas, number), timeout=60)
            if high > low:
                left[number], first[number] = high, low
        consumer.assign([TopicPartition(self.deltas, number, at) for number, at in first.items()])
        while left:
            for message in consumer.consume(1_000, 1.0):
                with suppress(EnvelopeError):
                    found.append(unseal(message.value() or b""))
                if (message.offset() or 0) + 1 >= left.get(message.partition() or 0, 1 << 60):
                    left.pop(message.partition() or 0)
        consumer.close()
        return found

    def bounds_of_deltas(self) -> dict[int, tuple[int, int]]:
        """The first offset and the next one of each partition of the topic of deltas."""
        consumer = Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": "reader"})
        numbers = consumer.list_topics(self.deltas, timeout=60).topics[self.deltas].partitions
        found = {n: consumer.get_watermark_offsets(TopicPartition(self.deltas, n), timeout=60) for n in numbers}
        consumer.close()
        return found

    def remove_deltas(self, until: Mapping[int, int]) -> None:
        """Remove the messages of each partition below an offset, as retention does."""
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap})
        places = [TopicPartition(self.deltas, number, offset) for number, offset in until.items()]
        for done in admin.delete_records(places).values():
            done.result(30)

    def is_told(self) -> bool:
        """Whether all events are known to all shards."""
        told: dict[str, int] = {}
        for message in self.messages():
            for place, at in message.positions.items():
                told[place] = max(at, told.get(place, 0))
        return [told.get(f"{self.events}/{number}", 0) for number in range(PARTITIONS)] == self.ends

    def finish(self, count: int) -> list[str]:
        """Run all shards until each has learned everything, and return what they said."""
        said = []
        for round_ in range(2):  # the second learns what the others told in the first
            for process in [self.shard(index, count, "--stop-at-end") for index in range(count)]:
                said.append(process.communicate(timeout=600)[1])
                assert process.returncode == 0, said[-1]
            if round_ == 0:
                assert self.is_told()
        return said

    def counted(self, index: int) -> dict[str, float]:
        """What a stopped shard has counted of items, without decay."""
        return counts_of(read_stored(self.state / f"shard-{index}").model)

    def counted_by_one(self) -> dict[str, float]:
        """What one process would have counted."""
        model = build_model("blend", repeats="allow")
        model.step_many([Example(user, item, 1.0, at) for user, item, at in self.rows], 0)
        return counts_of(model)


def counts_of(model: Any) -> dict[str, float]:
    """Return the number of interactions of each item, and its undecayed popularity."""
    state = model.memory.state
    found: dict[str, float] = {}
    for item, row in model.memory.items.rows.items():
        found[f"standing {item}"] = int(state.shared.items.standing[row])
        found[f"undecayed {item}"] = round(2.0 ** float(state.popularity.items.level[row, -1]))
    return found


@pytest.fixture
def new_shards(broker: AnyBroker, new_topic: NewTopic, tmp_path: Path) -> Iterator[Any]:
    """A function that makes a `ShardedJob`: `new_shards(DELTA_EVENTS=50)`."""
    jobs: list[ShardedJob] = []

    def new(**settings: Any) -> ShardedJob:
        jobs.append(ShardedJob(broker, new_topic, tmp_path, **settings))
        return jobs[-1]

    yield new
    end_all([process for job in jobs for process in job.processes])


def end_all(processes: Sequence[Process | subprocess.Popen[str]]) -> None:
    """End processes, and close their pipes."""
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def wait_for(process: Process, text: str, seconds: float = 600.0) -> None:
    """Read what a process says until a text comes."""
    deadline = time.monotonic() + seconds
    assert process.stderr is not None
    while time.monotonic() < deadline:
        line = process.stderr.readline()
        if text in line:
            return
        assert line, f"it ended before it said {text!r}"
    raise AssertionError(f"it did not say {text!r}")


__all__ = ["PARTITIONS", "ShardedJob", "end_all", "make_topic", "new_shards", "wait_for"]
