"""Figures of cost: accuracy against CPU time, and latency of lists."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from flows.monitoring.histogram import LOWEST, PER_DOUBLING
from flows.report.binning import rates
from flows.report.data import Measured
from flows.report.theme import INK, Figure, Row, colours, data, keys, legend_of, logarithmic, tip

MERGED = PER_DOUBLING // 4
"""Buckets of 2 % that make one bar: four bars for each doubling."""
LEAST_SECONDS = 0.01
"""Least time in seconds that is drawn, since the axis is logarithmic."""


def accuracy_against_cpu(results: Sequence[Measured]) -> Figure:
    """Draw each model as a point of cost and accuracy."""
    title, k = "Accuracy against CPU time", results[0].k
    rows: list[dict[str, Any]] = []
    for result in results:
        if len(result.hits):
            found = rates(result.hits, np.zeros(len(result.hits), np.int64), 1)
            rows.append(
                {
                    "series": result.name,
                    "cpu": max(float(result.numbers["cpu_seconds"]), LEAST_SECONDS),
                    "rate": float(found.rate[0]),
                    "low": float(found.low[0]),
                    "high": float(found.high[0]),
                }
            )
    if not rows:
        return Figure("cpu", title, "No event was scored, so there is nothing to draw.")
    if len(rows) == 1:
        said = (
            f"One model is one point: {rows[0]['rate']:.1%} hit rate for {rows[0]['cpu']:,.1f} CPU seconds. A "
            "comparison of several draws them against each other."
        )
        return Figure("cpu", title, said)
    of = keys([result.name for result in results])
    costs = [row["cpu"] for row in rows]
    x = logarithmic("cpu:Q", "CPU seconds, logarithmic", min(costs) / 2, max(costs) * 2)
    base = alt.Chart(data(rows)).encode(x=x, color=colours(of))
    y = alt.Y("rate:Q", title=f"hit rate @{k}", axis=alt.Axis(format=".0%"), scale=alt.Scale(zero=True))
    bars = base.mark_rule(strokeWidth=2, opacity=0.6).encode(y="low:Q", y2="high:Q")
    dots = base.mark_point(filled=True, size=130, opacity=1).encode(
        y=y, tooltip=[tip("series:N"), tip("cpu:Q", ".3~s"), tip("rate:Q", ".2%")]
    )
    said = "Up is better, left is cheaper. Bars are 95 % intervals. The time is that of the whole replay, all threads."
    return Figure("cpu", title, said, bars + dots, legend_of(of))


def latency(results: Sequence[Measured]) -> Figure:
    """Draw how long lists took."""
    title = "Latency"
    rows = [row for result in results for row in _histogram(result)]
    if not rows:
        return Figure("latency", title, "No list was timed, so there is nothing to draw.")
    of = keys([result.name for result in results])
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    x = logarithmic("low:Q", "milliseconds, logarithmic", low, high)
    y = alt.Y("share:Q", title="share of lists", axis=alt.Axis(format=".0%"))
    base = alt.Chart(data(rows)).encode(x=x, color=colours(of))
    tooltip = [tip("series:N"), tip("low:Q", ".3~g", "ms"), tip("share:Q", ".1%")]
    said = "From the moment an event is read to its finished list, a whole micro-batch of the replay together."
    if len(results) > 1:
        steps = base.mark_line(interpolate="step-after", strokeWidth=2).encode(y=y, tooltip=tooltip)
        return Figure("latency", title, said, steps, legend_of(of))
    told = results[0].numbers["latency_us"]
    marks = [{"at": told[name] / 1_000.0, "name": name} for name in ("p50", "p99") if told[name]]
    bars = base.mark_bar(stroke="var(--card)", strokeWidth=1).encode(x2="high:Q", y=y, y2=alt.Y2Datum(0))
    rules = alt.Chart(data(marks)).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="at:Q")
    names = alt.Chart(data(marks)).mark_text(align="left", dx=4, color=INK, baseline="top")
    labels = names.encode(x="at:Q", y=alt.value(0), text="name:N")
    said += (
        f" Half of all lists took less than {told['p50'] / 1_000:.2f} ms, 99 % less than {told['p99'] / 1_000:.2f} ms."
    )
    return Figure("latency", title, said, bars.encode(tooltip=tooltip) + rules + labels)


def _histogram(result: Measured) -> list[Row]:
    counts = result.latency
    whole = len(counts) // MERGED * MERGED
    merged = counts[:whole].reshape(-1, MERGED).sum(axis=1)
    some = np.flatnonzero(merged)
    if not len(some):
        return []
    total = float(merged.sum())
    first, last = max(int(some[0]) - 1, 0), min(int(some[-1]) + 2, len(merged))
    edges = LOWEST * 1_000.0 * 2.0 ** (np.arange(first, last + 1) * MERGED / PER_DOUBLING)
    return [
        {"series": result.name, "low": float(edges[n]), "high": float(edges[n + 1]), "share": merged[first + n] / total}
        for n in range(last - first)
    ]
