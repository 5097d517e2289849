"""Metrics of what a replay scored, at several lengths of list, over all of it and over time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.measures import MEASURES, mean_value

OF_ALL = [name for name, measure in MEASURES.items() if measure.cold is None]
"""The measures that all scored events count in."""


def metrics_at(ks: Sequence[int], position: NDArray[np.int32], served: NDArray[np.int32]) -> dict[str, float]:
    """Return hit rate, NDCG, reciprocal rank and the hit rate of the served lists, each as `name@k`.

    Args:
        ks: Lengths of list.
        position, served: [events] where the item stood in the fresh and in the served list, from 0; -1: not in it.

    >>> metrics_at([1, 10], np.array([0, 2, -1, 10]), np.array([-1, -1, 0, -1]))
    {'hit_rate@1': 0.25, 'ndcg@1': 0.25, 'mrr@1': 0.25, 'served_hit_rate@1': 0.25,
     'hit_rate@10': 0.5, 'ndcg@10': 0.375, 'mrr@10': 0.3333333333333333, 'served_hit_rate@10': 0.25}
    """
    columns = {"position": position, "served": served}
    return {f"{name}@{k}": mean_value(f"{name}@{k}", columns) for k in ks for name in OF_ALL}


def series(outcomes: Mapping[str, NDArray[Any]], window: int, ks: Sequence[int]) -> list[dict[str, float]]:
    """Return the metrics of each `window` scored events in a row; the last point may have fewer.

    Each point says how many events were `scored`, and of the first of them its number in the log (`first`) and its
    `time` in Unix seconds.

    Args:
        outcomes: Columns of `flows.outcomes.Outcomes`, by name.
        window: So many scored events make a point.
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
        points.append(point | metrics_at(ks, part["position"], part["served"]))
    return points
