"""Conversion of a metric's sums to plain numbers and back, for snapshots."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recmodels.evaluation.metrics import Calibration, RankingMetrics


def numbers_of_metrics(metrics: RankingMetrics | Calibration) -> dict[str, Any]:
    """Return the sums of a metric as plain numbers."""
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(metrics).items()}


def take_over_metrics(metrics: RankingMetrics | Calibration, numbers: Mapping[str, Any]) -> None:
    """Set the sums of a metric to a result of `numbers_of_metrics`."""
    for name, value in numbers.items():
        own = getattr(metrics, name)
        setattr(metrics, name, np.array(value, own.dtype) if isinstance(own, np.ndarray) else value)
