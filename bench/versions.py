"""Cost of an event against another version, in turn: `python -m bench.versions CHECKOUT LOG [--events N] [--turns K]`.

Each turn is a process of its own with the models of one checkout, on the same events. It scores, learns and lists each
event by `step_many`, without the flow. The first pass warms up, and the second one counts. The ratio is the median of
those of the turns.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Final

BATCH: Final = 200
"""Events in a call."""
PASS: Final = """
import csv, gzip, itertools, sys, time
from recmodels import Blend, Example
log, count, repeats, batch = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
with gzip.open(log, "rt", encoding="utf-8") as lines:
    rows = itertools.islice(csv.DictReader(lines), count)
    events = [Example(row["user"], row["item"], 1.0, float(row["timestamp"]), {}) for row in rows]
for _ in range(2):
    model, started = Blend(repeats=repeats), time.thread_time()
    for start in range(0, len(events), batch):
        model.step_many(events[start : start + batch], 10, True)
print((time.thread_time() - started) / len(events) * 1e6)
"""
"""What a process runs. It uses only what version 0.1.0 has, too."""


def main() -> None:
    """Time both versions in turn, and print a row for each log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="folder of the other version")
    parser.add_argument("log", nargs="+", type=Path, help="gzipped CSV with the columns user, item and timestamp")
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--repeats", choices=("exclude", "allow"), default="allow")
    asked = parser.parse_args()
    sys.stdout.write("| log | CPU µs of an event there | here | ratio | lowest – highest |\n|---|---|---|---|---|\n")
    for log in asked.log:
        pairs = [
            [cpu_of(folder, log, asked.events, asked.repeats) for folder in (asked.checkout, Path())]
            for _ in range(asked.turns)
        ]
        there, here = (median(pair[k] for pair in pairs) for k in range(2))
        ratios = [pair[1] / pair[0] for pair in pairs]
        spread = f"{min(ratios):.2f} – {max(ratios):.2f}"
        sys.stdout.write(f"| {log.parent.name} | {there:.1f} | {here:.1f} | {median(ratios):.2f} | {spread} |\n")
        sys.stdout.flush()


def cpu_of(folder: Path, log: Path, events: int, repeats: str) -> float:
    """Return the CPU microseconds of an event with the models of a checkout."""
    root = folder.resolve()
    arguments = [sys.executable, "-c", PASS, str(log.resolve()), str(events), repeats, str(BATCH)]
    done = subprocess.run(
        arguments, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
