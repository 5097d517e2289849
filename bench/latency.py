"""Latency of an event in the flow: from its arrival at decode to its encoded list."""

from bench.process import answer, child, real_log
from bench.replay_speed import reference
from bench.report import Section, main, median, shown, table
from flows.replay import BATCH, replay
from flows.settings import Settings
from recmodels.fused.warm_up import warm_up


def measure(quick: bool) -> Section:
    """Replay ml-100k at full speed, by batch size."""
    section = Section("In-flow latency: ml-100k, from arrival at decode to the encoded list", "python -m bench.latency")
    log = real_log("ml-100k")
    if log is None:
        section.notes.append("Skipped: the log ml-100k is not here; set FRESHRANK_DATA to the folder that holds it.")
        return section
    rounds, limit = (1, 20_000) if quick else (5, 100_000)
    expected = reference(log, limit)
    rows = []
    for batch in (1, BATCH, 64):
        runs = [child("bench.latency", "child", log, limit, batch) for _ in range(rounds)]
        assert all(run["metrics"] == expected for run in runs)
        p50, p99 = (median("", [run[q] * 1_000 for run in runs], "ms") for q in ("p50", "p99"))
        worst = max(run["max"] * 1_000 for run in runs)
        speed = median("", [run["events_per_second"] for run in runs], "")
        rows.append((str(batch), shown(p50.value), shown(p99.value), shown(worst), shown(speed.value)))
        if batch != 64:
            name = "p99, one event at a time" if batch == 1 else f"p99, {batch} at a time as `freshrank replay` does"
            least = 0.3 if batch == 1 else 1.0
            section.numbers.append(median(name, [r["p99"] * 1_000 for r in runs], "ms", least, 0.3, is_cost=True))
    section.notes = [
        f"Medians of {rounds} runs, in ms; the worst of all events of all runs:",
        table(("batch", "p50", "p99", "worst", "events/s"), rows),
        "All events of a batch arrive together, and all its lists leave together: each waits for the others. Each run "
        "gave the reference's measures to the last digit.",
    ]
    return section


if __name__ == "__main__":
    import sys

    if sys.argv[1:2] == ["child"]:
        warm_up()
        settings = Settings(repeats="exclude")
        result = replay(sys.argv[2], settings, limit=int(sys.argv[3]), batch=int(sys.argv[4]))
        answer(
            {
                "p50": result.latency.quantile(0.5),
                "p99": result.latency.quantile(0.99),
                "max": result.latency.highest,
                "events_per_second": result.counters.learned / result.seconds,
                "metrics": result.metrics,
            }
        )
    else:
        main(measure)
