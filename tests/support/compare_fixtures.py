"""The command, and a log on which it must find a difference: shared by the tests of `compare` and `tune`."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flows.experiments import worker
from flows.experiments.job import Job, ProgressMessage, StoppedError, write_replayed
from tests.support.cli import Done, freshrank

Compare = Callable[..., Done]

TWO = ("--model", "popularity", "--model", "history")

FAITHFUL = 40
"""Users who each come back to the one item of theirs."""


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Run `freshrank compare` with results of its own."""
    return lambda *arguments: freshrank("compare", *arguments, "--results", tmp_path / "results")


@pytest.fixture
def faithful_log(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    random = np.random.default_rng(2)
    rows = [f"u{user},i{user},{second}" for second, user in enumerate(random.integers(FAITHFUL, size=1_200))]
    path.write_text("\n".join(["user,item,timestamp", *rows]))
    return path


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the replays of `compare` and `tune` in this process, one at a time.

    A process for each takes 3 s of a core before its first event. The tests that are marked `process` have them.
    """
    turn = threading.Lock()

    def run_here(
        job: Job, target: Path, on_progress: Callable[[ProgressMessage], object], is_stopped: Callable[[], bool]
    ) -> None:
        def told(message: ProgressMessage) -> None:
            on_progress(message)
            if is_stopped():
                raise StoppedError

        with turn:
            write_replayed(worker.run(job, told), target)

    for module in ("compare", "tune"):
        monkeypatch.setattr(f"flows.experiments.{module}.run_job", run_here)
