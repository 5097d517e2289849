"""Runs a benchmark or the command in a process of its own on one core."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parent.parent
CORE = max(os.sched_getaffinity(0))
"""Core of the measured process: the last one, as the first handles most interrupts."""


def run(
    arguments: Sequence[str],
    *,
    variables: Mapping[str, str] | None = None,
    timeout: float = 3_600.0,
    one_core: bool = True,
) -> tuple[str, float]:
    """Run Python with these arguments, and return its output (stdout and stderr) and the seconds it took.

    Raises:
        RuntimeError: It failed.
        subprocess.TimeoutExpired: It took longer than `timeout` seconds.
    """
    begin = time.perf_counter()
    done = subprocess.run(
        [*(("taskset", "-c", str(CORE)) if one_core else ()), sys.executable, *arguments],
        cwd=ROOT,
        env=environment(variables or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-4_000:]}")
    return done.stdout + done.stderr, seconds


def child(module: str, *arguments: object, timeout: float = 3_600.0) -> Any:
    """Run a module of the bench with these arguments on one core, and return the JSON that it writes at the end."""
    said, _ = run(["-m", module, *map(str, arguments)], timeout=timeout)
    return orjson.loads(said.strip().splitlines()[-1])


def answer(value: object) -> None:
    """Write the result of a child process for its parent."""
    sys.stdout.write(orjson.dumps(value).decode() + "\n")


def replayed(log: Path, *arguments: str) -> tuple[dict[str, Any], float, float]:
    """Run `freshrank replay` on one core, and return its report, and the process's seconds and CPU seconds."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        before = os.times()
        _, seconds = run(["-m", "flows.cli", "replay", str(log), *arguments, "--report", str(report)])
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return orjson.loads(report.read_bytes()), seconds, cpu


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without settings of the machine's own, and with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FRESHRANK_")}
    return {**kept, "FRESHRANK_CONFIG": str(ROOT / "no-such.toml"), **variables}


def real_log(name: str) -> Path | None:
    """Find a real log by its name in `FRESHRANK_DATA` or beside the project. None: it is not there."""
    folder = Path(os.environ.get("FRESHRANK_DATA", ROOT.parent / "shared" / "data"))
    path = folder / name / "events.csv.gz"
    return path if path.exists() else None
