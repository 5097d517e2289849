"""Strangers and new items: the hit rate by how much the model had seen of either."""

from collections.abc import Sequence
from typing import Final

import altair as alt

from flows.report.binning import bin_of, names_of, rates
from flows.report.data import Measured
from flows.report.theme import Figure, Row, colours, data, keys, legend_of, tip

EDGES: Final = (0, 1, 2, 3, 5, 10, 20, 50, 100, 200)
"""Numbers of earlier events that begin a bin."""
LEAST_EVENTS: Final = 20
"""Bins of fewer events are left out: they would be all interval."""


def cold_users(results: Sequence[Measured]) -> Figure:
    """Draw the hit rate by the number of the user's earlier events."""
    said = "0 is a user's first event: all that can be offered then is what is popular."
    return _curve(results, "users", "Cold start of users", "user", said)


def cold_items(results: Sequence[Measured]) -> Figure:
    """Draw the hit rate by the number of the item's earlier events."""
    said = "0 is an item's first event: nobody could know of it, and it is a miss."
    return _curve(results, "items", "Cold start of items", "item", said)


def _curve(results: Sequence[Measured], name: str, title: str, of_whom: str, said: str) -> Figure:
    rows = [row for result in results for row in _bins(result, f"{of_whom}_events")]
    if not rows:
        return Figure(name, title, f"No bin holds {LEAST_EVENTS} scored events or more, so there is nothing to draw.")
    of = keys([result.name for result in results])
    names = [each for each in names_of(EDGES) if any(row["earlier"] == each for row in rows)]
    base = alt.Chart(data(rows)).encode(
        x=alt.X("earlier:O", title=f"earlier events of the {of_whom}", sort=names, axis=alt.Axis(labelAngle=0)),
        color=colours(of),
    )
    rate = f"hit rate @{results[0].k}"
    y = alt.Y("rate:Q", title=rate, axis=alt.Axis(format=".0%"))
    bars = base.mark_rule(strokeWidth=2, opacity=0.5).encode(y=alt.Y("low:Q", title=rate), y2="high:Q")
    line = base.mark_line(strokeWidth=2).encode(y=y)
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        y=y, tooltip=["series:N", tip("earlier:O"), tip("rate:Q", ".2%"), tip("scored:Q", ",")]
    )
    said = f"{said} Bars are 95 % intervals; bins of fewer than {LEAST_EVENTS} events are left out."
    return Figure(name, title, said, line + bars + dots, legend_of(of))


def _bins(result: Measured, column: str) -> list[Row]:
    if not len(result.hits):
        return []
    found = rates(result.hits, bin_of(result.outcomes[column], EDGES), len(EDGES))
    columns = (names_of(EDGES), *(each.tolist() for each in found))
    return [
        {"series": result.name, "earlier": earlier, "scored": scored, "rate": rate, "low": low, "high": high}
        for earlier, scored, rate, low, high in zip(*columns, strict=True)
        if scored >= LEAST_EVENTS
    ]
