"""The numbers at the top of the report: one row a measure, one column a model."""

import re
from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any, Final, NamedTuple

import numpy as np

from flows.report.binning import rates
from flows.report.data import Measured
from recmodels.rules.tally import SAID

HIT_RATE: Final = re.compile(r"(served_)?hit_rate@(\d+)")
"""Measures that are shares of the scored events, and so have an interval."""


class SummaryRow(NamedTuple):
    """A row of the table."""

    name: str
    values: Sequence[str]
    """By model."""


def summary(results: Sequence[Measured]) -> list[SummaryRow]:
    """Return the table of numbers of every model."""
    names = list(dict.fromkeys(name for result in results for name in result.numbers["metrics"]))
    measures = [SummaryRow(name, [_metric(result, name) for result in results]) for name in names]
    for kind in ("related", "trending"):
        rates_of = [result.numbers.get(kind, {}) for result in results]
        for name in dict.fromkeys(name for told in rates_of for name in told if name.startswith("hit_rate")):
            values = [f"{told[name]:.4f}" if name in told else "–" for told in rates_of]
            measures.append(SummaryRow(f"{name} of {kind} items", values))
    for key, said in SAID.items():
        of_rules = [result.numbers.get("rules", {}).get(key) for result in results]
        if any(value is not None for value in of_rules):
            measures.append(SummaryRow(said, ["–" if value is None else f"{value:.4f}" for value in of_rules]))
    measures += _of_challengers(results)
    rest: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("events scored", lambda told: f"{told['scored']:,}"),
        ("users, items", lambda told: f"{told['log']['users']:,}, {told['log']['items']:,}"),
        ("events per second", lambda told: f"{told['events_per_second']:,.0f}"),
        ("CPU seconds", lambda told: f"{told['cpu_seconds']:,.1f}"),
        (
            "latency p50, p99",
            lambda told: f"{told['latency_us']['p50']:,.0f}, {told['latency_us']['p99']:,.0f}\u00a0µs",
        ),
        ("peak memory", lambda told: f"{told['peak_rss_mb']:,.0f} MB"),
    ]
    return measures + [SummaryRow(name, [say(result.numbers) for result in results]) for name, say in rest]


def _of_challengers(results: Sequence[Measured]) -> list[SummaryRow]:
    """Return the rows of challengers beside the models. Empty if there is none."""
    told = [result.numbers.get("challenger") for result in results]
    if not any(told):
        return []
    return [
        SummaryRow("challenger", ["–" if each is None else each["model"] for each in told]),
        SummaryRow("its hit rate less the model's", ["–" if each is None else _difference(each) for each in told]),
    ]


def _difference(told: Mapping[str, Any]) -> str:
    found = told["difference"]
    return f"{found['mean']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"


def _metric(result: Measured, name: str) -> str:
    value = result.numbers["metrics"].get(name)
    if value is None or isnan(value):
        return "–"
    match = HIT_RATE.fullmatch(name)
    positions = result.outcomes["served" if match and match[1] else "position"]
    if match is None or not len(positions):
        return f"{value:.4f}"
    found = rates((positions >= 0) & (positions < int(match[2])), np.zeros(len(positions), np.int64), 1)
    return f"{value:.4f} ±\u00a0{float(found.high[0] - found.low[0]) / 2:.4f}"
