"""The theme of all figures: colours, which the page sets for light and dark, and sizes."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import Any, Final, NamedTuple, TypeAlias

import altair as alt

Row: TypeAlias = Mapping[str, Any]
Chart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart

SERIES: Final = [f"var(--series-{n})" for n in range(1, 9)]
"""Colours of models or columns, in this order."""
INK, MUTED, GRID, CARD = "var(--ink)", "var(--muted)", "var(--grid)", "var(--card)"
HEIGHT: Final = 250
"""Of a figure, in pixels."""


class Key(NamedTuple):
    """A line of a figure's legend."""

    name: str
    colour: str


class Figure(NamedTuple):
    """A figure of the report."""

    name: str
    """Its anchor in the page."""
    title: str
    said: str
    """The caption, or the reason why there is no figure."""
    chart: Chart | None = None
    keys: Sequence[Key] = ()


def data(rows: Sequence[Row]) -> alt.InlineData:
    """Put rows into a figure, numbers rounded to five digits."""
    return alt.InlineData(values=[{name: _short(value) for name, value in row.items()} for row in rows])


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def keys(names: Sequence[str]) -> list[Key]:
    """Give each series its colour. Series beyond the eighth are grey."""
    return [Key(name, SERIES[n] if n < len(SERIES) else MUTED) for n, name in enumerate(names)]


def colours(of: Sequence[Key], field: str = "series") -> alt.Color:
    """Colour marks by series. The legend stands in the page, where it can wrap."""
    scale = alt.Scale(domain=[key.name for key in of], range=[key.colour for key in of])
    return alt.Color(f"{field}:N", scale=scale, legend=None)


def tip(field: str, form: str = "", title: str = "") -> alt.Tooltip:
    """Say one more thing of a mark that is pointed at, in D3's number format."""
    return alt.Tooltip(field, format=form or alt.Undefined, title=title or alt.Undefined)


def logarithmic(field: str, title: str, low: float, high: float) -> alt.X:
    """Return a logarithmic axis from `low` to `high`, both above 0, with ticks at powers of ten.

    If there is room, it has ticks at 2 and 5 times these, too.
    """
    within = range(floor(log10(low)), ceil(log10(high)) + 1)
    steps = (1, 2, 5) if len(within) < 4 else (1,)
    ticks = [step * 10.0**power for power in within for step in steps]
    axis = alt.Axis(format="~g", values=[tick for tick in ticks if low <= tick <= high])
    return alt.X(field, title=title, axis=axis, scale=alt.Scale(type="log", nice=False, domain=[low, high]))


def legend_of(of: Sequence[Key]) -> Sequence[Key]:
    """Return the legend of some series: none for a single one, which the title names."""
    return of if len(of) > 1 else ()


def spec_of(chart: Chart) -> dict[str, Any]:
    """Return a chart as the page draws it: as wide as its place, without a ground of its own."""
    axis = {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "gridColor": GRID,
        "domainColor": MUTED,
        "tickColor": MUTED,
        "labelOverlap": True,
    }
    sized = chart.properties(
        width="container", height=HEIGHT, autosize=alt.AutoSizeParams(type="fit-x", contains="padding")
    )
    spec: dict[str, Any] = sized.to_dict()
    spec["config"] = {
        "background": "transparent",
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": axis,
        "axisX": {"grid": False},
        "axisY": {"domain": False, "ticks": False, "tickCount": 5},
        "text": {"fontSize": 12, "color": INK},
    }
    return spec
