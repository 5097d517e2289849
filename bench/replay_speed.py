"""Events per second of a replay on one core: the blend, River's ranking of all items, and a constant model."""

import gzip
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from river import reco

from bench.process import answer, child, real_log, replayed
from bench.report import Section, main, median
from flows.replay import replay
from flows.settings import Settings

FLOOR = "bench.floor:Constant"
ASKED = 1_000
"""Number of River's lists, which are too slow to make for every event."""
EXCLUDE = ("--repeats", "exclude")


def measure(quick: bool) -> Section:
    """Replay ml-100k with the blend, the constant model and River in turn, so that noise affects all three."""
    section = Section(
        "Replay: ml-100k, default blend, one list for each event, one core",
        "python -m bench.replay_speed",
    )
    log = real_log("ml-100k")
    if log is None:
        section.notes.append("Skipped: the log ml-100k is not here; set FRESHRANK_DATA to the folder that holds it.")
        return section
    rounds, limit = (1, 10_000) if quick else (5, 100_000)
    limited = (*EXCLUDE, "--limit", str(limit))
    expected = reference(log, limit)
    blend: list[float] = []
    whole: list[float] = []
    shares: list[float] = []
    floor: list[float] = []
    river: list[float] = []
    for _ in range(rounds):
        report, seconds, cpu_seconds = replayed(log, *limited)
        shares.append(100 * cpu_seconds / seconds)
        assert_same(report, expected, limit)
        blend.append(report["events_per_second"])
        whole.append(limit / seconds)
        report, _, _ = replayed(log, *limited, "--model", FLOOR)
        assert report["log"]["events"] == limit
        floor.append(report["events_per_second"])
        river.append(child("bench.replay_speed", "river", log, limit)["events_per_second"])
    section.numbers = [
        median("events a second", blend, "events/s", 8_000, 20_000),
        median("… with start and end of the process", whole, "events/s"),
        median("share of its core that the process got", shares, "%"),
        median("… to River's `reco.BiasedMF(n_factors=32)`", ratios(blend, river), "×", 20, 30),
        median("River itself", river, "events/s"),
        median("slower than the floor", ratios(floor, blend), "×", 8, 4, is_cost=True),
        median("the floor itself", floor, "events/s"),
    ]
    section.notes.append(
        f"Medians of {rounds} rounds; in each round the three ran one after the other, and a ratio is the median of "
        f"the rounds' ratios. Each run of {limit:,} events gave the measures of a reference run to the last digit; the "
        "reference's lists are byte for byte the same taken one event at a time and a thousand at a time. River learns "
        f"every event and ranks all items known so far for {ASKED:,} of them, spread evenly over the log; each of its "
        "events is counted as if it had been ranked, and it has no flow around it, which is in its favour."
    )
    return section


def reference(log: Path, limit: int) -> dict[str, float]:
    """Replay in this process in two ways that must give the same lists, and return the metrics."""
    with tempfile.TemporaryDirectory() as directory:
        digests, metrics = set(), {}
        for batch in (1, 1_000):
            out = Path(directory) / "lists.jsonl"
            result = replay(log, Settings(repeats="exclude"), limit=limit, out=out, batch=batch)
            digests.add(sha256(out.read_bytes()).hexdigest())
            metrics = result.metrics
            assert result.counters.emitted - result.counters.fallbacks == limit
        assert len(digests) == 1, "the size of a batch has changed a list"
        return metrics


def assert_same(report: dict[str, Any], metrics: dict[str, float], limit: int) -> None:
    """Raise AssertionError unless a run has the metrics of the reference."""
    assert report["metrics"] == metrics, (report["metrics"], metrics)
    assert report["log"]["events"] == report["scored"] == limit


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Return the ratio of each round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def river(log: Path, limit: int) -> dict[str, float]:
    """Time River's factorisation: it learns every event, and ranks all seen items after `ASKED` of them.

    The ranked events are spread evenly over the log. The time is extrapolated as if every event had been ranked.
    """
    lines = gzip.decompress(log.read_bytes()).decode().splitlines()[1 : limit + 1]
    model = reco.BiasedMF(n_factors=32, seed=1)
    items: set[str] = set()
    ranking, every = 0.0, limit // ASKED
    begin = time.perf_counter()
    for number, line in enumerate(lines):
        user, item = line.split(",")[:2]
        items.add(item)
        model.learn_one(user, item, 1.0)
        if number % every == 0:
            start = time.perf_counter()
            ranked = model.rank(user, items)
            ranking += time.perf_counter() - start
            assert len(ranked) == len(items)
    learning = time.perf_counter() - begin - ranking
    return {"events_per_second": limit / (learning + ranking * every)}


if __name__ == "__main__":
    import sys

    if sys.argv[1:2] == ["river"]:
        answer(river(Path(sys.argv[2]), int(sys.argv[3])))
    else:
        main(measure)
