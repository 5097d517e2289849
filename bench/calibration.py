"""Calibration of the contextual pipeline: log loss and expected calibration error of its probabilities."""

import csv
import gzip
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base, compose, forest, linear_model, optim, preprocessing, tree

from bench.process import real_log
from bench.report import Section, main, shown, table
from recmodels import Contextual, Example

BINS = 15


class Said(NamedTuple):
    """Predictions for pairs of a user and a candidate, with the outcomes."""

    probability: NDArray[np.float64]
    """[N]"""
    chosen: NDArray[np.bool_]
    """[N]"""
    hit_rate: float
    """Hit rate @10 of the events."""


def reliability(said: Said, bins: int = BINS) -> list[tuple[float, float, int]]:
    """Return mean prediction, observed share and size of bins of equal size, by rising probability."""
    order = np.argsort(said.probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [(float(said.probability[p].mean()), float(said.chosen[p].mean()), len(p)) for p in parts]


def expected_calibration_error(said: Said, bins: int = BINS) -> float:
    """Return the expected calibration error over bins of equal size (Naeini et al., AAAI 2015).

    >>> import numpy as np
    >>> chosen = np.arange(10_000) % 10 == 0
    >>> expected_calibration_error(Said(np.full(10_000, 0.25), chosen, 0.0))
    0.15
    """
    found = reliability(said, bins)
    return round(sum(abs(p - rate) * count for p, rate, count in found) / len(said.chosen), 9)


def log_loss(said: Said) -> float:
    """Return the mean log loss of the outcomes."""
    p = np.clip(said.probability, 1e-9, 1.0 - 1e-9)
    return float(-np.where(said.chosen, np.log(p), np.log(1.0 - p)).mean())


def say(model: Contextual, events: list[Example], facts: dict[str, dict[str, Any]]) -> Said:
    """Test, then learn: collect the predictions for all candidates just before each event, and the chosen one."""
    probability: list[float] = []
    chosen: list[bool] = []
    scored = hits = 0
    for item, x in facts.items():
        model.learn_item(item, x)
    for user, item, y, time, *_ in events:
        x = {"timestamp": time}
        if y > 0.0 and not model.has_seen(user, item):
            listed = model.top(user, model.candidates, x)
            probability += [p for _, p in listed]
            chosen += [other == item for other, _ in listed]
            hits += item in [other for other, _ in listed[:10]]
            scored += 1
        model.learn_one(user, item, y, x)
    return Said(np.array(probability), np.array(chosen), hits / max(scored, 1))


def events_of(log: Path, count: int) -> list[Example]:
    """Read the first events of a log."""
    with gzip.open(log, "rt", encoding="utf-8") as lines:
        rows = islice(csv.DictReader(lines), count)
        return [
            Example(r["user"], r["item"], -1.0 if r["event"] == "return" else 1.0, float(r["timestamp"])) for r in rows
        ]


def facts_of(log: Path) -> dict[str, dict[str, Any]]:
    """Read the features of items beside a log, with genres as tags."""
    path = log.parent / "items.csv.gz"
    if not path.exists():
        return {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return {r["item"]: {"tags": [g for g in r.get("genres", "").split("|") if g]} for r in csv.DictReader(lines)}


def classifiers() -> Iterator[tuple[str, base.Classifier | None]]:
    """Yield the classifiers to compare."""

    def numbers() -> compose.Pipeline:
        return compose.SelectType(float) | preprocessing.StandardScaler()

    def words() -> compose.Pipeline:
        return compose.SelectType(int) | preprocessing.FeatureHasher(16_384, seed=0)

    yield "logistic regression, numbers and words (the default)", None
    for rate in (0.005, 0.05):
        yield f"the same, rate {rate}", (numbers() + words()) | linear_model.LogisticRegression(optim.SGD(rate))
    yield "the same, AdaGrad", (numbers() + words()) | linear_model.LogisticRegression(optim.AdaGrad(0.05))
    yield "logistic regression, numbers alone", numbers() | linear_model.LogisticRegression(optim.SGD(0.02))
    yield "Hoeffding tree, numbers alone", numbers() | tree.HoeffdingTreeClassifier()
    yield "adaptive random forest, numbers alone", numbers() | forest.ARFClassifier(n_models=5, seed=0)


def measure(quick: bool) -> Section:
    """Test, then learn, with each classifier on the start of two logs."""
    section = Section("Calibration of the contextual pipeline", "python -m bench.calibration")
    for name, repeats, count in (("ml-100k", "exclude", 6_000), ("movietweetings-142k", "exclude", 6_000)):
        log = real_log(name)
        if log is None:
            section.notes.append(
                f"Skipped: the log {name} is not here; set FRESHRANK_DATA to the folder that holds it."
            )
            continue
        events, facts = events_of(log, 300 if quick else count), facts_of(log)
        rows = []
        for what, classifier in classifiers():
            said = say(Contextual(repeats=repeats, classifier=classifier), events, facts)
            assert len(said.probability) > 1_000
            error = expected_calibration_error(said)
            rows.append(
                (what, f"{log_loss(said):.5f}", f"{error:.5f}", f"{said.chosen.mean():.5f}", shown(said.hit_rate))
            )
        head = ("classifier", "log loss", "expected calibration error", "share chosen", "hit rate @10")
        section.notes.append(f"The first {len(events):,} events of {name}:")
        section.notes.append(table(head, rows))
    return section


if __name__ == "__main__":
    main(measure)
