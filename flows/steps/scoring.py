"""What scores and observes the models of the step `learn`."""

from collections.abc import Sequence
from typing import Protocol

from recmodels.base import Example, Recommender, Step


class Evaluator(Protocol):
    """Decides which events of a replay are scored, and against which candidates."""

    def step_many(self, model: Recommender, examples: Sequence[Example]) -> list[Step]:
        """Score and learn examples as `Recommender.step_many` does."""

    def positions(self, model: Recommender, examples: Sequence[Example], scored: Sequence[bool]) -> list[int | None]:
        """Score and learn examples of a model whose lists are not sent.

        Args:
            model: The model.
            examples: Examples in order.
            scored: Which examples are scored, if the protocol scores them too.

        Returns:
            The position of each, as in `Step`.
        """

    def learn_item(self, item: str, available: bool | None) -> None:
        """Note an item event."""

    def forget_one(self, user: str) -> None:
        """Note an erasure."""


class Observer(Protocol):
    """Receives every batch that a model has learned, and changes nothing."""

    def after(self, model: Recommender, examples: Sequence[Example], steps: Sequence[Step]) -> None:
        """Note a batch and the model's steps."""
