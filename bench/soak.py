"""Soak test: millions of events with new ids all the time and small bounds. Memory must stay flat."""

import faulthandler
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.flow import Given, run_through
from bench.process import answer, child
from bench.report import Number, Section, main, shown, table
from bench.streams import ever_new, to_records
from recmodels.fused.model import FusedModel
from recmodels.kernels.layout import Int64
from recmodels.kernels.shared import CELLS, FREE_CELLS

MAX_USERS, MAX_ITEMS, MAX_PAIRS = 50_000, 20_000, 500_000
NEW_USERS, NEW_ITEMS = 0.05, 0.02
ACTIVE_USERS, ACTIVE_ITEMS = 40_000, 15_000
"""Numbers of returning users and items: fewer than the bounds, so that only stale rows are evicted."""
BATCH = 8
STUCK = 120.0
"""Seconds without a batch after which the run is aborted with a traceback."""


def measure(quick: bool) -> Section:
    """Run the soak test in a process of its own. Memory must not grow once every bound is reached."""
    events = 400_000 if quick else 5_000_000
    # A quick run has a tenth of everything, so it reaches the bounds, too.
    scale = 10 if quick else 1
    section = Section(f"Soak: {events:,} events, ids that keep coming", "python -m bench.soak")
    found = child("bench.soak", "child", events, scale)
    samples = found["samples"]
    full = next(k for k, sample in enumerate(samples) if sample["is_full"])
    after = [sample["rss"] / 1e6 for sample in samples[full:]]
    quarter = max(1, len(after) // 4)
    growth = float(np.median(after[-quarter:]) - np.median(after[:quarter]))
    section.numbers = [
        Number(
            "RSS grows after the bounds are reached, first quarter to last", growth, "MB", None, 10, 1, is_cost=True
        ),
        Number("highest RSS", max(sample["rss"] for sample in samples) / 1e6, "MB"),
        Number("events a second, through the flow", events / found["seconds"], "events/s"),
        Number("in-flow latency p50", found["p50"] * 1_000, "ms"),
        Number("in-flow latency p99", found["p99"] * 1_000, "ms"),
        Number("longest pause of the flow", found["worst"] * 1_000, "ms"),
    ]
    rows = [
        (f"{s['events']:,}", shown(s["rss"] / 1e6), f"{s['users']:,}", f"{s['items']:,}", f"{s['pairs']:,}")
        for s in samples[:: max(1, len(samples) // 10)]
    ]
    section.notes = [
        f"`blend(max_users={MAX_USERS // scale}, max_items={MAX_ITEMS // scale}, max_pairs={MAX_PAIRS // scale})`; "
        f"{NEW_USERS:.0%} of the events bring a new user and {NEW_ITEMS:.0%} a new item: {events * NEW_USERS:,.0f} "
        f"users and {events * NEW_ITEMS:,.0f} items in all. One run, {BATCH} events at a time. Every event was "
        "learned and answered with one list, and the bounds held at every sample.",
        table(("events", "RSS in MB", "users", "items", "pairs"), rows),
    ]
    return section


def soak(events: int, scale: int) -> dict[str, Any]:
    """Run the flow, and sample the process's memory."""
    bounds = {"max_users": MAX_USERS // scale, "max_items": MAX_ITEMS // scale, "max_pairs": MAX_PAIRS // scale}
    settings = Given(model=f"blend({', '.join(f'{name}={bound}' for name, bound in bounds.items())})")
    model = settings.build_model()
    assert isinstance(model, FusedModel)
    memory = model.memory
    samples: list[dict[str, Any]] = []
    worst, last = 0.0, time.perf_counter()

    def look(taken: int) -> None:
        nonlocal worst, last
        faulthandler.dump_traceback_later(STUCK, exit=True)
        now = time.perf_counter()
        if taken > 10_000:
            worst = max(worst, now - last)
        if taken % (events // 50) < BATCH:
            users, items, pairs = len(memory.users), len(memory.items), taken_cells(memory.state.shared.counters)
            assert users <= bounds["max_users"], users
            assert items <= bounds["max_items"], items
            assert pairs <= bounds["max_pairs"], pairs
            # A user needs pairs: whichever of the two bounds is reached first keeps the other from being reached.
            share = max(users / bounds["max_users"], pairs / bounds["max_pairs"])
            is_full = min(share, items / bounds["max_items"]) > 0.95
            sample = {"events": taken, "rss": resident(), "users": users, "items": items, "pairs": pairs}
            samples.append({**sample, "is_full": is_full})
        last = time.perf_counter()

    pairs = ever_new(NEW_USERS, NEW_ITEMS, ACTIVE_USERS // scale, ACTIVE_ITEMS // scale, seed=1)
    start = time.perf_counter()
    connections = run_through(to_records(pairs), events, settings, batch=BATCH, told=look)
    faulthandler.cancel_dump_traceback_later()
    return {
        "seconds": time.perf_counter() - start,
        "samples": samples,
        "p50": connections.latency.quantile(0.5),
        "p99": connections.latency.quantile(0.99),
        "worst": worst,
    }


def taken_cells(counters: Int64) -> int:
    """Return the number of pairs of a user and an item in the histories."""
    return int(counters[CELLS] - counters[FREE_CELLS])


def resident() -> int:
    """Return the present memory of the process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        answer(soak(int(sys.argv[2]), int(sys.argv[3])))
    else:
        main(measure)
