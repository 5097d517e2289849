"""Looks at a model while it learns: how its weights move, what its lists hold, and, at the end, the model itself."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from recmodels.base import Example, Recommender, Step

FIRST_STRIDE: Final = 64
"""Events between two looks at the weights, at first."""
MOST_LOOKS: Final = 256
"""Where there are so many, every other goes, and the next are twice as far apart: enough for a line of a log of any
length."""


class Look(NamedTuple):
    """The weights of a model at one moment."""

    learned: int
    """Events learned by then."""
    weights: Mapping[str, float]
    """By the name of the column."""


class ModelObserver:
    """Is told of every batch that a model has learned, and changes nothing.

    Attributes:
        model: The model at work; None until it has learned something.
        looks: Its weights over time, at most `MOST_LOOKS`; none for a model without weights.
        listed: How often each item was in a list that the model made.
        touched: How often each item was interacted with in a way that speaks for it.

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
        """Note what a batch was and what the model said of it."""
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
