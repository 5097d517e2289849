"""Popularity bias: whether lists favour popular items more than users do."""

from collections.abc import Sequence

import altair as alt
import numpy as np
from numpy.typing import NDArray

from flows.report.data import Measured
from flows.report.theme import INK, Figure, Key, Row, colours, data, keys, logarithmic, tip

POINTS = 60
HEAD = 0.01
"""The share of the items that is called the most popular in the sentence."""
CHOICE = "what users chose"


def popularity_bias(results: Sequence[Measured]) -> Figure:
    """Draw which share of the places in lists the most popular items take, beside their share of the events."""
    title = "Popularity bias"
    counted = [result for result in results if result.listed.any() and result.touched.any()]
    if not counted:
        return Figure("popularity", title, "What the lists held was not counted, so there is nothing to draw.")
    touched = counted[0].touched
    items = len(touched)
    rows = _rows(touched, CHOICE)
    for result in counted:
        rows += _rows(result.listed, result.name)
    of = [Key(CHOICE, INK), *keys([result.name for result in results])]
    dashes = [[5, 4], *([[1, 0]] * len(results))]
    dash = alt.Scale(domain=[key.name for key in of], range=dashes)
    base = alt.Chart(data(rows)).mark_line(strokeWidth=2)
    chart = base.encode(
        x=logarithmic("items:Q", "items, from the most popular on", 1, max(items, 2)),
        y=alt.Y("share:Q", title="share of places, of events", axis=alt.Axis(format=".0%")),
        color=colours(of),
        strokeDash=alt.StrokeDash("series:N", scale=dash, legend=None),
        tooltip=[tip("series:N"), tip("items:Q", ","), tip("share:Q", ".1%")],
    )
    head = max(1, round(items * HEAD))
    taken = [f"{_shares(result.listed)[head - 1]:.0%}{_of(result, counted)}" for result in counted]
    said = (
        f"The {head:,} most popular of {items:,} items, {head / items:.1%}, have {_shares(touched)[head - 1]:.0%} of "
        f"the events and {', '.join(taken)} of the places in lists. A line above the dashed one favours the popular."
    )
    return Figure("popularity", title, said, chart, of)


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cumulated from the most popular on."""
    return np.cumsum(counts) / np.float64(counts.sum())


def _rows(counts: NDArray[np.int64], series: str) -> list[Row]:
    shares = _shares(counts)
    places = np.unique(np.geomspace(1, len(counts), POINTS).round().astype(int))
    return [{"series": series, "items": int(place), "share": float(shares[place - 1])} for place in places]


def _of(result: Measured, results: Sequence[Measured]) -> str:
    return f" ({result.name})" if len(results) > 1 else ""
