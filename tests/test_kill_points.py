"""Killed at any point and resumed, a run ends with the model and the lists of one that was never stopped."""

import gzip
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.sample import EVENTS
from tests.kill_driver import POINTS

ROOT = Path(__file__).parent.parent
KILLED = -9
EVERY_EVENT = 300
"""Calls of what is called for each batch, about, and of what is called for each snapshot: at least."""
EVERY_SNAPSHOT = 6
CALLS = {
    "an event is to be learned": EVERY_EVENT,
    "events are learned": EVERY_EVENT,
    "a line is half written": EVERY_EVENT,
    "the engine's directory is half made": 2,
    "the engine's directory is made": 2,
    "a state was loaded": 3,
    "a part of the state was copied": 3,
}


def seeded() -> list[tuple[str, int]]:
    draw = random.Random(5)
    return [(point, draw.randint(1, CALLS.get(point, EVERY_SNAPSHOT))) for point in [*POINTS, *POINTS]]


class Driver:
    """The process whose children are killed; see `tests.kill_driver`."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kill_driver"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, directory: Path, kill: tuple[str, int] | None = None) -> int:
        settings = {
            "repeats": "exclude",
            "emit": "changed",
            "dedup_window": 500,
            "epoch_seconds": 0.02 if kill else 0.5,
        }
        request = {"log": str(self.log), "directory": str(directory), "settings": settings, "kill": kill}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(orjson.dumps(request).decode() + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


def write_events(path: Path, count: int) -> Path:
    """Interactions with ids, some twice; erasures, and items that come and go."""
    rows = gzip.decompress(EVENTS.read_bytes()).decode().splitlines()[1 : count + 1]
    lines: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        user, item, time, *_ = row.split(",")
        lines.append({"user": user, "item": item, "timestamp": float(time), "id": f"e{number}"})
        if number % 97 == 0:
            lines.append(lines[-1])
        if number % 211 == 0:
            lines.append({"kind": "forget", "user": user, "timestamp": float(time)})
        if number % 301 == 0:
            lines.append({"kind": "item", "item": item, "timestamp": float(time), "available": number % 2 == 0})
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    driver = Driver(write_events(tmp_path_factory.mktemp("log") / "events.jsonl", 4_000))
    yield driver
    assert driver.process.stdin is not None
    assert driver.process.stdout is not None
    driver.process.stdin.close()
    driver.process.stdout.close()
    assert driver.process.wait(60) == 0


Outcome = tuple[bytes, dict[str, dict[str, str]]]


def outcome(directory: Path) -> Outcome:
    return (directory / "lists.jsonl").read_bytes(), orjson.loads((directory / "sums.json").read_bytes())


@pytest.fixture(scope="module")
def unbroken(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory = tmp_path_factory.mktemp("unbroken")
    assert driver.run(directory) == 0
    lists, sums = outcome(directory)
    assert set(sums) == {"Cleaner", "Learner", "Emitter"}
    assert 1_000 < lists.count(b"\n") < 4_100
    assert b'"items":null' in lists
    return lists, sums


@pytest.mark.parametrize(("point", "call"), seeded())
def test_killed_anywhere_and_resumed_equals_never_stopped(
    driver: Driver, unbroken: Outcome, tmp_path: Path, point: str, call: int
) -> None:
    assert driver.run(tmp_path, (point, call)) == KILLED
    assert driver.run(tmp_path) == 0
    assert outcome(tmp_path) == unbroken


def test_killed_again_and_again(driver: Driver, unbroken: Outcome, tmp_path: Path) -> None:
    draw = random.Random(7)
    kills = 0
    while kills < 12:
        point = draw.choice([point for point in POINTS if "directory" not in point])
        kills += driver.run(tmp_path, (point, draw.randint(1, min(3, CALLS.get(point, 3))))) == KILLED
        if (tmp_path / "sums.json").exists():
            break  # it has come to the end in between
    assert kills >= 3
    assert driver.run(tmp_path) == 0
    assert outcome(tmp_path)[0] == unbroken[0]
    assert outcome(tmp_path)[1]["Learner"] == unbroken[1]["Learner"]
