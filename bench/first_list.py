"""Time from `kill -9` of a shard to its first new list, on a real broker: by one version, or by two in turn.

    python -m bench.first_list LOG [--limit 100000] [--shards 2] [--turns 3] [--other CHECKOUT]

The shards learn a log first. Then each turn kills shard 0, starts it again at once, and writes an event of one of
its users every 50 ms. The time ends when the output topic has the list of an event that was written after the kill. The
other shards go on meanwhile. A second version is a checkout of this repository. It starts with the same state.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.shards import broker, feed
from flows.kafka.errors import retry
from tests.support.kafka_broker import make_topic
from tests.support.kafka_jobs import ROOT

PARTITIONS: Final = 4
"""Those of the input topic, as `bench.shards.feed` makes it."""
BETWEEN_EVENTS: Final = 0.05
USERS: Final = 100
"""Number of users of these events: one alone would look like a bot."""
CALM_SECONDS: Final = 12.0
"""Time between two turns: longer than an epoch, so that what was learned is part of a snapshot."""
LIMIT_SECONDS: Final = 120.0


class Restart(NamedTuple):
    """One restart."""

    seconds: float
    """From the kill to the first new list."""
    cpu_seconds: float
    """CPU time of the new process until then."""


class Shards:
    """Shards between topics of their own.

    Args:
        bootstrap: Address of the broker.
        directory: Directory for state and logs.
        topic: The input topic.
        count: Number of shards.
    """

    def __init__(self, bootstrap: str, directory: Path, topic: str, count: int) -> None:
        self.bootstrap, self.directory, self.topic, self.count = bootstrap, directory, topic, count
        self.lists = f"{topic}-lists"
        make_topic(bootstrap, self.lists, 1)
        variables = {
            "BOOTSTRAP": bootstrap,
            "INPUT_TOPIC": topic,
            "OUTPUT_TOPIC": self.lists,
            "DEAD_LETTER_TOPIC": f"{topic}-rejects",
            "GROUP": topic,
            "RECOVERY": str(directory / "state"),
            "BATCH": "256",
        }
        self.variables = {f"FRESHRANK_{name}": value for name, value in variables.items()}
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "fetch.wait.max.ms": 10})

    def start(self, index: int, checkout: Path = ROOT) -> None:
        """Start a shard with the code of a checkout."""
        own = {"FRESHRANK_SHARD": f"{index}/{self.count}", "PYTHONPATH": str(checkout)}
        with (self.directory / f"shard-{index}.log").open("ab") as said:
            command = [sys.executable, "-m", "flows.cli", "run"]
            environment: Mapping[str, str] = {**os.environ, **self.variables, **own}
            environment = {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
            self.processes[index] = subprocess.Popen(command, env=environment, stderr=said, cwd=checkout)

    def wait_for_lists(self, count: int) -> None:
        """Wait until the output topic has a number of lists."""
        where, deadline = TopicPartition(self.lists, 0), time.monotonic() + 600.0
        while retry({}, "asking", lambda: self.consumer.get_watermark_offsets(where, timeout=10))[1] < count:
            self.expect_running(deadline)
            time.sleep(0.2)

    def expect_running(self, deadline: float) -> None:
        """Raise SystemExit if a shard has ended, or it is too late."""
        for index, process in self.processes.items():
            if process.poll() is not None or time.monotonic() > deadline:
                said = (self.directory / f"shard-{index}.log").read_text().splitlines()[-5:]
                raise SystemExit(f"shard {index}: expected a running shard; it said:\n" + "\n".join(said))

    def restart(self, index: int, checkout: Path) -> Restart:
        """Kill a shard, start it again with the code of a checkout, and wait for its first new list."""
        where = TopicPartition(self.topic, index)
        written = self.consumer.get_watermark_offsets(where, timeout=10)[1]
        end = self.consumer.get_watermark_offsets(TopicPartition(self.lists, 0), timeout=10)[1]
        self.consumer.assign([TopicPartition(self.lists, 0, end)])
        self.processes[index].kill()
        killed = time.monotonic()
        self.processes[index].wait()
        self.start(index, checkout)
        next_event, number = killed, 0
        while True:
            if (now := time.monotonic()) >= next_event:
                user, number, next_event = f"user {number % USERS}", number + 1, now + BETWEEN_EVENTS
                value = orjson.dumps({"user": user, "item": f"item {number}", "timestamp": time.time()})
                self.producer.produce(self.topic, value, user.encode(), partition=index)
            self.producer.poll(0)
            message = self.consumer.poll(0.01)
            if message is not None and message.error() is None:
                topic, partition, offset = orjson.loads(message.value() or b"{}")["source"].rsplit("/", 2)
                if (topic, int(partition)) == (self.topic, index) and int(offset) >= written:
                    return Restart(time.monotonic() - killed, cpu_seconds(self.processes[index].pid))
            self.expect_running(killed + LIMIT_SECONDS)

    def end(self) -> None:
        """End all shards."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait()
        self.consumer.close()


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process of this machine, all threads, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure on a broker of its own, or on that of `--bootstrap`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("--limit", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--other", type=Path, help="folder of another version, which is measured in turn")
    parser.add_argument("--bootstrap")
    given = parser.parse_args()
    checkouts = {"here": ROOT, **({} if given.other is None else {"there": given.other.resolve()})}
    found: dict[str, list[Restart]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as folder, broker(given.bootstrap, Path(folder) / "broker") as bootstrap:
        topic = f"restart-{uuid.uuid4().hex[:6]}"
        count = feed(bootstrap, topic, given.log, given.limit)
        directory = Path(folder) / "job"
        directory.mkdir()
        shards = Shards(bootstrap, directory, topic, given.shards)
        try:
            for index in range(given.shards):
                shards.start(index)
            shards.wait_for_lists(count)
            for turn in range(given.turns + 1):
                for name, checkout in checkouts.items():
                    time.sleep(CALM_SECONDS)
                    restart = shards.restart(0, checkout)
                    if turn:  # the first one may compile
                        found[name].append(restart)
                        sys.stdout.write(f"{name}: {restart.seconds:.2f} s, {restart.cpu_seconds:.2f} s of CPU time\n")
                        sys.stdout.flush()
        finally:
            shards.end()
        state = sum(file.stat().st_size for file in (directory / "state" / "shard-0" / "state").rglob("*.log"))
    for name, restarts in found.items():
        seconds, cpu = (median(column) for column in zip(*restarts, strict=True))
        sys.stdout.write(
            f"{name}: median {seconds:.2f} s, {cpu:.2f} s of CPU time, with {state / 1e6:.0f} MB of state\n"
        )


if __name__ == "__main__":
    main()
