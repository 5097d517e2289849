"""Base of models that wrap another model and change only its lists."""

from collections.abc import Collection, Sequence

from recmodels.base import Context, Example, Recommender


class Wrapper(Recommender):
    """Delegates everything but the lists to another model.

    Args:
        model: Any model.
    """

    def __init__(self, model: Recommender) -> None:
        if not isinstance(model, Recommender):
            raise ValueError(f"expected model to be a Recommender; got {type(model).__name__}")
        super().__init__(repeats=model.repeats, seed=model.seed)
        self.model = model
        self.uses_kernels = model.uses_kernels
        self.scores_are_probabilities = model.scores_are_probabilities

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Have the model learn one interaction."""
        self.model.learn_one(user, item, y, x)

    def score_many(self, examples: Sequence[Example], n: int = 10, scored: Sequence[bool] = ()) -> list[int | None]:
        """Score and learn examples. Each list is made as in `step_many`, since the wrapper decides what is in it."""
        steps = self.step_many(examples, n, score=True)
        return [step.position if not scored or scored[number] else None for number, step in enumerate(steps)]

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        """Return the result of the wrapped model."""
        return self.model.predict_one(user, item, x)

    def predict_many(self, user: str, items: Sequence[str], x: Context | None = None) -> Sequence[float]:
        """Return the result of the wrapped model."""
        return self.model.predict_many(user, items, x)

    def rank(self, user: str, items: Collection[str], x: Context | None = None) -> list[str]:
        """Order given items as the model does."""
        return self.model.rank(user, items, x)

    def related(self, item: str, n: int = 10) -> list[tuple[str, float]]:
        """Return the result of the wrapped model."""
        return self.model.related(item, n)

    def trending(self, n: int = 10, tag: str = "") -> list[tuple[str, float]]:
        """Return the result of the wrapped model."""
        return self.model.trending(n, tag)

    def tags(self, item: str) -> list[str]:
        """Return the result of the wrapped model."""
        return self.model.tags(item)

    @property
    def has_item_lists(self) -> bool:
        """Whether the model has them."""
        return self.model.has_item_lists

    def member_weights(self) -> dict[str, float]:
        """Return the weights of the wrapped model."""
        return self.model.member_weights()

    @property
    def drift_moments(self) -> list[int]:
        """Drift moments of the wrapped model."""
        return self.model.drift_moments

    @property
    def unwrapped(self) -> Recommender:
        """The wrapped model that counts users and items."""
        return self.model.unwrapped

    def allocate(self) -> None:
        """Lay out the memory of the model."""
        self.model.allocate()

    def learn_item(self, item: str, x: Context | None = None, available: bool | None = None) -> None:
        """Have the model learn an item's attributes and availability."""
        self.model.learn_item(item, x, available)

    def forget_one(self, user: str) -> None:
        """Erase a user from the model."""
        self.model.forget_one(user)

    def enable_undo(self) -> None:
        """Have the model keep what it needs to take interactions back."""
        self.model.enable_undo()

    @property
    def without_undo(self) -> list[str]:
        """Names of the model's members that cannot take an interaction back."""
        return self.model.without_undo

    def undo_one(self, user: str, item: str, kind: str = "", y: float = -1.0, x: Context | None = None) -> bool:
        """Have the model take back an interaction."""
        return self.model.undo_one(user, item, kind, y, x)

    def has_seen(self, user: str, item: str) -> bool:
        """Return the result of the wrapped model."""
        return self.model.has_seen(user, item)

    def seen_by(self, user: str) -> list[str]:
        """Return the result of the wrapped model."""
        return self.model.seen_by(user)

    def knows(self, item: str) -> bool:
        """Return the result of the wrapped model."""
        return self.model.knows(item)

    def is_available(self, item: str) -> bool:
        """Return the result of the wrapped model."""
        return self.model.is_available(item)

    def may_list(self, user: str, item: str) -> bool:
        """Return the result of the wrapped model."""
        return self.model.may_list(user, item)

    def _unit_test_skips(self) -> dict[str, str]:
        return self.model._unit_test_skips()
