"""The command, and a log on which it must find a difference: shared by the tests of `compare`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

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
