"""Hit rate and CPU seconds of the deep models beside the blend, on one log.

Each model replays the log in a process of its own on one core. The CPU time is that of the whole process: imports,
JAX's compilation, training, and a list for every event. A short replay before makes sure that numba's kernels are
compiled. Nothing is asserted.
"""

from bench.process import real_log, replayed
from bench.report import Section, main, shown, table

MODELS = (
    ("blend", "the default: learns from every event"),
    ("deep:sasrec", "causal transformer, trained anew every 5,000 events"),
    ("deep:mlp", "perceptron, trained anew every 5,000 events"),
    ("blend+deep:sasrec", "the blend, with the transformer as one more member"),
)
EXCLUDE = ("--repeats", "exclude")


def measure(quick: bool) -> Section:
    """Replay ml-100k with each model, once, since the results are repeatable and the runs are long."""
    section = Section("What deep models cost and reach: ml-100k, one core", "python -m bench.deep_trade")
    log = real_log("ml-100k")
    if log is None:
        section.notes.append("Skipped: the log ml-100k is not here; set FRESHRANK_DATA to the folder that holds it.")
        return section
    limit = 10_000 if quick else 100_000
    replayed(log, *EXCLUDE, "--limit", "100")
    rows, first = [], 0.0
    for model, what in MODELS:
        report, _, cpu = replayed(log, *EXCLUDE, "--limit", str(limit), "--model", model)
        first = first or cpu
        metrics = (f"{report['metrics'][name]:.4f}" for name in ("hit_rate@10", "ndcg@10", "served_hit_rate@10"))
        rows.append((f"`{model}`", what, *metrics, f"{cpu:,.1f}", shown(cpu / first)))
    head = ("model", "what it is", "hit rate @10", "NDCG @10", "served", "CPU seconds", "times the blend's")
    section.notes = [table(head, rows), f"{limit:,} events, one run each."]
    return section


if __name__ == "__main__":
    main(measure)
