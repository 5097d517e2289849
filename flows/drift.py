"""Drift: where in a log the hit rate changed for good, as ADWIN finds it."""

from typing import Any, Final

from numpy.typing import NDArray
from river.drift import ADWIN

DELTA: Final = 0.0002
"""How often a change may be seen where there is none: a tenth of River's own, as a log has many windows to fail in."""


def drift_points(hits: NDArray[Any], delta: float = DELTA) -> list[int]:
    """Return after which scored events the hit rate had changed, as row numbers.

    Args:
        hits: (rows,) whether each scored event was a hit, in the order of the log.
        delta: Confidence of each test; smaller finds less.

    See Bifet and Gavaldà, SDM 2007, "Learning from time-changing data with adaptive windowing".

    >>> import numpy as np
    >>> hits = np.random.default_rng(0).random(4_000) < np.repeat([0.2, 0.5], 2_000)
    >>> drift_points(hits)
    [2079]
    """
    detector = ADWIN(delta=delta)
    found = []
    for row, hit in enumerate(hits.tolist()):
        detector.update(float(hit))
        if detector.drift_detected:
            found.append(row)
    return found
