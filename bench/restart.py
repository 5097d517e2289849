"""Restart of a shard: CPU seconds from the start of its process to the state in memory, by stage.

    python -m bench.restart LOG [--limit 100000]

The state is what a shard has learned of the log. What a broker takes is not part of it: connections, and the events
since the last snapshot.
"""

import argparse
import gzip
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Final

from flows.state.record_file import append
from recmodels import Blend
from recmodels.base import Example

STAGES: Final = """
import sys, time
def lap(stage, last=[0.0]):
    now = time.process_time()
    print(f"{now - last[0]:5.2f} s  {stage}")
    last[0] = now
from flows.cli import load_command
load_command("run")
lap("imports")
from recmodels import Blend, Example
model = Blend()
model.enable_deltas()
lap("tables of the model")
probe = Blend()
probe.enable_deltas()
probe.step_many([Example("ann", "tea", 1.0, 1e9)], 10)
probe.take_delta()
lap("kernels from their cache, and the first event")
from pathlib import Path
from flows.state.record_file import read_records
path = Path(sys.argv[1])
records = [record for _, record in read_records(path, path.stat().st_size)]
lap("state read, and its checksums")
for record in records:
    model.load(record)
model.sharing.settle()
lap("state loaded")
print(f"{time.process_time():5.2f} s  together, with {path.stat().st_size / 1e6:.0f} MB of state")
"""
"""What a process of its own does."""


def write_state(path: Path, log: Path, limit: int) -> None:
    """Write what a shard has learned of a log, as a snapshot does."""
    with gzip.open(log, "rt") as lines:
        rows = [line.rstrip("\n").split(",") for line in islice(lines, 1, limit + 1)]
    model = Blend()
    model.enable_deltas()
    for start in range(0, len(rows), 2_000):
        model.step_many([Example(row[0], row[1], 1.0, float(row[2])) for row in rows[start : start + 2_000]], 0)
        model.take_delta()
    append(path, 0, [model.dump()])


def main() -> None:
    """Make the state, and time a start."""
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("--limit", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "1.log"
        write_state(path, given.log, given.limit)
        for _ in range(2):  # the first may compile
            done = subprocess.run([sys.executable, "-c", STAGES, str(path)], capture_output=True, text=True, check=True)
        sys.stdout.write(done.stdout)


if __name__ == "__main__":
    main()
