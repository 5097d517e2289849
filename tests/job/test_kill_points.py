"""Killed at any point and resumed, a run ends with the model and the lists of one that was never stopped."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.sample import EVENTS
from tests.support.flow import records_of
from tests.support.kafka_jobs import Job, produce, replayed
from tests.support.kill_driver import ON_KAFKA, POINTS
from tests.support.killed_jobs import KILLED, Driver, sums_of, write_events

pytestmark = pytest.mark.process

EVERY_EVENT = 300
"""Approximate number of calls per batch, and least number of calls per snapshot."""
EVERY_SNAPSHOT = 6
CALLS = {
    "an event is to be learned": EVERY_EVENT,
    "events are learned": EVERY_EVENT,
    "a line is half written": EVERY_EVENT,
    "the engine's directory is half made": 1,
    "the engine's directory is made": 1,
    "the job's file is half made": 1,
    "a state was loaded": 3,
    "a part of the state was copied": 3,
}


def seeded() -> list[tuple[str, int]]:
    draw = random.Random(5)
    return [(point, draw.randint(1, CALLS.get(point, EVERY_SNAPSHOT))) for point in [*POINTS, *POINTS]]


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.close()


Replay = Callable[..., int]


@pytest.fixture(scope="module")
def replay(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """Replays a log of every kind of event into a directory: `replay(directory, (point, call))`."""
    log = write_events(tmp_path_factory.mktemp("log") / "events.jsonl", 4_000)
    settings = {"emit": "changed", "dedup_window": 500}
    return lambda directory, kill=None: driver.run(directory, log, settings, kill)


Sums = dict[str, dict[str, str]]


def outcome(directory: Path) -> tuple[bytes, Sums]:
    return (directory / "lists.jsonl").read_bytes(), sums_of(directory)


@pytest.fixture(scope="module")
def unbroken(replay: Replay, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Sums]:
    directory = tmp_path_factory.mktemp("unbroken")
    assert replay(directory) == 0
    lists, sums = outcome(directory)
    assert set(sums) >= {"Cleaner", "BotGuard", "Learner", "Emitter"}
    assert 1_000 < lists.count(b"\n") < 4_500  # with those made anew where an item is removed
    assert b'"items":null' in lists
    return lists, sums


@pytest.mark.parametrize(("point", "call"), seeded())
def test_killed_anywhere_and_resumed_equals_never_stopped(
    replay: Replay, unbroken: tuple[bytes, Sums], tmp_path: Path, point: str, call: int
) -> None:
    assert replay(tmp_path, (point, call)) == KILLED
    assert replay(tmp_path) == 0
    assert outcome(tmp_path) == unbroken


def test_job_survives_repeated_kills(replay: Replay, unbroken: tuple[bytes, Sums], tmp_path: Path) -> None:
    draw = random.Random(7)
    kills = 0
    for _ in range(12):
        point = draw.choice([point for point in POINTS if "made" not in point])
        kills += replay(tmp_path, (point, draw.randint(1, min(3, CALLS.get(point, 3))))) == KILLED
        if (tmp_path / "sums.json").exists():
            break  # it has come to the end in between
    assert kills >= 3
    assert replay(tmp_path) == 0
    assert outcome(tmp_path) == unbroken


def on_kafka(driver: Driver, job: Job, kill: tuple[str, int] | None = None) -> int:
    names = ("bootstrap", "input_topic", "output_topic", "dead_letter_topic", "group")
    settings = {name: job.variables[name.upper()] for name in names}
    return driver.run(job.state.parent, None, settings, kill)


@pytest.mark.kafka
@pytest.mark.parametrize("point", ON_KAFKA)
def test_killed_between_topics_and_resumed_equals_never_stopped(
    driver: Driver, new_job: Callable[..., Job], tmp_path: Path, point: str
) -> None:
    job = new_job()
    records = records_of(EVENTS, 4_000)
    produce(job.broker, job.events, records)
    assert on_kafka(driver, job, (point, 4)) == KILLED
    assert on_kafka(driver, job) == 0
    assert list(job.answered().values()) == replayed(job, records, tmp_path, "exclude")

    log, plain = tmp_path / f"{job.events}.jsonl", tmp_path / "plain"
    plain.mkdir()
    assert driver.run(plain, log, {}, None) == 0
    assert sums_of(tmp_path)["Learner"] == sums_of(plain)["Learner"]
