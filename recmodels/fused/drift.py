"""Drift of a stream, seen in the loss of the weights: River's ADWIN over the means of a few events each.

Drift is acted upon where a block of a fixed number of events ends, counted from the first that the model learned: so
when that is never depends on how a stream is cut into micro-batches. ADWIN begins anew after some thousand means, and
what it knows is what it has been told since: a restarted model tells it again.

Source: Bifet and Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007.
"""

from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.river_import import import_alone

if TYPE_CHECKING:
    from river.drift import ADWIN
else:
    ADWIN = import_alone("river.drift.adwin").ADWIN

EVENTS_PER_MEAN: Final = 32
"""Events whose losses make one mean."""
BLOCK_EVENTS: Final = 8 * EVENTS_PER_MEAN
MEANS_BEFORE_RESTART: Final = 8_192
"""So many means ADWIN is told before it begins anew: a quarter of a million events."""
KEPT_MOMENTS: Final = 100
"""So many of the newest moments of drift are remembered."""
DELTA: Final = 1e-3
"""Chance of a false alarm at each mean, as ADWIN counts it."""


class DriftDetector:
    """Tells when the loss of a model's weights has become larger, beyond chance. One that falls is no drift: it is
    what learning looks like.

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
        """Since the last mean."""
        self._is_drift = False
        """Whether drift was seen in this block."""
        self._moments: list[int] = []
        self._begin()

    @property
    def room(self) -> int:
        """How many events there are to the end of the block."""
        return BLOCK_EVENTS - self._events % BLOCK_EVENTS

    @property
    def moments(self) -> list[int]:
        """The numbers of the events after which drift was seen, the newest `KEPT_MOMENTS`."""
        return self._moments.copy()

    def add(self, loss: float) -> bool:
        """Count one event with its loss; NaN if it has none. Say whether a block ends with it that showed drift."""
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
        """Return the state: of the means only those there are."""
        moments = [0] * (KEPT_MOMENTS - len(self._moments)) + self._moments
        return {
            "drift_block": np.array([self._events, self._losses, self._sum, self._is_drift], np.float64),
            "drift_moments": np.array(moments, np.float64),
            "drift_means": self._means[: self._told].copy(),
        }

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `dump` gave, if the record holds it: ADWIN is told again what it had been told."""
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
