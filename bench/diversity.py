"""Cost and gain of rules and diversity: `python -m bench.diversity DIRECTORY… [--limit N] [--times]`.

A directory holds `events.csv.gz`, and perhaps `items.csv.gz`, whose items are announced before the first event. Each
log is replayed by test-then-learn with each diversity. The hit rates are of the second half.

With `--times` it measures the selection of a list of ten from 50 candidates alone, in microseconds of CPU time. The
median of 200 rounds of 200 lists counts. The first row is an event of the blend alone, in large batches.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.content_gain import read_events, read_features
from recmodels import Blend, Example
from recmodels.rules import Rule, Ruled

DIVERSITIES: Final = (0.1, 0.2, 0.3, 0.5)
RULES: Final = (
    Rule(name="own", action="exclude", where=lambda features: features["item"].endswith("7")),
    Rule(name="tags", action="at_most", per="genres", number=3),
    Rule(name="up", action="boost", where=lambda features: features["item"].endswith("3"), by=1.5),
)
"""Rules of each kind that looks at every candidate."""
ALLOW: Final = ("online-retail", "globo-300k", "diginetica-300k", "nowplaying1m", "foursquare-nyc", "wiki-edits-2001")
"""Logs in which a user's items may be listed again."""


def main() -> None:
    """Measure each log, and print a row for each diversity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="+", type=Path)
    parser.add_argument("--limit", type=int, help="number of events")
    parser.add_argument("--times", action="store_true", help="measure the time of a selection instead")
    asked = parser.parse_args()
    if asked.times:
        sys.stdout.write("| log | rules | diversity | µs a list |\n|---|---|---|---|\n")
    else:
        sys.stdout.write(
            "| log | diversity | hit rate @10 without | with | diversity of lists without | with |\n"
            "|---|---|---|---|---|---|\n"
        )
    for directory in asked.directory:
        events = read_events(directory, asked.limit)
        features = read_features(directory) if (directory / "items.csv.gz").exists() else {}
        repeats = "allow" if directory.name in ALLOW else "exclude"
        measure = times if asked.times else gains
        measure(directory.name, events, features, repeats)


def gains(name: str, events: Sequence[Example], features: dict[str, Any], repeats: str) -> None:
    """Print the hit rates and the diversity of lists."""
    for diversity in DIVERSITIES:
        model = announced(Ruled(Blend(repeats=repeats), diversity=diversity), features)
        half = len(events) // 2
        for start in range(0, half, 1_000):
            model.step_many(events[start : min(start + 1_000, half)], n=0)
        model.step_many(events[half:], n=10, score=True)
        told: dict[str, Any] = model.tally.numbers()
        sys.stdout.write(
            f"| {name} | {diversity} | {told['hit_rate_without']:.4f} | {told['hit_rate']:.4f} "
            f"| {told['diversity_without']:.3f} | {told['diversity']:.3f} |\n"
        )
        sys.stdout.flush()


def times(name: str, events: Sequence[Example], features: dict[str, Any], repeats: str) -> None:
    """Print the CPU time of one selection."""
    plain, half = announced(Ruled(Blend(repeats=repeats)), features).model, len(events) // 2
    plain.step_many(events[:half], 10)
    started = time.thread_time()
    plain.step_many(events[half:], 10)
    took = (time.thread_time() - started) / (len(events) - half) * 1e6
    sys.stdout.write(f"| {name} | an event of the blend alone | | {took:.1f} |\n")
    for rules, diversity in (((), 0.0), (RULES, 0.0), ((), 0.3), (RULES, 0.3)):
        model = announced(Ruled(Blend(repeats=repeats), rules, diversity=diversity), features)
        for start in range(0, len(events), 1_000):
            model.model.step_many(events[start : start + 1_000], n=0)
        listed = model.model.top(events[-1].user, 50)
        items, scores = [item for item, _ in listed], [score for _, score in listed]
        selector = model._selector
        took = cpu_time(lambda: selector.select(events[-1].user, items, scores, 10, None))  # noqa: B023
        sys.stdout.write(f"| {name} | {len(rules)} | {diversity} | {took:.1f} |\n")
        sys.stdout.flush()


def announced(model: Ruled, features: dict[str, Any]) -> Ruled:
    """Announce all items to a model."""
    for item, known in features.items():
        model.learn_item(item, known)
    return model


def cpu_time(function: Callable[[], object], rounds: int = 200, calls: int = 200) -> float:
    """Return the median CPU time of a call in microseconds."""
    took = []
    for _ in range(rounds):
        started = time.thread_time()
        for _ in range(calls):
            function()
        took.append((time.thread_time() - started) / calls * 1e6)
    return median(took)


if __name__ == "__main__":
    main()
