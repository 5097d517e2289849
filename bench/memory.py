"""Memory of a million users and a hundred thousand items, with the model's default arguments."""

import resource
import sys
from typing import Any

from bench.flow import Given, run_through
from bench.process import answer, child
from bench.report import Number, Section, main, shown, table
from bench.streams import every_one, to_records
from recmodels.fused.model import FusedModel
from recmodels.kernels.shared import CELLS

GIGABYTE = 1e9


def measure(quick: bool) -> Section:
    """Send every user and every item through the flow once, in a process of its own."""
    users, items = (50_000, 10_000) if quick else (1_000_000, 100_000)
    section = Section("Memory: a million users, a hundred thousand items, defaults", "python -m bench.memory")
    plain = child("bench.memory", "child", users, items)
    assert plain["users"] == users, plain
    assert plain["items"] == items, plain
    size = f"{users:,} users, {items:,} items"
    section.numbers = [
        Number(f"peak RSS, {size}", plain["peak"] / GIGABYTE, "GB", None, 1.5, 1.2, is_cost=True),
        Number("… of it before the first event", plain["start"] / GIGABYTE, "GB"),
        Number("peak RSS with a snapshot of everything at the end", plain["peak_dumped"] / GIGABYTE, "GB"),
    ]
    rows = [(name, shown(used / 1e6), shown(full / 1e6)) for name, (used, full) in plain["tables"].items()]
    section.notes = [
        f"One run: {plain['pairs']:,} events, one for each pair of a user and an item, through the whole flow.",
        table(("table", "MB in use", "MB at its bound"), rows),
        "The rest is the interpreter and the libraries (the second line), and the ids: a string, an entry of a dict "
        "and one of a list for each. A snapshot copies what has changed since the last; the one of everything is the "
        "first after a start.",
    ]
    return section


def fill(users: int, items: int) -> dict[str, Any]:
    """Fill the model through the flow, and measure the memory of the process."""
    start = peak()
    settings = Given()
    model = settings.build_model()
    assert isinstance(model, FusedModel)
    count = max(users, items)
    run_through(to_records(every_one(users, items, seed=1)), count, settings, batch=64)
    memory, before_dump = model.memory, peak()
    tables = {
        name: (per_row * table.used, per_row * table.capacity)
        for name, table in memory.tables.items()
        for per_row in [sum(array[0].nbytes for array in table.arrays.values()) + 1]
    }
    found = {
        "start": start,
        "peak": before_dump,
        "users": len(memory.users),
        "items": len(memory.items),
        "pairs": int(memory.state.shared.counters[CELLS]),
        "tables": tables,
    }
    kept = model.dump()
    return {**found, "peak_dumped": peak(), "dumped": sum(array.nbytes for array in kept.values())}


def peak() -> int:
    """Return the peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        answer(fill(int(sys.argv[2]), int(sys.argv[3])))
    else:
        main(measure)
