"""Figures of quality: hit rate over the log, and the loss by stale lists."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from flows.report.binning import rates, windows
from flows.report.data import Measured
from flows.report.theme import INK, Chart, Figure, Key, Row, colours, data, keys, legend_of, tip

POINTS = 40
"""Maximum number of points of a line over time."""
EVENTS = alt.X("event:Q", title="event of the log", axis=alt.Axis(format="~s"))
RATE = alt.Axis(format=".0%")


def over_time(results: Sequence[Measured], window: int | None = None) -> Figure:
    """Draw the hit rate of each model over the log.

    Args:
        results: Data of the replays.
        window: Events of one point. None: at most 40 points.
    """
    title, k = "Hit rate over the log", results[0].k
    rows = [row for result in results for row in _line(result, result.hits, result.name, window)]
    if not rows:
        return Figure("time", title, "No event was scored, so there is nothing to draw.")
    of = keys([result.name for result in results])
    base = alt.Chart(data(rows)).encode(x=EVENTS, color=colours(of))
    band = base.mark_area(opacity=0.18, strokeWidth=0).encode(
        y=alt.Y("low:Q", title=f"hit rate @{k}", axis=RATE), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2).encode(y="rate:Q")
    dots = base.mark_point(filled=True, size=36, opacity=0).encode(
        y="rate:Q",
        tooltip=[tip("series:N"), tip("event:Q", ","), tip("rate:Q", ".2%"), tip("scored:Q")],
    )
    said = (
        f"Share of events whose item was among the first {k} of the list just before. Each point stands for the "
        f"{_about(rows)} scored events up to it; the band is its 95 % interval (Wilson)."
    )
    return Figure("time", title, said, band + line + dots, legend_of(of))


def served_and_fresh(results: Sequence[Measured], window: int | None = None) -> Figure:
    """Draw the served hit rate against the fresh hit rate, over time or model by model."""
    title = "Served against fresh"
    if not any(len(result.hits) for result in results):
        return Figure("served", title, "No event was scored, so there is nothing to draw.")
    of = [Key("fresh: asked for just before the event", INK), Key("served: last emitted for the user", "var(--served)")]
    if len(results) == 1:
        (result,) = results
        lost = result.hit_rate - float(result.served_hits.mean())
        rows = [
            *_line(result, result.hits, of[0].name, window),
            *_line(result, result.served_hits, of[1].name, window),
        ]
        base = alt.Chart(data(rows)).encode(x=EVENTS, color=colours(of))
        band = base.mark_area(opacity=0.15, strokeWidth=0).encode(
            y=alt.Y("low:Q", title=f"hit rate @{result.k}", axis=RATE), y2="high:Q"
        )
        said = (
            f"Users are served the list that was made after their last event. Over the whole log that costs "
            f"{lost:.1%} of hit rate: what others did meanwhile is not in it."
        )
        return Figure("served", title, said, band + base.mark_line(strokeWidth=2).encode(y="rate:Q"), of)
    said = "The list just before each event, and the one the output topic held: the way between them is staleness."
    return Figure("served", title, said, _dumbbell(results, of), of)


def _line(result: Measured, hits: Any, series: str, window: int | None) -> list[Row]:
    if not len(hits):
        return []
    of = windows(len(hits), POINTS, window)
    count = int(of[-1]) + 1
    last = np.append(np.flatnonzero(np.diff(of)), len(of) - 1)
    found = rates(hits, of, count)
    columns = (result.outcomes["number"][last].tolist(), *(column.tolist() for column in found))
    return [
        {"series": series, "event": event + 1, "scored": scored, "rate": rate, "low": low, "high": high}
        for event, scored, rate, low, high in zip(*columns, strict=True)
    ]


def _about(rows: Sequence[Row]) -> str:
    return f"{float(np.median([row['scored'] for row in rows])):,.0f}"


def _dumbbell(results: Sequence[Measured], of: Sequence[Key]) -> Chart:
    rows = [
        {
            "model": result.name,
            "fresh": result.hit_rate,
            "served": float(result.served_hits.mean()) if len(result.hits) else 0.0,
        }
        for result in results
    ]
    base = alt.Chart(data(rows)).encode(
        y=alt.Y("model:N", title=None, sort=None, axis=alt.Axis(labelLimit=130, domain=False))
    )
    title = f"hit rate @{results[0].k}"
    way = base.mark_rule(strokeWidth=3, color="var(--grid)").encode(
        x=alt.X("served:Q", title=title, axis=RATE), x2="fresh:Q"
    )
    dots = [
        base.mark_point(filled=True, size=110, color=key.colour, opacity=1).encode(
            x=alt.X(f"{field}:Q", title=title, axis=RATE),
            tooltip=[tip("model:N"), alt.Tooltip(f"{field}:Q", format=".2%")],
        )
        for field, key in zip(("fresh", "served"), of, strict=True)
    ]
    return alt.layer(way, *dots)
