"""Gain of hit rate from tags of items: `python -m bench.content_gain DIRECTORY… [--limit N]`.

A directory holds `events.csv.gz` (`user,item,timestamp,event,value`) and `items.csv.gz` (`item`, and any of `title`,
`genres`, `price_median`). The log is replayed by test-then-learn three times. The first replay has no item events. The
second has all of them before the first event. The third has each at a random time up to 5,000 events before the item's
first interaction. An announcement just before the first interaction would reveal the next item, and is not measured.
"""

import argparse
import csv
import gzip
import random
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from recmodels import Blend, Example
from recmodels.evaluation.metrics import RankingMetrics

LEAD = 5_000
"""Largest number of events between an announcement and the item's first interaction."""
BATCH = 1_000
COLUMNS = {"title": str, "genres": str, "price_median": float}


def main() -> None:
    """Measure each log, and print a row for each way to announce its items."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="+", type=Path)
    parser.add_argument("--limit", type=int, help="number of events")
    parser.add_argument("--allow-repeats", nargs="*", default=["online-retail"], help="names of logs with repeats")
    asked = parser.parse_args()
    sys.stdout.write(
        "| log | item events | hit rate @10 | of the first interactions | seconds |\n|---|---|---|---|---|\n"
    )
    for directory in asked.directory:
        events, features = read_events(directory, asked.limit), read_features(directory)
        repeats = "allow" if directory.name in asked.allow_repeats else "exclude"
        for way in ("none", "at the start", "at random before"):
            started = time.perf_counter()
            every, first = measure(events, features, schedule(events, features, way), repeats)
            seconds = time.perf_counter() - started
            sys.stdout.write(f"| {directory.name} | {way} | {every:.4f} | {first:.4f} | {seconds:.0f} |\n")
            sys.stdout.flush()


def read_events(directory: Path, limit: int | None) -> list[Example]:
    """Read a log. A return has a negative reward."""
    with gzip.open(directory / "events.csv.gz", "rt", encoding="utf-8", newline="") as lines:
        return [
            Example(row["user"], row["item"], -1.0 if row["event"] == "return" else 1.0, float(row["timestamp"]))
            for row in islice(csv.DictReader(lines), limit)
        ]


def read_features(directory: Path) -> dict[str, dict[str, Any]]:
    """Read the features of each item, for item events."""
    with gzip.open(directory / "items.csv.gz", "rt", encoding="utf-8", newline="") as lines:
        return {
            row["item"]: {
                name.removesuffix("_median"): kind(row[name]) for name, kind in COLUMNS.items() if row.get(name)
            }
            for row in csv.DictReader(lines)
        }


def first_interactions(events: list[Example]) -> dict[str, int]:
    """Return the number of each item's first event."""
    first: dict[str, int] = {}
    for number, event in enumerate(events):
        first.setdefault(event.item, number)
    return first


def schedule(events: list[Example], features: Mapping[str, Any], way: str) -> dict[int, list[str]]:
    """Return the items to announce just before each event. Those before the first event are shuffled."""
    draw, before = random.Random(1), defaultdict(list)
    for item, number in first_interactions(events).items():
        if way != "none" and item in features:
            before[0 if way == "at the start" else max(0, number - draw.randint(1, LEAD))].append(item)
    for items in before.values():
        draw.shuffle(items)
    return before


def measure(
    events: list[Example], features: Mapping[str, Any], announced: Mapping[int, list[str]], repeats: str
) -> tuple[float, float]:
    """Return the hit rate @10 of all events, and that of the first event of each item."""
    model, every, first = Blend(repeats=repeats), RankingMetrics(10), RankingMetrics(10)
    firsts = set(first_interactions(events).values())
    cuts = sorted({*announced, *range(0, len(events), BATCH), len(events)})
    for start, stop in pairwise(cuts):
        for item in announced.get(start, ()):
            model.learn_item(item, features[item])
        for number, step in enumerate(model.step_many(events[start:stop], n=0), start):
            if step.position is not None:
                every.update(step.position)
                if number in firsts:
                    first.update(step.position)
    return every.hit_rate, first.hit_rate


if __name__ == "__main__":
    main()
