"""Time of an event while the slow member is trained on another core, and while nothing is trained."""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.ablation import examples
from bench.process import CORE, answer, child, real_log
from bench.report import Section, main, median, shown, table
from flows.trainer.beside import Beside
from flows.trainer.limits import Limits
from recmodels import Blend, Example
from recmodels.kernels.members import slow

FIRST, MEASURED = 20_000, 5_000
"""Numbers of events that are learned before, and that are timed."""
ROUNDS = 5
SLOW = "slow(first=1000, growth=100.0, epochs=1, least_gain=0)"
ENDLESS = "slow(growth=100.0, least_steps=1000000, least_gain=0)"


def measure(quick: bool) -> Section:
    """Time single events of ml-100k, with the trainer at work and without, in turns."""
    section = Section("An event beside the training of the slow member: ml-100k", "python -m bench.slow_member")
    log = real_log("ml-100k")
    if log is None:
        section.notes.append("Skipped: the log ml-100k is not here; set FRESHRANK_DATA to the folder that holds it.")
        return section
    rounds = 1 if quick else ROUNDS
    found = child("bench.slow_member", "child", log, rounds)
    rows = [
        (name, *(shown(median("", [run[q] for run in found[name]], "µs").value) for q in ("p50", "p99", "worst")))
        for name in ("alone", "beside the trainer")
    ]
    ratios = [beside["p99"] / alone["p99"] for alone, beside in zip(*found.values(), strict=True)]
    section.numbers = [median("p99 beside the trainer, times that alone", ratios, "", 1.2, 1.0, is_cost=True)]
    section.notes = [
        table(("", "p50", "p99", "worst"), rows),
        f"`blend+slow`, events {FIRST:,} to {FIRST + MEASURED:,} with `--repeats exclude`, one at a time, each with its"
        f" list, in µs. Medians of {rounds} rounds in turns. Both processes have a core of their own. The worst event "
        "beside the trainer is the one that hands over the histories.",
    ]
    return section


def timed(model: Blend, events: list[Example]) -> dict[str, float]:
    """Return quantiles of the time of an event with its list, in µs."""
    times = []
    for event in events:
        begun = time.perf_counter_ns()
        model.step_many([event], 10)
        times.append((time.perf_counter_ns() - begun) / 1_000)
    return {"p50": float(np.median(times)), "p99": float(np.percentile(times, 99)), "worst": max(times)}


def in_turns(log: Path, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Time the same events from the same state, in turns without a training and with one that has no end."""
    every = list(examples(log, FIRST + MEASURED))
    learned = Blend(repeats="exclude", slow=SLOW)
    for first in range(0, FIRST, 1_000):
        learned.step_many(every[first : first + 1_000], 0)
    record, limits = learned.dump(), Limits(core=0 if CORE else 1)
    alone: list[dict[str, float]] = []
    beside: list[dict[str, float]] = []
    for _ in range(rounds):
        model = Blend(repeats="exclude", slow=SLOW)
        model.load(record)
        alone.append(timed(model, every[FIRST:]))
        with tempfile.TemporaryDirectory() as directory:
            model = Blend(repeats="exclude", slow=ENDLESS)
            model.load(record)
            assert model.slow_member is not None
            trainer = model.slow_member.trainer = Beside(Path(directory), limits)
            model.memory.state.slow.clock[slow.NEXT] = FIRST
            model.step_many(every[FIRST : FIRST + 1], 10)
            time.sleep(20.0)  # until it has compiled its steps and takes them
            beside.append(timed(model, every[FIRST + 1 :]))
            assert trainer.pid is not None, "the training has no end"
            trainer.stop()
    return {"alone": alone, "beside the trainer": beside}


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        answer(in_turns(Path(sys.argv[2]), int(sys.argv[3])))
    else:
        main(measure)
