"""Observer of a model's weights, for the metrics."""

from collections.abc import Mapping, Sequence
from typing import Final

from recmodels.base import Example, Recommender, Step

STRIDE: Final = 256
"""Events between two looks at the weights."""


class WeightsObserver:
    """Receives every batch that a model has learned, and keeps the newest weights.

    Attributes:
        weights: Weights by name of the column. Empty for a model without members.
        drifts: Numbers of the newest events after which the model detected drift.

    >>> from recmodels import Blend
    >>> observer, model = WeightsObserver(), Blend()
    >>> examples = [Example("ann", "tea")]
    >>> observer.after(model, examples, model.step_many(examples, n=1))
    >>> "factors" in observer.weights, observer.drifts
    (True, [])
    """

    def __init__(self) -> None:
        self.weights: Mapping[str, float] = {}
        self.drifts: list[int] = []
        self._left = 0

    def after(self, model: Recommender, examples: Sequence[Example], steps: Sequence[Step]) -> None:
        """Look at the weights once in `STRIDE` events."""
        self._left -= len(examples)
        if self._left <= 0:
            self._left = STRIDE
            self.weights = model.member_weights()
            self.drifts = list(model.drift_moments)
