"""Measurements of models that never ran, whose figures are known: for the tests of the page."""

import numpy as np
import pytest

pytest.importorskip("altair", reason="the report's libraries are not here; pip install 'freshrank[report]'")
pytest.importorskip("vl_convert", reason="the report's libraries are not here; pip install 'freshrank[report]'")
from flows.evaluation.model_observer import Look
from flows.monitoring.histogram import BUCKETS, LOWEST, PER_DOUBLING
from flows.report.data import Listed, Measured, Sample

EVENTS = 6_000

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
"""A title as somebody might put it into a catalogue."""


def planted(name: str, rate: float, cpu: float, weighs: bool = False) -> Measured:
    """A replay whose hit rate doubles in the middle, with all that a report can show."""
    random = np.random.default_rng(len(name))
    chance = np.repeat([rate, 2 * rate], EVENTS // 2)
    position = np.where(random.random(EVENTS) < chance, random.integers(0, 10, EVENTS), -1).astype(np.int32)
    served = np.where(random.random(EVENTS) < 0.5, position, -1).astype(np.int32)
    latency = np.zeros(BUCKETS, np.int64)
    latency[round(PER_DOUBLING * np.log2(0.001 / LOWEST))] = EVENTS  # one millisecond each
    numbers = {
        "log": {"path": "somewhere/clicks.csv", "users": 400, "items": 300},
        "metrics": {"hit_rate@10": float((position >= 0).mean()), "ndcg@10": 0.1, "mrr@10": 0.1},
        "scored": EVENTS,
        "cpu_seconds": cpu,
        "events_per_second": 1_000.0,
        "latency_us": {"p50": 1_000.0, "p99": 1_000.0, "max": 1_000.0},
        "peak_rss_mb": 100.0,
    }
    column = {"number": np.arange(EVENTS), "time": np.arange(EVENTS, dtype=np.float64)}
    seen = random.integers(0, 300, (2, EVENTS)).astype(np.int32)
    looks = [Look(n, {"popular": 1.0, "follows": n / 1_000}) for n in range(64, EVENTS, 64)]
    return Measured(
        name=name,
        numbers=numbers,
        k=10,
        outcomes={
            **column,
            "position": position,
            "served": served,
            "any_age": served,
            "user_events": seen[0],
            "item_events": seen[1],
            "item_digest": random.integers(0, 300, EVENTS).astype(np.uint32),
        },
        latency=latency,
        looks=looks if weighs else [Look(64, {"popular": 1.0})] * 2,
        drifts=[EVENTS // 2] if weighs else [],
        touched=300 - np.arange(300),
        listed=1_000 // np.arange(1, 301),
        samples=[Sample("ann", ["i1"], [Listed("i2", 1.5, {"follows": 1.2, "popular": 0.3}), Listed("i3", 0.2, {})])],
    )
