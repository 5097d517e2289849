"""Backfill: its speed against a replay of the same log, and 50 kills after which nothing may be lost or doubled.

The kills strike at random points of jobs that learn a past and go on live (`tests.support.kill_driver`). Each job is
resumed until it ends. Its lists and its states are then compared with those of a job that was never stopped.
"""

import gzip
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import flows.job.backfill
from bench.process import answer, child, real_log, replayed
from bench.report import Number, Section, main, median
from flows.engine import run_flow
from flows.job.past_request import Backfill
from flows.job.run import run
from flows.settings import Settings
from recmodels.fused.warm_up import warm_up
from tests.support.file_connector import FileConnector
from tests.support.kill_driver import OF_A_BACKFILL
from tests.support.killed_jobs import CALLS_OF_A_BACKFILL, KILLED, Backfilled, Driver, outcome_of

EXCLUDE = ("--repeats", "exclude")


def measure(quick: bool) -> Section:
    """Measure the speed in turn with a replay, then kill."""
    section = Section("Backfill: ml-100k, default blend, one core", "python -m bench.backfill")
    log = real_log("ml-100k")
    with tempfile.TemporaryDirectory(prefix="freshrank-bench-") as directory:
        if log is None:
            section.notes.append("No speed: the log ml-100k is not here; FRESHRANK_DATA is the folder that holds it.")
        else:
            _speed(section, cut(log, Path(directory) / "past.csv", 10_000 if quick else 100_000), 1 if quick else 5)
        kills, jobs, different = killed(Path(directory), 5 if quick else 50)
    section.numbers += [
        Number("kills", kills, ""),
        Number("jobs that were killed", jobs, ""),
        Number("jobs with a gap or a double", different, "", least=0, is_cost=True),
    ]
    return section


def cut(log: Path, path: Path, count: int) -> Path:
    """Write the first events of a gzipped log, and return the file."""
    with gzip.open(log) as lines, path.open("wb") as file:
        file.writelines(line for _, line in zip(range(count + 1), lines, strict=False))
    return path


def _speed(section: Section, log: Path, rounds: int) -> None:
    replays: list[float] = []
    learned: list[float] = []
    scans: list[float] = []
    by_cpu: list[float] = []
    for _ in range(rounds):
        report = replayed(log, *EXCLUDE)[0]
        replays.append(report["events_per_second"])
        found = child("bench.backfill", log)
        by_cpu.append(report["cpu_seconds"] / found["cpu_seconds"])
        learned.append(found["events_per_second"])
        scans.append(found["with_scan_per_second"])
    ratios = [here / there for here, there in zip(learned, replays, strict=True)]
    section.numbers += [
        median("events a second, backfill", learned, "events/s", None, 20_000),
        median("events a second, replay", replays, "events/s"),
        median("backfill to replay", ratios, "×", 1.0),
        median("… by CPU time, which other programs disturb less", by_cpu, "×", 1.0),
        median("backfill with the scan before", scans, "events/s"),
    ]


def killed(directory: Path, most: int) -> tuple[int, int, int]:
    """Kill jobs until there were `most` kills. Return the kills, the jobs, and those that differ from one without."""
    draw, driver, kills, jobs, different = random.Random(23), Driver(), 0, 0, 0
    try:
        job = Backfilled(driver, directory)
        unbroken = new(directory / "unbroken")
        assert job.run(unbroken) == 0
        expected = outcome_of(unbroken)
        while kills < most:
            place, jobs = new(directory / f"job-{jobs}"), jobs + 1
            for _ in range(draw.randint(1, 6)):
                point = draw.choice(list(OF_A_BACKFILL))
                kills += job.run(place, (point, draw.randint(1, CALLS_OF_A_BACKFILL.get(point, 6)))) == KILLED
                if (place / "sums.json").exists() or kills == most:
                    break
            assert (place / "sums.json").exists() or job.run(place) == 0
            different += outcome_of(place) != expected
    finally:
        driver.close()
    return kills, jobs, different


def new(directory: Path) -> Path:
    """Make a directory."""
    directory.mkdir()
    return directory


def learn(log: Path) -> dict[str, float]:
    """Learn a past, and return the events a second."""
    seconds: list[float] = []
    cpu: list[float] = []

    def timed(*arguments: Any) -> None:
        began, cpu_began = time.perf_counter(), time.process_time()
        run_flow(*arguments)
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - cpu_began)

    vars(flows.job.backfill)["run_flow"] = timed
    warm_up()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / "live.jsonl").touch()
        settings = Settings(repeats="exclude", recovery=directory / "state")
        connector = FileConnector(settings, directory / "live.jsonl", directory)
        began = time.perf_counter()
        run(settings, True, connector=connector, backfill=Backfill(paths=(str(log),), active_days=0.0))
        whole = time.perf_counter() - began
    with log.open("rb") as lines:
        count = sum(1 for _ in lines) - 1
    return {"cpu_seconds": cpu[0], "events_per_second": count / seconds[0], "with_scan_per_second": count / whole}


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        answer(learn(Path(sys.argv[1])))
    else:
        main(measure)
