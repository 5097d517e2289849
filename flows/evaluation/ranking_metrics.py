"""Ranking metrics by name, with a value for each event, as means, differences and intervals need it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.errors import UsageError

Columns = Mapping[str, NDArray[Any]]
"""The columns of `flows.evaluation.outcomes.Outcomes`."""
COLD: Final = 10
"""Number of earlier events below which a user or an item is cold."""


class Metric(NamedTuple):
    """Definition of one metric by the outcomes."""

    what: str
    gain: Callable[[NDArray[Any]], NDArray[np.float64]]
    """Gain of a hit by its rank."""
    column: str = "position"
    cold: str | None = None
    """Column that must be below `COLD` for an event to count. None: all events count."""


def _one(position: NDArray[Any]) -> NDArray[np.float64]:
    return np.ones(len(position))


METRICS: Final[Mapping[str, Metric]] = {
    "hit_rate": Metric("events whose item was in the list", _one),
    "ndcg": Metric("the same, a hit counting 1 / log2(place + 1)", lambda position: 1.0 / np.log2(position + 2.0)),
    "mrr": Metric("the same, a hit counting 1 / place", lambda position: 1.0 / (position + 1.0)),
    "served_hit_rate": Metric("events whose item was in the list that a reader of the topic showed", _one, "served"),
    "served_hit_rate_any_age": Metric("the same for a reader who shows a user's own list at any age", _one, "any_age"),
    "served_hit_rate_with_requests": Metric("the same, with a list requested before each visit", _one, "with_requests"),
    "cold_user_hit_rate": Metric(f"hit rate of users with fewer than {COLD} events", _one, cold="user_events"),
    "cold_item_hit_rate": Metric(f"hit rate of items with fewer than {COLD} events", _one, cold="item_events"),
}


_ALWAYS: Final = ("position", "served", "any_age")
"""Columns that every replay has."""


def metric_names(ks: Sequence[int], requests: str = "none") -> list[str]:
    """Return the names of all metrics for lists of these lengths.

    Args:
        ks: Lengths of list.
        requests: `Protocol.requests`. Some metrics exist only with requests.

    >>> metric_names([5, 10])[:4]
    ['hit_rate@5', 'ndcg@5', 'mrr@5', 'served_hit_rate@5']
    """
    of_requests = () if requests == "none" else ("with_requests",)
    known = [name for name, measure in METRICS.items() if measure.column in (*_ALWAYS, *of_requests)]
    return [f"{name}@{k}" for k in ks for name in known]


def check_metric(name: str, ks: Sequence[int], requests: str = "none") -> None:
    """Check that a metric exists.

    Raises:
        UsageError: There is no such metric for lists of these lengths.
    """
    names = metric_names(ks, requests)
    if name not in names:
        raise UsageError(f"metric {name!r}: there is no such metric. There are: {', '.join(names)}.")


def event_values(name: str, outcomes: Columns) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return the gain of each event.

    Args:
        name: Name of a metric with its k, as in `ndcg@10`.
        outcomes: Columns of outcomes, shape (events,) each.

    Returns:
        A mask of the events that count, shape (events,), and their values, shape (counted events,).

    >>> outcomes = {"position": np.array([0, -1, 2]), "user_events": np.array([0, 40, 9])}
    >>> event_values("mrr@10", outcomes)[1].round(2).tolist()
    [1.0, 0.0, 0.33]
    >>> event_values("cold_user_hit_rate@2", outcomes)[1].tolist()
    [1.0, 0.0]
    """
    base, _, k = name.partition("@")
    measure = METRICS[base]
    position = outcomes[measure.column]
    counts = np.ones(len(position), np.bool_) if measure.cold is None else outcomes[measure.cold] < COLD
    position = position[counts]
    values = np.zeros(len(position))
    hit = (position >= 0) & (position < int(k))
    values[hit] = measure.gain(position[hit])
    return counts, values


def mean_value(name: str, outcomes: Columns) -> float:
    """Return the mean of a metric over all events that count, 0 if there is none."""
    _, values = event_values(name, outcomes)
    return float(values.mean()) if len(values) else 0.0


OF_ALL = [name for name, measure in METRICS.items() if measure.cold is None]
"""Names of the metrics in which all scored events count."""


def metrics_at(ks: Sequence[int], outcomes: Columns) -> dict[str, float]:
    """Return hit rate, NDCG, reciprocal rank and the hit rates of the served lists, each as `name@k`.

    Args:
        ks: Lengths of list.
        outcomes: Columns of outcomes, shape (events,) each. Metrics of missing columns are left out.

    >>> metrics_at([1, 10], {"position": np.array([0, 2, -1, 10]), "served": np.array([-1, -1, 0, -1])})
    {'hit_rate@1': 0.25, 'ndcg@1': 0.25, 'mrr@1': 0.25, 'served_hit_rate@1': 0.25,
     'hit_rate@10': 0.5, 'ndcg@10': 0.375, 'mrr@10': 0.3333333333333333, 'served_hit_rate@10': 0.25}
    """
    names = [name for name in OF_ALL if METRICS[name].column in outcomes]
    return {f"{name}@{k}": mean_value(f"{name}@{k}", outcomes) for k in ks for name in names}


def series(outcomes: Mapping[str, NDArray[Any]], window: int, ks: Sequence[int]) -> list[dict[str, float]]:
    """Return the metrics of each `window` consecutive scored events. The last point may have fewer.

    Each point has the number of `scored` events. It also has the number in the log (`first`) and the `time` in Unix
    seconds of its first event.

    Args:
        outcomes: Columns of `flows.evaluation.outcomes.Outcomes`, by name.
        window: Number of scored events of a point.
        ks: Lengths of list.

    >>> columns = {"number": [7, 8, 9], "time": [1.0, 2.0, 3.0], "position": [0, -1, 1], "served": [-1, -1, -1]}
    >>> points = series({name: np.array(column) for name, column in columns.items()}, 2, [5])
    >>> [(point["first"], point["scored"], point["hit_rate@5"]) for point in points]
    [(7, 2, 0.5), (9, 1, 1.0)]
    """
    points = []
    for start in range(0, len(outcomes["number"]), window):
        part = {name: column[start : start + window] for name, column in outcomes.items()}
        point = {"first": int(part["number"][0]), "time": float(part["time"][0]), "scored": len(part["number"])}
        points.append(point | metrics_at(ks, part))
    return points
