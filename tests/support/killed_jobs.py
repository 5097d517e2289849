"""Jobs that kill themselves at a point, and the states that they leave."""

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from flows.sample import EVENTS

ROOT = Path(__file__).parent.parent.parent
KILLED = -9
"""Exit status of a job that killed itself."""


class Driver:
    """The process whose children are killed. See `tests.support.kill_driver`."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.kill_driver"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        directory: Path,
        log: Path | None,
        settings: dict[str, Any],
        kill: tuple[str, int] | None,
        backfill: Path | None = None,
    ) -> int:
        """Run a job in a child. Return its exit status."""
        given = {"repeats": "exclude", "epoch_seconds": 0.02 if kill else 0.5, **settings}
        request = {"log": log and str(log), "directory": str(directory), "settings": given, "kill": kill}
        if backfill is not None:
            request["backfill"] = str(backfill)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(orjson.dumps(request).decode() + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(60) == 0


def sums_of(directory: Path) -> dict[str, dict[str, str]]:
    """Return checksums of the arrays of all states at the end of a job, by step and array."""
    sums: dict[str, dict[str, str]] = orjson.loads((directory / "sums.json").read_bytes())
    sums.get("StatefulMetrics", {}).pop("rest", None)  # it holds the seconds that the replay took
    return sums


def write_events(path: Path, count: int) -> Path:
    """Write interactions with ids, some of them twice, erasures, and items that come and go."""
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


CALLS_OF_A_BACKFILL = {
    "an event is to be learned": 250,
    "events are learned": 250,
    "a line is half written": 150,
    "a state was loaded": 12,
    "a part of the state was copied": 3,
    "the plan is half written": 4,
    "the plan is written": 4,
    "lists are to be asked for": 10,
    "lists were asked for": 10,
    "the announcement has said where it is": 2,
}
"""Largest number of a call at which a job dies, about the number of calls. Others have 6."""


class Backfilled:
    """A log of every kind of event, cut into a past and a topic."""

    def __init__(self, driver: Driver, directory: Path) -> None:
        self.driver = driver
        lines = write_events(directory / "all.jsonl", 3_000).read_bytes().splitlines(keepends=True)
        self.past, self.live = directory / "past.jsonl", directory / "live.jsonl"
        self.past.write_bytes(b"".join(lines[:2_000]))
        self.live.write_bytes(b"".join(lines[2_000:]))

    def run(self, directory: Path, kill: tuple[str, int] | None = None) -> int:
        """Run the job in a directory, perhaps until it kills itself."""
        settings = {"dedup_window": 500, "emit": "changed"}
        return self.driver.run(directory, self.live, settings, kill, self.past)


def outcome_of(directory: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the lists of a backfilled job, and checksums of its states."""
    sums = sums_of(directory)
    sums.pop("ActiveUsers", None)  # it is there only where the past was learned in the same process
    return (directory / "lists.jsonl").read_bytes(), sums
