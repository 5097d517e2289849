"""Speed of shards on one machine with their broker: events a second of two processes against one.

    python -m bench.shards LOG [--limit 60000] [--shards 2]

Each job reads a topic that holds the log already. The rate is that of lists on the output topic, by the brokers' times,
while all shards are at work. The CPU time of a list is that of all jobs together, between a tenth and nine tenths of
the lists. It tells what the shards would give with a core for each of them and others for the broker.
"""

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from zlib import crc32

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from flows.kafka.errors import retry
from tests.support.kafka_broker import Broker, make_topic

PARTITIONS = 4
LEAST_MS = 500
"""Shortest time that is measured, in milliseconds."""


def feed(bootstrap: str, topic: str, log: Path, limit: int) -> int:
    """Write interactions, keyed by user. Return their number."""
    make_topic(bootstrap, topic, PARTITIONS)
    producer = Producer({"bootstrap.servers": bootstrap, "queue.buffering.max.messages": 1_000_000})
    count = 0
    with gzip.open(log, "rt") as lines:
        for line in islice(lines, 1, limit + 1):
            user, item, time_, *_ = line.rstrip("\n").split(",")
            value = orjson.dumps({"user": user, "item": item, "timestamp": float(time_)})
            producer.produce(topic, value, user.encode(), partition=crc32(user.encode()) % PARTITIONS)
            count += 1
    producer.flush()
    return count


def cpu_of(processes: list[subprocess.Popen[bytes]]) -> float:
    """Return the CPU seconds of processes so far, of which some may have ended."""
    ticks = 0
    for process in processes:
        with suppress(OSError):
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rate(bootstrap: str, topic: str, shards: int, count: int, directory: Path, **settings: str) -> tuple[float, float]:
    """Run a job over the topic, and return lists a second, and CPU µs a list."""
    lists = f"{topic}-lists-{shards}"
    make_topic(bootstrap, lists, 1, message_timestamp_type="LogAppendTime")
    variables = {
        "BOOTSTRAP": bootstrap,
        "INPUT_TOPIC": topic,
        "OUTPUT_TOPIC": lists,
        "DEAD_LETTER_TOPIC": f"{lists}-rejects",
        "GROUP": lists,
        "RECOVERY": str(directory / lists),
        "FALLBACK": "false",
        "REPEATS": "exclude",
        **settings,
    }
    environment = {**os.environ, **{f"FRESHRANK_{name}": value for name, value in variables.items()}}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "run"],
            env={**environment, **({"FRESHRANK_SHARD": f"{index}/{shards}"} if shards > 1 else {})},
            stderr=(directory / f"{lists}-{index}.log").open("w"),
        )
        for index in range(shards)
    ]
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench"})
    where = TopicPartition(lists, 0)
    deadline = time.monotonic() + 170
    seen: list[tuple[int, float]] = []
    while (made := retry({}, "asking", lambda: consumer.get_watermark_offsets(where, timeout=10))[1]) < count:
        if count // 10 <= made <= count * 9 // 10:
            seen.append((made, cpu_of(processes)))
        time.sleep(0.05)
        if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
            break
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()
    consumer.assign([TopicPartition(lists, 0, 0)])
    times: list[list[int]] = [[] for _ in range(shards)]
    left = consumer.get_watermark_offsets(TopicPartition(lists, 0), timeout=10)[1]
    while left:
        for message in consumer.consume(10_000, 1.0):
            source = orjson.loads(message.value() or b"{}").get("source", "")
            times[int(source.split("/")[1]) % shards].append(message.timestamp()[1])
            left -= 1
    consumer.close()
    first, last = max(some[0] for some in times), min(some[-1] for some in times)
    if last - first < LEAST_MS:
        raise SystemExit(f"expected {LEAST_MS} ms in which all jobs are at work; got {last - first}. Raise --limit.")
    inside = sum(first <= at <= last for some in times for at in some)
    cpu_us = 1e6 * (seen[-1][1] - seen[0][1]) / max(seen[-1][0] - seen[0][0], 1) if seen else float("nan")
    return 1000.0 * inside / (last - first), cpu_us


def main() -> None:
    """Compare one process with several, in turn, on a broker of its own or on that of `--bootstrap`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("--limit", type=int, default=60_000)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--bootstrap")
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE, a setting of all jobs")
    given = parser.parse_args()
    settings = dict(each.split("=", 1) for each in given.set)
    with tempfile.TemporaryDirectory() as folder, broker(given.bootstrap, Path(folder) / "broker") as bootstrap:
        for _ in range(given.turns):
            topic = f"bench-{uuid.uuid4().hex[:6]}"
            count = feed(bootstrap, topic, given.log, given.limit)
            one, one_us = rate(bootstrap, topic, 1, count, Path(folder), **settings)
            many, many_us = rate(bootstrap, topic, given.shards, count, Path(folder), **settings)
            sys.stdout.write(f"{one:,.0f} events/s by one, {many:,.0f} by {given.shards}: {many / one:.2f}\n")
            by_cpu = given.shards * one_us / many_us
            sys.stdout.write(f"CPU of a list: {one_us:.1f} µs by one, {many_us:.1f} by {given.shards}: {by_cpu:.2f}\n")
            sys.stdout.flush()


@contextmanager
def broker(bootstrap: str | None, directory: Path) -> Iterator[str]:
    """Yield the address of a broker: that which is given, or one that runs meanwhile."""
    if bootstrap is not None:
        yield bootstrap
        return
    own = Broker(directory)
    own.start()
    try:
        yield own.bootstrap
    finally:
        own.stop()


if __name__ == "__main__":
    main()
