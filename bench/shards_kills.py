"""Shards that are killed: several processes on a real broker, and `kill -9` at seeded points over all of them.

    python -m bench.shards_kills LOG [--limit 20000] [--shards 4] [--kills 50] [--seconds 1000]

The log is written to the input topic at an even pace. A process that is killed is started again at once, so some are
killed while they start. In the end it is measured

- how many events have a list,
- by how much counts of items differ from those of one process that learned the same events,
- in how many cases the list that a user had held the user's next item.

The simulation of shards and one process tell the last figure, too.
Half-lives are in seconds, as decayed counts in events depend on the order of events.
"""

import argparse
import gzip
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import sqrt
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.shards import broker
from flows.inspection.stored_model import read_stored
from flows.replay import replay
from flows.settings import Settings
from recmodels.base import Example
from recmodels.fused.model import FusedModel
from recmodels.specification import build_model
from tests.support.kafka_broker import make_topic

MODEL: Final = "blend(decay_by='time', half_lives=(5600.0, 56000.0, 560000.0, 5600000.0, 1e999))"
ROUND: Final = 200
"""Events of the whole stream between two rounds."""
DECAYED: Final = 4
"""Number of half-lives that are finite."""


class Difference(NamedTuple):
    """Difference of two hit rates over the same events."""

    mean: float
    error: float
    """Standard error of the mean, with users drawn: events of one user are alike."""


@dataclass
class Killed:
    """What was measured."""

    events: int
    answered: int = 0
    """Events with at least one list."""
    lists: int = 0
    """All lists: an event that was learned again has several."""
    kills: Counter[int] = field(default_factory=Counter)
    """By shard."""
    seconds: float = 0.0
    differing: int = 0
    """Undecayed counts of items that differ from those of one process, over all shards."""
    counts: int = 0
    """Counts that were compared."""
    decayed_by: float = 0.0
    """Largest relative difference of a decayed count."""
    hit_rate: float = 0.0
    hit_rate_simulated: float = 0.0
    hit_rate_of_one: float = 0.0
    from_simulated: Difference = field(default_factory=lambda: Difference(0.0, 0.0))
    """Hit rate less the simulated one."""

    def lines(self) -> list[str]:
        """Say it."""
        simulated = self.hit_rate / max(self.hit_rate_simulated, 1e-9) - 1.0
        return [
            f"{sum(self.kills.values())} kills in {self.seconds:,.0f} s, by shard {dict(sorted(self.kills.items()))}",
            f"{self.answered:,} of {self.events:,} events answered, by {self.lists:,} lists",
            f"{self.differing} of {self.counts:,} undecayed counts differ from those of one process",
            f"decayed counts differ by at most {self.decayed_by:.1e} of themselves",
            f"hit rate @10 of the list that a user had: {self.hit_rate:.4f}; simulated {self.hit_rate_simulated:.4f} "
            f"({simulated:+.1%}); one process {self.hit_rate_of_one:.4f}",
        ]


Row = tuple[str, str, float]


def rows_of(log: Path, limit: int) -> list[Row]:
    """Read interactions: user, item, time."""
    with gzip.open(log, "rt") as lines:
        rows = [line.rstrip("\n").split(",") for line in islice(lines, 1, limit + 1)]
    return [(user, item, float(at)) for user, item, at, *_ in rows]


class Shards:
    """The processes, between topics of their own.

    Args:
        bootstrap: Address of the broker.
        directory: Directory for state and logs.
        count: Number of shards.
    """

    def __init__(self, bootstrap: str, directory: Path, count: int) -> None:
        self.bootstrap = bootstrap
        self.directory = directory
        self.count = count
        self.topic = f"kills-{uuid.uuid4().hex[:6]}"
        self.lists = f"{self.topic}-lists"
        make_topic(bootstrap, self.topic, count)
        make_topic(bootstrap, self.lists, 1)
        variables = {
            "BOOTSTRAP": bootstrap,
            "INPUT_TOPIC": self.topic,
            "OUTPUT_TOPIC": self.lists,
            "DEAD_LETTER_TOPIC": f"{self.topic}-rejects",
            "GROUP": self.topic,
            "RECOVERY": directory / "state",
            "MODEL": MODEL,
            "REPEATS": "exclude",
            "FALLBACK": "false",
            "DELTA_EVENTS": ROUND // count,
            "DELTA_SECONDS": 10,
        }
        self.environment = {**os.environ, **{f"FRESHRANK_{name}": str(value) for name, value in variables.items()}}
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, index: int, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a shard."""
        environment = {**self.environment, "FRESHRANK_SHARD": f"{index}/{self.count}"}
        with (self.directory / f"shard-{index}.log").open("ab") as said:
            command = [sys.executable, "-m", "flows.cli", "run", *arguments]
            self.processes[index] = subprocess.Popen(command, env=environment, stderr=said)
        return self.processes[index]

    def expect_running(self) -> None:
        """Raise SystemExit if a shard has ended by itself."""
        for index, process in self.processes.items():
            if process.poll() is not None:
                said = (self.directory / f"shard-{index}.log").read_text().splitlines()[-5:]
                raise SystemExit(f"shard {index} ended by itself ({process.returncode}):\n" + "\n".join(said))

    def kill(self, index: int) -> None:
        """End a shard at once."""
        self.processes[index].kill()
        self.processes[index].wait()

    def finish(self) -> None:
        """Have each shard learn all events, and then all that the others have told."""
        for _ in range(2):
            for process in [self.start(index, "--stop-at-end") for index in range(self.count)]:
                process.wait()
                if process.returncode:
                    self.expect_running()

    def read_lists(self) -> list[tuple[str, list[str]]]:
        """Return the source and the items of each list."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "bench"})
        left = consumer.get_watermark_offsets(TopicPartition(self.lists, 0), timeout=10)[1]
        consumer.assign([TopicPartition(self.lists, 0, 0)])
        found = []
        while left:
            for message in consumer.consume(10_000, 1.0):
                value = orjson.loads(message.value() or b"{}")
                found.append((value["source"], [each["item"] for each in value["items"]]))
                left -= 1
        consumer.close()
        return found


def measure(bootstrap: str, directory: Path, log: Path, limit: int, shards: int, kills: int, seconds: float) -> Killed:
    """Run shards over a log, and kill them.

    Args:
        bootstrap: Address of the broker.
        directory: Directory for state and files.
        log: CSV with user, item and time, compressed by gzip.
        limit: Number of events.
        shards: Number of shards.
        kills: Number of kills.
        seconds: How long the events take to be written.
    """
    rows, draw = rows_of(log, limit), random.Random(1)
    run, found = Shards(bootstrap, directory, shards), Killed(len(rows))
    points = sorted(draw.sample(range(len(rows)), kills))
    started = time.monotonic()
    try:
        for index in range(shards):
            run.start(index)
        producer, offsets, sources = Producer({"bootstrap.servers": bootstrap}), [0] * shards, []
        for number, (user, item, at) in enumerate(rows):
            while points and points[0] == number:
                points.pop(0)
                run.expect_running()
                index = draw.randrange(shards)
                run.kill(index)
                run.start(index)
                found.kills[index] += 1
            partition = crc32(user.encode()) % shards
            sources.append(f"{run.topic}/{partition}/{offsets[partition]}")
            offsets[partition] += 1
            value = orjson.dumps({"user": user, "item": item, "timestamp": at})
            producer.produce(run.topic, value, user.encode(), partition=partition)
            producer.poll(0)
            time.sleep(max(0.0, started + seconds * number / len(rows) - time.monotonic()))
        producer.flush()
        time.sleep(min(10.0, seconds / 4))
        for index in range(shards):
            run.kill(index)
        run.finish()
    finally:
        for process in run.processes.values():
            process.kill()
            process.wait()
    found.seconds = time.monotonic() - started
    lists = run.read_lists()
    held = dict(lists)
    found.answered, found.lists = len(held), len(lists)
    real = [held.get(source, []) for source in sources]
    found.hit_rate = hit_rate(rows, real)
    _compare(found, rows, [directory / "state" / f"shard-{index}" for index in range(shards)])
    settings = Settings.model_validate({"model": MODEL, "repeats": "exclude", "fallback": False})
    for count in (1, shards):
        out = directory / f"lists-{count}.jsonl"
        replay(log, settings, limit=limit, out=out, shards=count, round_events=ROUND)
        simulated = in_order(rows, out)
        if count == 1:
            found.hit_rate_of_one = hit_rate(rows, simulated)
        else:
            found.hit_rate_simulated = hit_rate(rows, simulated)
            found.from_simulated = difference(rows, real, simulated)
    return found


def hit_rate(rows: Sequence[Row], lists: Sequence[Sequence[str]]) -> float:
    """Return the share of events whose item was in the list that the user had from the event before.

    >>> hit_rate([("ann", "tea", 0.0), ("ann", "jam", 1.0)], [["jam"], []])
    0.5
    """
    found = hits(rows, lists)
    return sum(found) / max(len(found), 1)


def hits(rows: Sequence[Row], lists: Sequence[Sequence[str]]) -> list[bool]:
    """Say of each event whether its item was in the list that the user had from the event before."""
    had: dict[str, Sequence[str]] = {}
    found = []
    for (user, item, _), items in zip(rows, lists, strict=True):
        found.append(item in had.get(user, ()))
        had[user] = items
    return found


def difference(rows: Sequence[Row], lists: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> Difference:
    """Return the hit rate of some lists less that of others, over the same events.

    >>> rows = [("ann", "tea", 0.0), ("ann", "jam", 1.0), ("bob", "tea", 2.0), ("bob", "jam", 3.0)]
    >>> difference(rows, [["jam"], [], ["jam"], []], [["jam"], [], ["tea"], []])
    Difference(mean=0.25, error=0.25)
    """
    by_user: Counter[str] = Counter()
    for (user, _, _), ours, theirs in zip(rows, hits(rows, lists), hits(rows, others), strict=True):
        by_user[user] += ours - theirs
    count = max(len(rows), 1)
    return Difference(sum(by_user.values()) / count, sqrt(sum(each**2 for each in by_user.values())) / count)


def in_order(rows: Sequence[Row], out: Path) -> list[list[str]]:
    """Return the list of each event: the lists of a user come in the order of the user's events."""
    by_user: dict[str, list[list[str]]] = {}
    for line in out.read_bytes().splitlines():
        value = orjson.loads(line)
        by_user.setdefault(value["user"], []).append([each["item"] for each in value["items"]])
    places: Counter[str] = Counter()
    found = []
    for user, _, _ in rows:
        found.append(by_user[user][places[user]])
        places[user] += 1
    return found


def _compare(found: Killed, rows: Sequence[Row], directories: Sequence[Path]) -> None:
    """Compare the counts of stopped shards with those of one process."""
    one: Any = build_model(MODEL, repeats="exclude")
    one.step_many([Example(user, item, 1.0, at) for user, item, at in rows], 0)
    expected = counts_of(one)
    for directory in directories:
        counts: Any = counts_of(read_stored(directory).model)
        for item in expected.keys() | counts.keys():
            ours, theirs = counts.get(item), expected.get(item)
            found.counts += 1
            if ours is None or theirs is None or ours[0] != theirs[0]:
                found.differing += 1
                continue
            gaps = (abs(2.0 ** (a - b) - 1.0) for a, b in zip(ours[1], theirs[1], strict=True))
            found.decayed_by = max(found.decayed_by, *gaps)


def counts_of(model: FusedModel) -> dict[str, tuple[tuple[int, int], list[float]]]:
    """Return for each item its interactions, its undecayed popularity, and the levels (log2) of its decayed counts."""
    memory, state = model.memory, model.memory.state
    standing, level = state.shared.items.standing, state.popularity.items.level
    return {
        item: ((int(standing[row]), round(2.0 ** float(level[row, -1]))), level[row, :DECAYED].tolist())
        for item, row in memory.items.rows.items()
        if standing[row]
    }


def main() -> None:
    """Measure on a broker of its own, or on that of `--bootstrap`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("--limit", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=1_000.0, help="how long the events take to be written")
    parser.add_argument("--bootstrap")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, broker(given.bootstrap, Path(folder) / "broker") as bootstrap:
        directory = Path(folder) / "job"
        directory.mkdir()
        found = measure(bootstrap, directory, given.log, given.limit, given.shards, given.kills, given.seconds)
        for line in found.lines():
            sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
