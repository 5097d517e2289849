"""Time per event by the size of the catalogue: seeded Zipf streams over 1,000 to 1,000,000 items."""

import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from bench.kernels import stage_table, time_stages
from bench.process import answer, child
from bench.report import Number, Section, main, shown, table
from bench.streams import Pair, every_one, popular
from recmodels import Blend, Example
from recmodels.fused.warm_up import warm_up

USERS = 10_000
BATCH = 8
SETTLING, MEASURED = 50_000, 30_000


def measure(quick: bool) -> Section:
    """Fill catalogues of increasing size, and time the same number of events on each."""
    section = Section("The catalogue: cost of an event as it grows", "python -m bench.catalogue")
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    events = (5_000, 5_000) if quick else (SETTLING, MEASURED)
    results = [child("bench.catalogue", "child", size, *events) for size in sizes]
    for size, result in zip(sizes, results, strict=True):
        assert result["items"] == size, result
        assert result["lists"] == events[1], result
    assert quick or child("bench.catalogue", "child", sizes[0], *events)["digest"] == results[0]["digest"]
    growth = results[-1]["us"] / results[0]["us"]
    from_to = f"{sizes[0]:,} to {sizes[-1]:,} items"
    section.numbers = [Number(f"cost of an event grows, {from_to}", growth, "×", None, 2, 1.2, is_cost=True)]
    rows = [
        (f"{size:,}", *(shown(found[name]) for name in ("us", "candidates", "ns_a_candidate", "wall_us")))
        for size, found in zip(sizes, results, strict=True)
    ]
    section.notes = [
        f"Every item and user comes once, then {events[0]:,} Zipf events (exponent 1) to settle, then {events[1]:,} "
        f"are timed in `step_many`, {BATCH} at a time, with {USERS:,} users. One run for each size; CPU time, so that "
        "neighbours on the machine count less.",
        table(("items", "CPU µs an event", "candidates of a list", "CPU ns a candidate", "wall µs an event"), rows),
        "The stages of an event, as in the kernels' section:",
        stage_table({f"{size:,}": found["stages"] for size, found in zip(sizes, results, strict=True)}),
    ]
    return section


def count(size: int, settling: int, measured: int) -> dict[str, Any]:
    """Fill one catalogue and time events on it."""
    warm_up()
    model, clock = Blend(), 0
    digest = sha256()

    def take(pairs: Sequence[Pair]) -> int:
        nonlocal clock
        examples = [Example(user, item, 1.0, float(clock + k)) for k, (user, item) in enumerate(pairs)]
        clock += len(pairs)
        steps = model.step_many(examples, 10)
        digest.update(repr([step.items for step in steps]).encode())
        return sum(len(step.items) == 10 for step in steps)

    fill = list(every_one(USERS, size, seed=1))
    for start in range(0, len(fill), 1_000):
        take(fill[start : start + 1_000])
    stream = popular(USERS, size, seed=2)
    for _ in range(settling // BATCH):
        take([next(stream) for _ in range(BATCH)])
    asked = [next(stream) for _ in range(measured)]
    candidates, full_lists = [], 0
    began, cpu_began = time.perf_counter(), time.process_time()
    for k in range(0, measured, BATCH):
        full_lists += take(asked[k : k + BATCH])
        candidates.append(int(model.memory.state.shared.candidates.size[0]))
    us, wall_us = (
        (now - then) / measured * 1e6
        for now, then in (
            (time.process_time(), cpu_began),
            (time.perf_counter(), began),
        )
    )
    rows = model.memory.users.rows, model.memory.items.rows
    user_rows = np.array([rows[0][user] for user, _ in asked[-2_000:]], np.int32)
    item_rows = np.array([rows[1][item] for _, item in asked[-2_000:]], np.int32)
    mean = float(np.mean(candidates))
    return {
        "us": us,
        "wall_us": wall_us,
        "candidates": mean,
        "ns_a_candidate": 1_000 * us / mean,
        "stages": time_stages(model, user_rows, item_rows),
        "items": len(model.memory.items),
        "lists": full_lists,
        "digest": digest.hexdigest(),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        answer(count(*map(int, sys.argv[2:])))
    else:
        main(measure)
