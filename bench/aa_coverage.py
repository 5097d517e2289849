"""Coverage of the intervals of `freshrank compare`: how often they contain zero for a model against itself."""

from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.process import real_log
from bench.report import Number, Section, main, table
from flows.commands.experiment_options import core_count
from flows.evaluation.ranking_metrics import Columns, event_values
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from recmodels.evaluation.bootstrap import Interval, block_length, mean_interval

COMPARISONS: Final = 200
SEEDS: Final = 21
"""Number of replays. They make 210 pairs."""
SHARES: Final = (0.1, 0.5)
"""Shortest and longest part of the log for a comparison, as shares."""
WORSE: Final = 0.1
"""Share of hits that is removed from one model of a pair, to measure the power of the intervals."""
METRICS: Final = ("hit_rate@10", "ndcg@10")


class Found(NamedTuple):
    """Result of 200 comparisons in one metric."""

    holds_zero: float
    """Share of the intervals that contain zero, for equal models."""
    blocks: float
    """The same without the widening for correlation within items."""
    single: float
    """The same with a bootstrap of single events instead of blocks."""
    told: float
    """Share of the intervals that exclude zero after hits are removed."""
    half_width: float
    """The median."""
    block: float
    """The median length of the blocks."""


def measure(quick: bool) -> Section:
    """Replay each log with several seeds, then compare pairs of replays on parts of the log."""
    seeds, comparisons, limit = (6, 15, 3_000) if quick else (SEEDS, COMPARISONS, None)
    section = Section(
        "Intervals: the same model against itself, other seeds, parts of a log", "python -m bench.aa_coverage"
    )
    logs = {"bundled": EVENTS, "ml-100k": real_log("ml-100k")}
    rows = []
    for name, log in logs.items():
        if log is None:
            section.notes.append(
                f"Skipped: the log {name} is not here; set FRESHRANK_DATA to the folder that holds it."
            )
            continue
        outcomes = replays(log, seeds, limit)
        for metric in METRICS:
            found = compared(metric, outcomes, comparisons)
            what = f"{name}, {metric}"
            section.numbers.append(
                Number(f"95 % intervals that hold zero, {what}", 100 * found.holds_zero, "%", least=90)
            )
            rows.append(
                (
                    what,
                    f"{found.holds_zero:.1%}",
                    f"{found.blocks:.1%}",
                    f"{found.single:.1%}",
                    f"± {found.half_width:.4f}",
                    f"{found.block:.0f}",
                    f"{found.told:.1%}",
                )
            )
    columns = (
        "log, metric",
        "hold zero",
        "by blocks alone",
        "by single events",
        "half width",
        "block",
        f"{WORSE:.0%} of hits gone: told",
    )
    section.notes.append(table(columns, rows))
    section.notes.append(
        f"{comparisons} pairs of {seeds} seeds of the blend, each on a part of {SHARES[0]:.0%} to {SHARES[1]:.0%} of "
        "the log that begins anywhere."
    )
    return section


def replays(log: Path, seeds: int, limit: int | None) -> list[Columns]:
    """Replay a log with each seed, and return the outcomes."""
    asked = [(log, seed, limit) for seed in range(seeds)]
    with ProcessPoolExecutor(core_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(one_replay, asked))


def one_replay(asked: tuple[Path, int, int | None]) -> Columns:
    """Replay a log with one seed."""
    log, seed, limit = asked
    return replay(log, Settings(model=f"blend(seed={seed})", repeats="exclude"), limit=limit).outcomes.arrays()


def compared(metric: str, outcomes: list[Columns], comparisons: int) -> Found:
    """Compare pairs of outcomes, each on a random part of the log."""
    values = [event_values(metric, columns)[1] for columns in outcomes]
    random = np.random.default_rng(1)
    pairs = random.permutation(list(combinations(range(len(values)), 2)))[:comparisons]
    events = len(values[0])
    both, blocks, singles, worse, lengths = [], [], [], [], []
    for first, second in pairs.tolist():
        size = int(random.uniform(*SHARES) * events)
        start = int(random.integers(events - size + 1))
        before, after = (values[one][start : start + size] for one in (first, second))
        items = outcomes[first]["item_digest"][start : start + size]
        blocks.append(mean_interval(after - before))
        both.append(mean_interval(after - before, groups=items))
        singles.append(by_single_events(after - before))
        worse.append(mean_interval(after * (random.random(size) >= WORSE) - before, groups=items))
        lengths.append(block_length(after - before))
    return Found(
        share_that_holds_zero(both),
        share_that_holds_zero(blocks),
        share_that_holds_zero(singles),
        float(np.mean([found.high < 0.0 for found in worse])),
        float(np.median([found.half_width for found in both])),
        float(np.median(lengths)),
    )


def by_single_events(x: NDArray[np.float64]) -> Interval:
    """Return the normal interval of a mean of independent values, as a bootstrap of single events gives it."""
    mean, half = float(x.mean()), 1.96 * float(x.std()) / len(x) ** 0.5
    return Interval(mean, mean - half, mean + half)


def share_that_holds_zero(intervals: list[Interval]) -> float:
    """Return the share of the intervals that contain zero."""
    return float(np.mean([found.holds_zero for found in intervals]))


if __name__ == "__main__":
    main(measure)
