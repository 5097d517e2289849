"""Ablation of the blend: hit rate without each member, and of each member alone."""

import csv
import gzip
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bench.process import answer, child, real_log
from bench.report import Section, main, table
from recmodels import Blend, Example
from recmodels.evaluation.metrics import RankingMetrics
from recmodels.specification import build_model

LOGS = {
    "ml-100k": "exclude",
    "movietweetings-142k": "exclude",
    "online-retail": "allow",
    "globo-300k": "allow",
    "diginetica-300k": "allow",
    "nowplaying1m": "allow",
    "foursquare-nyc": "allow",
    "wiki-edits-2001": "allow",
}
MEMBERS = ("popularity", "covisitation", "history", "factorization", "predecessors", "age")
SINGLE = ("popularity(half_life=300.0)", "covisitation", "history", "factorization")
WITHOUT = "without "


def measure(quick: bool) -> Section:
    """Replay every log with the blend, without each of its members, and with single members alone."""
    section = Section("What each member of the blend adds: hit rate @10", "python -m bench.ablation")
    logs = {name: log for name in LOGS if (log := real_log(name)) is not None}
    if not logs:
        section.notes.append("Skipped: the logs are not here; set FRESHRANK_DATA to the folder that holds them.")
        return section
    variants = ["blend", *(f"{WITHOUT}{member}" for member in MEMBERS), *SINGLE]
    limit = 5_000 if quick else 0
    found = {name: child("bench.ablation", "child", log, LOGS[name], limit, *variants) for name, log in logs.items()}
    section.notes = [
        table(
            ("", *found), [(variant, *(f"{rates[variant]:.4f}" for rates in found.values())) for variant in variants]
        ),
        "Test-then-learn over the whole log, one set of defaults; one run each, as the same log gives the same lists. "
        "A model of one member keeps what popularity needs to fill up its lists. The history member adds nothing where "
        "repeats are excluded: there it is what excludes them.",
    ]
    return section


def examples(log: Path, limit: int) -> Iterator[Example]:
    """Read the log. A return has a negative reward."""
    with gzip.open(log, "rt", encoding="utf-8", newline="") as lines:
        for row in islice(csv.DictReader(lines), limit or None):
            yield Example(row["user"], row["item"], -1.0 if row["event"] == "return" else 1.0, float(row["timestamp"]))


def hit_rate(variant: str, log: Path, repeats: str, limit: int) -> float:
    """Replay a log with one variant of the model."""
    if variant.startswith(WITHOUT):
        left = Blend.members - {variant.removeprefix(WITHOUT)}
        model = type("Left", (Blend,), {"members": left})(repeats=repeats)
    else:
        model = build_model(variant, repeats)
    metrics, stream = RankingMetrics(k=10), examples(log, limit)
    while batch := list(islice(stream, 1_000)):
        for step in model.step_many(batch, 10, score=True):
            if step.position is not None:
                metrics.update(step.position)
    return metrics.hit_rate


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        path, kept, most, *asked = sys.argv[2:]
        answer({variant: hit_rate(variant, Path(path), kept, int(most)) for variant in asked})
    else:
        main(measure)
