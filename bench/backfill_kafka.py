"""Backfill between Kafka topics: 50 kills after which no event may be lost or learned twice.

The kills strike at random points of jobs that learn a past from a file and go on in a topic of a real broker. Each job
is resumed until it ends. Its model and its lists are compared with those of a job on files that was never stopped. A
list may be sent again after a kill, and is then the same.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Producer

from bench.backfill import new
from bench.broker import on_a_broker
from bench.report import Number, Section, main
from flows.kafka.topic_range import TopicRange, read_range
from tests.support.kafka_broker import Broker, make_topic
from tests.support.kill_driver import BACKFILL_ON_KAFKA
from tests.support.killed_jobs import KILLED, Backfilled, Driver, sums_of

CALLS = {"events are learned": 60, "lists are handed to the client": 60, "the plan is written": 4}
"""Largest number of a call at which a job dies. Others have 6."""


def measure(quick: bool) -> Section:
    """Kill jobs on a broker of their own."""
    section = Section("Backfill between Kafka topics", "python -m bench.backfill_kafka")

    def kill(broker: Broker, directory: Path) -> None:
        kills, jobs, different = killed(broker, directory, 3 if quick else 50)
        section.numbers += [
            Number("kills", kills, ""),
            Number("jobs that were killed", jobs, ""),
            Number("jobs with a gap or a double", different, "", least=0, is_cost=True),
        ]

    return on_a_broker(section, kill)


def killed(broker: Broker, directory: Path, most: int) -> tuple[int, int, int]:
    """Kill jobs until there were `most` kills. Return the kills, the jobs, and those that differ from one without."""
    draw, driver, kills, jobs, different = random.Random(29), Driver(), 0, 0, 0
    try:
        logs = Backfilled(driver, directory)
        past, live = (interactions(path) for path in (logs.past, logs.live))
        plain = new(directory / "plain")
        write(plain / "past.jsonl", past)
        write(plain / "live.jsonl", live)
        assert driver.run(plain, plain / "live.jsonl", {"fallback": False}, None, plain / "past.jsonl") == 0
        expected = sums_of(plain)["Learner"], {told(line) for line in (plain / "lists.jsonl").read_bytes().splitlines()}
        while kills < most:
            place, topic, jobs = new(directory / f"job-{jobs}"), f"live-{jobs}", jobs + 1
            make_topic(broker.bootstrap, topic, 1)
            produce(broker.bootstrap, topic, live)
            settings = {
                "bootstrap": broker.bootstrap,
                "input_topic": topic,
                "output_topic": f"{topic}-lists",
                "dead_letter_topic": f"{topic}-rejects",
                "group": topic,
                "fallback": False,
            }
            for _ in range(draw.randint(1, 6)):
                point = draw.choice(BACKFILL_ON_KAFKA)
                call = draw.randint(1, CALLS.get(point, 6))
                kills += driver.run(place, None, settings, (point, call), plain / "past.jsonl") == KILLED
                if (place / "sums.json").exists() or kills == most:
                    break
            if not (place / "sums.json").exists():
                assert driver.run(place, None, settings, None, plain / "past.jsonl") == 0
            sent = read_range({"bootstrap.servers": broker.bootstrap}, f"{topic}-lists", TopicRange())
            lists = {told(raw.value or b"") for raw in sent}
            different += (sums_of(place)["Learner"], lists) != expected
    finally:
        driver.close()
    return kills, jobs, different


def interactions(path: Path) -> list[bytes]:
    """Return the interactions of a log of every kind of record."""
    return [line for line in path.read_bytes().splitlines() if b'"kind"' not in line]


def produce(bootstrap: str, topic: str, values: Sequence[bytes]) -> None:
    """Write records to the one partition of a topic."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(60) == 0


def write(path: Path, records: Sequence[bytes]) -> None:
    """Write records, one a line."""
    path.write_bytes(b"".join(record + b"\n" for record in records))


def told(list_of_a_user: bytes) -> tuple[Any, ...]:
    """Return a list without the topic of its event, which is a file in the one case and a topic in the other."""
    found = orjson.loads(list_of_a_user)
    return found["source"].split("/", 1)[1], found["user"], orjson.dumps(found["items"]), found["event_time"]


if __name__ == "__main__":
    main(measure)
