"""Observer of a model while it learns: its weights over time, its lists, and the final model."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from recmodels.base import Example, Recommender, Step

__all__ = ["ModelObserver"]

FIRST_STRIDE: Final = 64
"""Events between two looks at the weights, at first."""
MOST_LOOKS: Final = 256
"""Maximum number of looks. At this number every other look is dropped and the stride doubles."""


class Look(NamedTuple):
    """The weights of a model at one moment."""

    learned: int
    """Events learned by then."""
    weights: Mapping[str, float]
    """Weights by name of the column."""


class ModelObserver:
    """Records every batch that a model has learned, and changes nothing.

    Attributes:
        model: The observed model. None before the first event.
        looks: Its weights over time, at most `MOST_LOOKS`. Empty for a model without weights.
        listed: Number of lists that contained each item.
        touched: Number of positive interactions of each item.

    >>> from recmodels import Popularity
    >>> watch, model = ModelObserver(), Popularity()
    >>> for n, item in enumerate(["tea", "tea", "jam"]):
    ...     example = Example(f"user {n}", item)
    ...     watch.after(model, [example], model.step_many([example], n=1))
    >>> watch.touched, watch.listed
    (Counter({'tea': 2, 'jam': 1}), Counter({'tea': 3}))
    """

    def __init__(self) -> None:
        self.model: Recommender | None = None
        self.looks: list[Look] = []
        self.listed: Counter[str] = Counter()
        self.touched: Counter[str] = Counter()
        self._learned = 0
        self._stride = FIRST_STRIDE
        self._due = 0

    def after(self, model: Recommender, examples: Sequence[Example], steps: Sequence[Step]) -> None:
        """Record a batch and the model's answers."""
        self.model = model
        for example, step in zip(examples, steps, strict=True):
            self.listed.update(step.items)
            if example.y > 0.0:
                self.touched[example.item] += 1
        self._learned += len(examples)
        if self._learned >= self._due:
            self._look(model)

    def _look(self, model: Recommender) -> None:
        weights = model.member_weights()
        if weights:
            self.looks.append(Look(self._learned, weights))
        if len(self.looks) >= MOST_LOOKS:
            del self.looks[1::2]
            self._stride *= 2
        self._due = self._learned + self._stride
