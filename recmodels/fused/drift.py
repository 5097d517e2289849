"""Drift detection on the loss of the weights: River's ADWIN over means of 32 events.

The model reacts to drift at the end of a block of a fixed number of events, counted from its first event. So the moment
does not depend on the micro-batches. ADWIN restarts after `MEANS_BEFORE_RESTART` means. Its state is the list of means
since then: after a restart of the job, ADWIN is fed with them again.

Source: Bifet and Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007.
"""

from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.import_alone import import_alone

if TYPE_CHECKING:
    from river.drift import ADWIN
else:
    ADWIN = import_alone("river.drift.adwin").ADWIN

EVENTS_PER_MEAN: Final = 32
"""Number of events whose losses make one mean."""
BLOCK_EVENTS: Final = 8 * EVENTS_PER_MEAN
MEANS_BEFORE_RESTART: Final = 8_192
"""Number of means after which ADWIN restarts: a quarter of a million events."""
KEPT_MOMENTS: Final = 100
"""Number of the newest moments of drift that are remembered."""
DELTA: Final = 1e-3
"""ADWIN's probability of a false alarm at each mean."""


class DriftDetector:
    """Detects a significant rise of the loss of a model's weights. A falling loss is not drift but learning.

    >>> watch = DriftDetector()
    >>> sum(watch.add(2.0 + 0.1 * (k % 3)) for k in range(100 * BLOCK_EVENTS)), watch.moments
    (0, [])
    >>> sum(watch.add(4.0 + 0.1 * (k % 3)) for k in range(100 * BLOCK_EVENTS))
    1
    >>> watch.moments[0] // BLOCK_EVENTS in range(100, 110)
    True
    """

    def __init__(self) -> None:
        self._events = 0
        self._losses, self._sum = 0, 0.0
        """Number of losses since the last mean, and their sum."""
        self._is_drift = False
        """Whether drift was seen in this block."""
        self._moments: list[int] = []
        self._begin()

    @property
    def room(self) -> int:
        """Number of events to the end of the block."""
        return BLOCK_EVENTS - self._events % BLOCK_EVENTS

    @property
    def moments(self) -> list[int]:
        """The numbers of the events after which drift was seen, the newest `KEPT_MOMENTS`."""
        return self._moments.copy()

    def add(self, loss: float) -> bool:
        """Add one event's loss (NaN: none), and say whether it ends a block that showed drift."""
        self._events += 1
        if not isnan(loss):
            self._losses += 1
            self._sum += loss
        if self._events % EVENTS_PER_MEAN:
            return False
        if self._losses:
            if self._told == MEANS_BEFORE_RESTART:
                self._begin()
            self._is_drift |= self._tell(self._sum / self._losses)
            self._losses, self._sum = 0, 0.0
        if self._events % BLOCK_EVENTS or not self._is_drift:
            return False
        self._is_drift = False
        self._moments = [*self._moments, self._events][-KEPT_MOMENTS:]
        return True

    def dump(self) -> dict[str, NDArray[np.float64]]:
        """Return the state, with the means added so far."""
        moments = [0] * (KEPT_MOMENTS - len(self._moments)) + self._moments
        return {
            "drift_block": np.array([self._events, self._losses, self._sum, self._is_drift], np.float64),
            "drift_moments": np.array(moments, np.float64),
            "drift_means": self._means[: self._told].copy(),
        }

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump, if it has this state, and feed ADWIN with its means again."""
        if "drift_block" not in record:
            return
        self._begin()
        events, losses, self._sum, is_drift = record["drift_block"].tolist()
        self._events, self._losses, self._is_drift = int(events), int(losses), bool(is_drift)
        self._moments = [int(moment) for moment in record["drift_moments"].tolist() if moment > 0]
        for mean in record["drift_means"].tolist():
            self._tell(mean)

    def _begin(self) -> None:
        self._means: NDArray[np.float64] = np.zeros(MEANS_BEFORE_RESTART)
        self._adwin = ADWIN(delta=DELTA, clock=1, min_window_length=5)
        self._told = 0

    def _tell(self, mean: float) -> bool:
        self._means[self._told] = mean
        self._told += 1
        before = self._adwin.estimation
        self._adwin.update(mean)
        return bool(self._adwin.drift_detected and self._adwin.estimation > before)
