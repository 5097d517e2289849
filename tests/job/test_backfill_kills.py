"""Killed anywhere in a backfill and resumed, a job ends with the model and the lists of one that was never stopped."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.kill_driver import OF_A_BACKFILL
from tests.support.killed_jobs import CALLS_OF_A_BACKFILL, KILLED, Backfilled, Driver, outcome_of

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
