"""River's own models at work in the flow."""

import random
from math import isfinite
from typing import Any

from river import base, reco

from recmodels.base import Context, Recommender

LARGEST_REWARD = 1.0
"""What is above is learned as this: squared losses of large targets diverge."""
NOBODY = "\0nobody"
"""A user that no event can name: how a River model sees whoever it has not met."""


class RiverModel(Recommender):
    """Makes a recommender of a River estimator: a ranker, a classifier, a regressor, or a pipeline that ends in one.

    A ranker is taught user and item; the others are taught a dict of `user`, `item` and the context. All of them need
    to see what was not chosen, too: with each interaction, `negatives` items drawn from the catalogue are learned with
    a reward of 0. Asking for a list costs a prediction for each item of the catalogue.

    Args:
        model: The estimator.
        repeats: As for every `Recommender`.
        negatives: Items drawn per interaction.
        max_items: So many items are in the catalogue; later ones are not recommended.
        seed: Of the draws.

    >>> model = RiverModel(reco.BiasedMF(n_factors=4, seed=1), repeats="exclude")
    >>> for user, item in [("ann", "tea"), ("bob", "tea"), ("bob", "jam"), ("cat", "pie")]:
    ...     model.learn_one(user, item)
    >>> sorted(item for item, score in model.top("ann", n=3))
    ['jam', 'pie']
    """

    def __init__(
        self,
        model: base.Estimator,
        repeats: str = "allow",
        negatives: int = 1,
        max_items: int = 100_000,
        seed: int = 0,
    ) -> None:
        super().__init__(repeats=repeats, seed=seed)
        if not isinstance(model, reco.base.Ranker | base.Classifier | base.Regressor) and not hasattr(
            model, "predict_one"
        ):
            raise ValueError(f"expected a River ranker, classifier or regressor, got {type(model).__name__}")
        self.model = model
        self.negatives = negatives
        self.max_items = max_items
        self._draw = random.Random(seed)
        self._users: set[str] = set()
        self._items: list[str] = []

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Learn an interaction, and some items that were not chosen."""
        if item not in self.catalogue and len(self.catalogue) < self.max_items:
            self._items.append(item)
            self.remember(user, item)
        elif item in self.catalogue:
            self.remember(user, item)
        self._users.add(user)
        reward = min(max(y, 0.0), LARGEST_REWARD) if isfinite(y) else 0.0
        self._learn(user, item, reward, x)
        for _ in range(self.negatives if reward > 0 else 0):
            other = self._draw.choice(self._items)
            if other != item:
                self._learn(user, other, 0.0, x)
        # Some rankers add whom they are asked about. So that reads never write, the stranger is added here.
        if isinstance(self.model, reco.base.Ranker):
            self.model.predict_one(NOBODY, item)

    def _learn(self, user: str, item: str, y: float, x: Context | None) -> None:
        if isinstance(self.model, reco.base.Ranker):
            self.model.learn_one(user, item, y)
        else:
            is_classifier = hasattr(self.model, "predict_proba_one")
            self.model.learn_one(_row(user, item, x), y > 0 if is_classifier else y)

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        """Return the score: what a ranker or regressor predicts, a classifier's probability of True; 0 for an item
        that has not been seen."""
        if item not in self.catalogue:
            return 0.0
        if isinstance(self.model, reco.base.Ranker):
            return float(self.model.predict_one(user if user in self._users else NOBODY, item))
        row = _row(user, item, x)
        if hasattr(self.model, "predict_proba_one"):
            return float(self.model.predict_proba_one(row).get(True, 0.0))
        return float(self.model.predict_one(row))

    def forget_one(self, user: str) -> None:
        """Erase a user from the history and from every dict of River's model that has the user as a key. A stranger is
        what remains; what a classifier's weights have learned cannot be told apart by user."""
        super().forget_one(user)
        self._users.discard(user)
        for value in vars(self.model).values():
            if isinstance(value, dict):
                value.pop(user, None)

    def _unit_test_skips(self) -> set[str]:
        # The one-hot columns of a user are spread over a pipeline's steps, where they cannot be found.
        is_ranker = isinstance(self.model, reco.base.Ranker)
        return set() if is_ranker else {"forget_makes_a_stranger"}

    @property
    def version(self) -> str:
        """Names the model in every list it makes."""
        return f"river.{type(self.model).__name__}/1"


def _row(user: str, item: str, x: Context | None) -> dict[str, Any]:
    return {**(x or {}), "user": user, "item": item}
