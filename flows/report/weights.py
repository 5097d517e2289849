"""The weights of the blend over time, and the moments of drift."""

from collections.abc import Sequence

import altair as alt

from flows.report.data import Measured
from flows.report.theme import INK, SERIES, Chart, Figure, Key, colours, data, tip

TITLE = "Weights of the blend"
MOST_DRIFTS = 30


def weights(results: Sequence[Measured]) -> list[Figure]:
    """Draw the weights of each model that learns any."""
    figures = [_of_one(result, n) for n, result in enumerate(results) if _moves(result)]
    if figures:
        return figures
    said = "No model here learns how much its members count, so there is nothing to draw; blend does."
    return [Figure("weights", TITLE, said)]


def _moves(result: Measured) -> bool:
    return any(look.weights != result.looks[0].weights for look in result.looks)


def _of_one(result: Measured, number: int) -> Figure:
    last = result.looks[-1].weights
    rows = [
        {"series": column, "event": look.learned, "weight": weight}
        for look in result.looks
        for column, weight in look.weights.items()
    ]
    moving = sorted(last, key=lambda column: -max(abs(look.weights.get(column, 0.0)) for look in result.looks))
    shown = set(moving[: len(SERIES)])
    of = [Key(column, SERIES[n]) for n, column in enumerate(column for column in last if column in shown)]
    rows = [row for row in rows if row["series"] in shown]
    base = alt.Chart(data(rows)).encode(
        x=alt.X("event:Q", title="events learned", axis=alt.Axis(format="~s")),
        y=alt.Y("weight:Q", title="weight"),
        color=colours(of),
    )
    lines = base.mark_line(strokeWidth=2).encode(tooltip=[tip("series:N"), tip("event:Q", ","), tip("weight:Q", ".3f")])
    drifts = [{"event": event, "drift": "drift"} for event in result.drifts[-MOST_DRIFTS:]]
    said = "How much each thing that a member says of an item counts, as a mean over the kinds of users."
    if len(last) > len(shown):
        said += f" The {len(shown)} that came to count most, of {len(last)}."
    said += (
        " Dashed lines: where the model saw drift, its loss rising beyond chance."
        if drifts
        else " The model saw no drift: its loss never rose beyond chance."
    )
    chart: Chart = alt.layer(lines)
    if drifts:
        marks = alt.Chart(data(drifts)).mark_rule(color=INK, strokeDash=[3, 4], strokeWidth=1, opacity=0.7)
        chart = lines + marks.encode(x="event:Q", tooltip=[tip("drift:N"), tip("event:Q", ",")])
    title = TITLE if not number else f"{TITLE}: {result.name}"
    return Figure("weights" if not number else f"weights-{number}", title, said, chart, of)
