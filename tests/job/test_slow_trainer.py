"""The trainer beside the job: what it trains, and what its death and that of the job cost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from flows.inspection.stored_model import read_stored
from flows.replay import replay
from flows.settings import Settings
from flows.trainer.beside import Beside
from flows.trainer.files import WorkFiles
from flows.trainer.limits import Limits
from recmodels import Blend
from recmodels.slow.options import SlowOptions
from recmodels.slow.trainer import AtOnce, short
from recmodels.slow.work import Work, first_weights
from tests.support.gate import Process, let_go, start_gated
from tests.support.killed_jobs import write_events

pytestmark = [
    pytest.mark.deep,
    pytest.mark.process,
    pytest.mark.skipif(find_spec("jax") is None, reason="needs the extra: pip install 'freshrank[deep]'"),
]

ROOT = Path(__file__).parent.parent.parent
OPTIONS = SlowOptions(width=8, epochs=1, least_steps=5, length=8)
SLOW = "width=8, first=300, growth=100.0, epochs=1, least_steps=5, length=8, least_gain=0"
EVENTS = 900
GATE = 600


def work(seed: int = 1) -> Work:
    draw, lengths = np.random.default_rng(seed), np.full(20, 6, np.int32)
    items = draw.integers(1, 11, size=int(lengths.sum())).astype(np.int32)
    weights = first_weights(10, 8, draw)
    return Work(100, seed, [f"i{k}" for k in range(10)], items, lengths, np.ones(20, np.uint8), weights)


def until(is_so: Callable[[], bool], seconds: float = 500.0) -> None:
    """Wait: a niced process may get little of a busy machine."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def beside_in(tmp_path: Path) -> Iterator[Callable[[Limits], Beside]]:
    made: list[Beside] = []

    def make(limits: Limits) -> Beside:
        made.append(Beside(tmp_path, limits))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def test_process_trains_the_weights_that_this_process_would(beside_in: Callable[[Limits], Beside]) -> None:
    here, beside, digest = AtOnce(), beside_in(Limits(cpu_share=0.9)), short(work().digest())
    here.begin(work(), OPTIONS)
    beside.begin(work(), OPTIONS)
    assert beside.is_at_work(digest)
    until(lambda: beside.files.is_done(digest))
    mine, theirs = here.result(digest), beside.result(digest)
    assert mine is not None
    assert theirs is not None
    assert {name: array.tobytes() for name, array in mine.weights.items()} == {
        name: array.tobytes() for name, array in theirs.weights.items()
    }
    assert beside.failures == 0


def test_killed_trainer_begins_again(beside_in: Callable[[Limits], Beside]) -> None:
    beside, digest = beside_in(Limits()), short(work().digest())
    beside.begin(work(), SlowOptions(width=8, epochs=1, least_steps=100_000, length=8))
    pid = beside.pid
    assert pid is not None
    until(lambda: beside.files.path("lock", digest).exists())
    assert os.sched_getaffinity(pid) <= os.sched_getaffinity(0)
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    os.kill(pid, signal.SIGKILL)
    until(lambda: beside.pid is None)
    assert beside.is_at_work(digest)
    assert beside.pid not in (None, pid)
    assert beside.failures == 1


def test_trainer_without_enough_memory_gives_up_and_says_so(beside_in: Callable[[Limits], Beside]) -> None:
    beside, digest = beside_in(Limits(memory_mb=64)), short(work().digest())
    beside.begin(work(), OPTIONS)
    until(lambda: not beside.is_at_work(digest))
    assert beside.failures == 3
    assert beside.result(digest) is None


def test_damaged_weights_do_not_count(tmp_path: Path) -> None:
    files, trained = WorkFiles(tmp_path), AtOnce()
    trained.begin(work(), OPTIONS)
    weights = trained.result(short(work().digest()))
    assert weights is not None
    files.write_weights(weights, 100, 7, 0.0)
    assert files.read_weights(7) is not None
    files.path("weights", 7).write_bytes(files.path("weights", 7).read_bytes()[:-1])
    assert files.read_weights(7) is None
    beside = Beside(tmp_path, Limits())
    assert beside.result(7) is None
    assert not files.is_done(7)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_events(tmp_path / "events.jsonl", EVENTS)


def command(directory: Path) -> list[object]:
    run = ["run", "--connector", "tests.support.slow_connector:OnLog", "--model", f"blend+slow({SLOW})"]
    return [*run, "--repeats", "exclude", "--recovery", directory / "state", "--epoch-seconds", "0.05"]


def started(log: Path, directory: Path) -> Process:
    """Start a job that waits at an event, with a training at work."""
    directory.mkdir(exist_ok=True)
    return start_gated(GATE, *command(directory), SLOW_LOG=log, SLOW_DIRECTORY=directory)


def finish(process: Process) -> None:
    let_go(process)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said


def lists_of(path: Path) -> list[Any]:
    """Return what was written, the tombstones of erased users too."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def swaps_of(state: Path) -> list[tuple[int, int]]:
    model = read_stored(state).model.unwrapped
    assert isinstance(model, Blend)
    assert model.slow_member is not None
    return model.slow_member.swaps()


def manifests(directory: Path) -> list[Path]:
    return list((directory / "state" / "trainer" / "0").glob("manifest-*"))


def test_replay_with_the_swaps_of_a_job_gives_its_lists(log: Path, tmp_path: Path) -> None:
    job = started(log, tmp_path / "job")
    until(lambda: bool(manifests(tmp_path / "job")))
    finish(job)
    swaps = swaps_of(tmp_path / "job" / "state")
    assert len(swaps) == 1
    data, swap = swaps[0]
    assert data == 300 < swap
    settings = Settings(model=f"blend+slow({SLOW}, swaps=(({data}, {swap}),))", repeats="exclude")
    replay(log, settings, out=tmp_path / "replayed.jsonl")
    lists = lists_of(tmp_path / "job" / "lists.jsonl")
    assert lists == lists_of(tmp_path / "replayed.jsonl")
    replay(log, Settings(model="blend", repeats="exclude"), out=tmp_path / "without.jsonl")
    assert lists != lists_of(tmp_path / "without.jsonl"), "the member changes lists"


def test_killed_job_goes_on_with_what_its_trainer_made_meanwhile(log: Path, tmp_path: Path) -> None:
    directory = tmp_path / "job"
    killed = started(log, directory)
    until(lambda: bool(list((directory / "state" / "trainer" / "0").glob("work-*"))))
    killed.kill()
    killed.communicate()
    until(lambda: bool(manifests(directory)))
    [before] = manifests(directory)
    written = before.stat().st_mtime_ns
    resumed = subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, command(directory))],
        cwd=ROOT,
        env={**os.environ, "SLOW_LOG": str(log), "SLOW_DIRECTORY": str(directory)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert [before] == manifests(directory)
    assert before.stat().st_mtime_ns == written, "it was not trained again"
    [(data, swap)] = swaps_of(directory / "state")
    assert data == 300
    assert swap <= EVENTS
    untouched = tmp_path / "untouched"
    finish(started(log, untouched))
    whose = [
        [(each["user"], each.get("source")) for each in lists_of(job / "lists.jsonl")] for job in (directory, untouched)
    ]
    assert whose[0] == whose[1], "no list is lost, and none comes twice"
