"""Figure of ranks: positions of the hits in the list."""

from collections.abc import Sequence

import altair as alt
import numpy as np

from flows.report.data import Measured
from flows.report.theme import Figure, colours, data, keys, legend_of, tip


def ranks(results: Sequence[Measured]) -> Figure:
    """Draw how often the item of an event stood at each place of the list."""
    title, k = "Rank of the hits", max(result.k for result in results)
    rows = [
        {"series": result.name, "place": place, "share": share}
        for result in results
        if len(result.hits)
        for place, share in _shares(result)
    ]
    if not any(row["share"] for row in rows):
        return Figure("ranks", title, "There was no hit, so there is nothing to draw.")
    of = keys([result.name for result in results])
    chart = (
        alt.Chart(data(rows))
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X("place:O", title="place in the list", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("share:Q", title="share of scored events", axis=alt.Axis(format="~%")),
            color=colours(of),
            tooltip=["series:N", tip("place:O"), tip("share:Q", ".2%")],
        )
    )
    if len(results) > 1:
        chart = chart.encode(xOffset=alt.XOffset("series:N", sort=[key.name for key in of]))
    missed = ", ".join(f"{1.0 - result.hit_rate:.1%}" + _of(result, results) for result in results if len(result.hits))
    said = f"Not among the first {k}, and so not shown: {missed} of the events."
    return Figure("ranks", title, said, chart, legend_of(of))


def _shares(result: Measured) -> list[tuple[int, float]]:
    positions = result.outcomes["position"][result.hits]
    counts = np.bincount(positions, minlength=result.k)
    return [(place + 1, count / len(result.hits)) for place, count in enumerate(counts.tolist())]


def _of(result: Measured, results: Sequence[Measured]) -> str:
    return f" ({result.name})" if len(results) > 1 else ""
