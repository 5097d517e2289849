"""Floor of the time: a model that does nothing, so that only the flow's own time is measured."""

from collections.abc import Sequence

from recmodels import Example, Recommender, Step
from recmodels.base import Context


class Constant(Recommender):
    """Gives all users the same list."""

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Learn nothing."""

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        """Give all items the same score."""
        return 0.0

    def step_many(self, examples: Sequence[Example], n: int = 10, score: bool = False) -> list[Step]:
        """Give each example the same list."""
        step = Step(-1, [str(place) for place in range(n)], [0.5] * n)
        return [step] * len(examples)
