"""Killed anywhere in a backfill and resumed, a job ends with the model and the lists of one that was never stopped."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.kafka_jobs import Job, consume, produce
from tests.support.kill_driver import BACKFILL_ON_KAFKA, OF_A_BACKFILL
from tests.support.killed_jobs import CALLS_OF_A_BACKFILL, KILLED, Backfilled, Driver, outcome_of, sums_of

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backfilled]:
    driver = Driver()
    yield Backfilled(driver, tmp_path_factory.mktemp("log"))
    driver.close()


@pytest.fixture(scope="module")
def unbroken(job: Backfilled, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("unbroken")
    assert job.run(directory) == 0
    lists, sums = outcome_of(directory)
    assert {"Cleaner", "BotGuard", "Learner", "Emitter"} <= set(sums)
    assert b'"source":"past/0/1999"' in lists
    assert b'"source":"live/0/' in lists
    return lists, sums


@pytest.mark.parametrize("point", OF_A_BACKFILL)
def test_backfill_killed_anywhere_and_resumed_equals_one_never_stopped(
    job: Backfilled, unbroken: tuple[bytes, dict[str, Any]], tmp_path: Path, point: str
) -> None:
    call = random.Random(point).randint(1, CALLS_OF_A_BACKFILL.get(point, 6))
    assert job.run(tmp_path, (point, call)) == KILLED
    assert job.run(tmp_path) == 0
    assert outcome_of(tmp_path) == unbroken


def test_backfill_killed_many_times_equals_one_never_stopped(
    job: Backfilled, unbroken: tuple[bytes, dict[str, Any]], tmp_path: Path
) -> None:
    draw, kills = random.Random(11), 0
    for _ in range(10):
        point = draw.choice(list(OF_A_BACKFILL))
        kills += job.run(tmp_path, (point, draw.randint(1, min(3, CALLS_OF_A_BACKFILL.get(point, 3))))) == KILLED
        if (tmp_path / "sums.json").exists():
            break
    assert kills >= 3
    assert job.run(tmp_path) == 0
    assert outcome_of(tmp_path) == unbroken


def told(list_of_a_user: bytes) -> tuple[Any, ...]:
    """Return a list without the topic of its event, which is a file in the one case and a topic in the other."""
    found = orjson.loads(list_of_a_user)
    return found["source"].split("/", 1)[1], found["user"], orjson.dumps(found["items"]), found["event_time"]


@pytest.mark.kafka
@pytest.mark.parametrize("point", BACKFILL_ON_KAFKA)
def test_backfill_killed_between_topics_and_resumed_equals_one_never_stopped(
    job: Backfilled, new_job: Callable[..., Job], tmp_path: Path, point: str
) -> None:
    topics, plain = new_job(), tmp_path / "plain"
    plain.mkdir()
    past, live = (path.read_bytes().splitlines() for path in (job.past, job.live))
    (tmp_path / "past.jsonl").write_bytes(b"".join(line + b"\n" for line in past if b'"kind"' not in line))
    (tmp_path / "live.jsonl").write_bytes(b"".join(line + b"\n" for line in live if b'"kind"' not in line))
    produce(topics.broker, topics.events, (tmp_path / "live.jsonl").read_bytes().splitlines())

    def run(kill: tuple[str, int] | None) -> int:
        names = ("bootstrap", "input_topic", "output_topic", "dead_letter_topic", "group")
        settings = {name: topics.variables[name.upper()] for name in names} | {"fallback": False}
        return job.driver.run(tmp_path, None, settings, kill, tmp_path / "past.jsonl")

    assert run((point, 3)) == KILLED
    assert run(None) == 0
    assert job.driver.run(plain, tmp_path / "live.jsonl", {"fallback": False}, None, tmp_path / "past.jsonl") == 0
    assert outcome_of_model(tmp_path) == outcome_of_model(plain)
    found = {told(message.value() or b"") for message in consume(topics.broker, topics.lists)}
    assert found == {told(line) for line in (plain / "lists.jsonl").read_bytes().splitlines()}


def outcome_of_model(directory: Path) -> dict[str, str]:
    return sums_of(directory)["Learner"]
