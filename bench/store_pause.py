"""Pause of the flow for a snapshot: the store beside the engine's own pickling of the same model."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import bytewax.operators as op
import numpy as np
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.testing import TestingSink

from bench.report import Number, Section, main
from flows.engine import run_flow
from flows.monitoring.counters import Counters
from flows.state.recovery import recovery_in
from flows.state.stateful import stateful
from flows.steps.learn import Learner, Learning
from recmodels import Blend, Example

MEGABYTE = 1e6
DIRTY_ROWS = 1_000


def measure(quick: bool) -> Section:
    """Run the same model with both, with one snapshot after each batch."""
    megabytes, snapshots, pickled = (10, 12, 4) if quick else (100, 120, 9)
    section = Section("Pause for a snapshot", "python -m bench.store_pause")
    learner = filled(megabytes)
    size = sum(array.nbytes for array in learner.dump().values()) / MEGABYTE
    with tempfile.TemporaryDirectory() as directory:
        ours, disk = paused(learner, snapshots, Path(directory) / "store", is_pickled=False)
    with tempfile.TemporaryDirectory() as directory:
        engine, _ = paused(learner, pickled, Path(directory) / "engine", is_pickled=True)
    assert size >= megabytes
    what = f"{size:,.0f} MB, {DIRTY_ROWS:,} rows changed"
    section.numbers = [
        Number(f"the store, median, {what}", *middle(ours), 50.0, 25.0, is_cost=True),
        Number("the store, longest", max(ours), "ms"),
        Number("the engine's own pickling, median", *middle(engine)),
        Number("most disk the store used, of the state's size", max(disk) / size, "×", None, 3.0, is_cost=True),
    ]
    section.notes = [
        f"From the end of a batch to the next that the source is asked for; {snapshots} snapshots by the store, "
        f"{pickled} by the engine, in one run. The first of each, which writes everything, is left out.",
    ]
    return section


def middle(pauses: list[float]) -> tuple[float, str, tuple[float, float]]:
    """Return the median in milliseconds, with its unit and the range."""
    return statistics.median(pauses), "ms", (min(pauses), max(pauses))


class Changing(Learner):
    """A learner that learns, for each batch, until a given number of rows has changed."""

    def __init__(self, model: Blend, seed: int = 1) -> None:
        super().__init__(Learning(build_model=lambda: model, top=10, score=True), Counters())
        self.memory = model.memory
        self.draw = np.random.default_rng(seed)
        self.done = 0.0

    def process(self, batch: list[Any]) -> list[Any]:
        """Learn random pairs of known users and items."""
        memory = self.memory
        users, items = memory.users.names, memory.items.names
        while sum(len(table.changed_rows()) for table in memory.tables.values()) < DIRTY_ROWS:
            user, item = users[self.draw.integers(1, len(users))], items[self.draw.integers(1, len(items))]
            self.model.step_many([Example(str(user), str(item), timestamp=float(self.counters.learned))], 10)
            self.counters.learned += 1
        self.done = time.perf_counter()
        return []


def filled(megabytes: int) -> Changing:
    """Return a learner whose blend has about this number of megabytes."""
    learner = Changing(Blend())
    count = int(megabytes * MEGABYTE / sum(table.row_bytes for table in learner.memory.tables.values())) + 1
    examples = [Example(f"user {n}", f"item {n}", timestamp=float(n)) for n in range(count)]
    learner.model.step_many(examples, 0)
    learner.model.dump_changes()
    return learner


def paused(learner: Changing, snapshots: int, directory: Path, *, is_pickled: bool) -> tuple[list[float], list[float]]:
    """Return the pauses in milliseconds, and the size of the files at each in megabytes."""
    source = Batches(learner, snapshots, directory)
    flow = Dataflow("pause")
    events = op.key_on("shard", op.input("in", flow, source), lambda event: "0")
    with recovery_in(directory, {}) as recovery:
        assert recovery is not None
        if is_pickled:
            out = op.stateful_batch("learn", events, lambda state: Pickled(learner))
        else:
            for table in learner.memory.tables.values():
                table.dirty[: table.used] = 1  # a store that is new to it has to hold all of it
            out = stateful("learn", events, lambda: learner, recovery.store)
        op.output("out", out, TestingSink([]))
        run_flow(flow, recovery, epoch_seconds=0.0)
    assert len(source.pauses) == snapshots, "one snapshot for each batch"
    return source.pauses[1:], source.disk


class Pickled(StatefulBatchLogic[Any, Any, Any]):
    """The same learner with the engine's own snapshots, of the whole state."""

    def __init__(self, learner: Changing) -> None:
        self.learner = learner

    def on_batch(self, values: list[Any]) -> tuple[list[Any], bool]:
        """Process a batch."""
        return self.learner.process(values), StatefulBatchLogic.RETAIN

    def snapshot(self) -> Any:
        """Copy the whole state, since the engine pickles it later."""
        return self.learner.dump()


class Batches(FixedPartitionedSource[Any, int], StatefulSourcePartition[Any, int]):
    """A source that measures the time between two calls for a batch."""

    def __init__(self, learner: Changing, count: int, directory: Path) -> None:
        self.learner = learner
        self.left = count
        self.directory = directory
        self.pauses: list[float] = []
        self.disk: list[float] = []

    def list_parts(self) -> list[str]:
        """Return the name of the only part."""
        return ["0"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "Batches":
        """Return the part."""
        return self

    def next_batch(self) -> list[Any]:
        """Note the pause, and return the next batch."""
        if self.learner.done:
            self.pauses.append((time.perf_counter() - self.learner.done) * 1e3)
            files = self.directory.glob("state/**/*.log")
            self.disk.append(sum(path.stat().st_size for path in files) / MEGABYTE)
        self.learner.done = 0.0
        if not self.left:
            raise StopIteration
        self.left -= 1
        return [self.left]

    def snapshot(self) -> int:
        """Return the number of batches so far."""
        return self.left


if __name__ == "__main__":
    main(measure)
