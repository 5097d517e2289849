"""Whether lists favour what is popular more than users do."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
from numpy.typing import NDArray

from flows.report.measured import Measured
from flows.report.theme import INK, Figure, Key, Row, colours, data, keys, tip

POINTS = 60
HEAD = 0.01
"""The share of the items that is called the most popular in the sentence."""
CHOICE = "what users chose"


def popularity_bias(results: Sequence[Measured]) -> Figure:
    """Draw which share of the places in lists the most popular items take, beside their share of the events."""
    title = "Popularity bias"
    counted = [result for result in results if result.listed and result.touched]
    if not counted:
        return Figure("popularity", title, "What the lists held was not counted, so there is nothing to draw.")
    touched = counted[0].touched or {}
    rank = _rank(touched)
    rows, said = _rows(touched, rank, CHOICE), []
    head = max(1, round(len(rank) * HEAD))
    for result in counted:
        rows += _rows(result.listed or {}, rank, result.name)
        said.append(f"{_share(result.listed or {}, rank, head):.0%} ({result.name})" if len(counted) > 1 else "")
    of = [Key(CHOICE, INK), *keys([result.name for result in results])]
    chart = (
        alt.Chart(data(rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X(
                "items:Q",
                title="items, from the most popular on",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(format="~s"),
            ),
            y=alt.Y("share:Q", title="share of places, of events", axis=alt.Axis(format=".0%")),
            color=colours(of),
            strokeDash=alt.StrokeDash(
                "series:N",
                scale=alt.Scale(domain=[key.name for key in of], range=[[5, 4], *([[1, 0]] * len(results))]),
                legend=None,
            ),
            tooltip=[tip("series:N"), tip("items:Q", ","), tip("share:Q", ".1%")],
        )
    )
    lists = ", ".join(said) if len(counted) > 1 else f"{_share(counted[0].listed or {}, rank, head):.0%}"
    sentence = (
        f"The {head:,} most popular of {len(rank):,} items, {head / len(rank):.1%}, have "
        f"{_share(touched, rank, head):.0%} of the events and {lists} of the places in lists. A line above the dashed "
        "one favours the popular."
    )
    return Figure("popularity", title, sentence, chart, of)


def _rank(touched: Mapping[str, int]) -> dict[str, int]:
    return {item: place for place, item in enumerate(sorted(touched, key=lambda item: -touched[item]))}


def _cumulated(counts: Mapping[str, int], rank: Mapping[str, int]) -> NDArray[np.float64]:
    of = np.zeros(len(rank))
    for item, count in counts.items():
        if item in rank:
            of[rank[item]] += count
    shares: NDArray[np.float64] = np.cumsum(of) / max(of.sum(), 1.0)
    return shares


def _share(counts: Mapping[str, int], rank: Mapping[str, int], head: int) -> float:
    return float(_cumulated(counts, rank)[head - 1])


def _rows(counts: Mapping[str, int], rank: Mapping[str, int], series: str) -> list[Row]:
    shares = _cumulated(counts, rank)
    places = np.unique(np.geomspace(1, len(rank), POINTS).round().astype(int))
    return [{"series": series, "items": int(place), "share": float(shares[place - 1])} for place in places]
