"""The command, and a log on which it must find a difference: shared by the tests of `compare`."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flows import cli

Command = Callable[..., int]

FAITHFUL = 40
"""Users who each come back to the one item of theirs."""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run the command in this process, with results of its own, and return its exit status."""

    def run(*arguments: object) -> int:
        kept = ["--results", str(tmp_path / "results")] if arguments[0] == "compare" else []
        monkeypatch.setattr(sys, "argv", ["freshrank", *map(str, arguments), *kept])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0)

    return run


@pytest.fixture
def faithful_log(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    random = np.random.default_rng(2)
    rows = [f"u{user},i{user},{second}" for second, user in enumerate(random.integers(FAITHFUL, size=1_200))]
    path.write_text("\n".join(["user,item,timestamp", *rows]))
    return path
