"""Wrapper that turns a River estimator into a recommender."""

import random
from collections.abc import Iterator
from math import isfinite
from numbers import Real
from typing import Any

from river import base, compose, linear_model, preprocessing, reco

from recmodels.base import Context, Recommender
from recmodels.encoder_choice import score_of, with_words
from recmodels.rewards import bounded
from recmodels.river_seeds import repeatable
from recmodels.validation import expect_counts
from recmodels.word_encoder import RateEncoder, WordEncoder

LARGEST_REWARD = 1.0
"""Bound on rewards, since squared losses of large targets diverge."""
UNKNOWN_USER = "\0nobody"
"""Word for unknown users and words, which no event can contain."""


class RiverModel(Recommender):
    """Makes a recommender of a River estimator: a ranker, a classifier, a regressor, or a pipeline that ends in one.

    A ranker learns user and item. Other estimators learn a dict of `user`, `item` and the fields of `context`. With
    each interaction, the estimator also learns `negatives` items drawn from the catalogue, with a reward of 0. A list
    takes a prediction for each item of the catalogue.

    The estimator never learns a user's id, but a word that stands for it until the user is forgotten. So an erasure
    leaves no trace, although the weights of a classifier cannot be told apart by user.

    Args:
        model: The estimator.
        repeats: As for every `Recommender`.
        negatives: Items drawn per interaction.
        context: Names of what classifiers and regressors see of an interaction beside user and item, such as
            "device". Numbers are handed on as they are, everything else is a word, and so are user and item. An
            estimator that cannot take words gets an encoder (`recmodels.encoder_choice`).
        max_users: Bound on users. Beyond it the least recently used are dropped.
        max_items: Bound on items of the catalogue. Later items are neither learned nor recommended.
        seed: Seed of the draws. Every part of the estimator that takes a seed and has none gets it, too: then the
            estimator is a fresh clone of the argument.

    Raises:
        ValueError: The model is no such estimator, or cannot learn from user and item.

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
        context: tuple[str, ...] | None = None,
        max_users: int = 1_000_000,
        max_items: int = 100_000,
        seed: int = 0,
    ) -> None:
        super().__init__(repeats=repeats, seed=seed, max_users=max_users, max_items=max_items)
        expect_counts(0, negatives=negatives)
        is_empty = isinstance(model, compose.Pipeline) and not model.steps
        # To River, a pipeline is an instance of what its last step is.
        if is_empty or not isinstance(model, reco.base.Ranker | base.Classifier | base.Regressor):
            raise ValueError(f"expected a River ranker, classifier or regressor; got {type(model).__name__}")
        if isinstance(model, base.MultiTargetRegressor):
            raise ValueError(
                f"{type(model).__name__} predicts several targets, and the reward is one. Choose another regressor, "
                "such as tree.HoeffdingTreeRegressor"
            )
        seeded = repeatable(model, seed)
        self.model = seeded if isinstance(model, reco.base.Ranker) else with_words(seeded, context or ())
        self.negatives = negatives
        self.context = context
        self._is_ranker = isinstance(model, reco.base.Ranker)
        self._is_classifier = isinstance(model, base.Classifier)
        self._draw = random.Random(seed)
        self._words: dict[str, str] = {}  # by user, the least recently used first
        self._count = 0
        self._items: list[str] = []
        self._met: dict[tuple[str, str | None], None] = {}

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"model": reco.BiasedMF(n_factors=4, seed=1)}
        yield {"model": linear_model.LogisticRegression()}
        yield {
            "model": compose.Select("user", "item") | preprocessing.OneHotEncoder() | linear_model.LogisticRegression()
        }

    def _unit_test_skips(self) -> dict[str, str]:
        skips = super()._unit_test_skips()
        if not self._is_ranker:
            skips["check_memory_is_bounded"] = "a classifier's weights of users who have been forgotten stay"
        return skips

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Learn an interaction, and some items that were not chosen."""
        is_new = item not in self.catalogue
        if not self.register(user, item, y):
            return
        if is_new:
            self._items.append(item)
        word, reward, context = self._word(user), min(bounded(y), LARGEST_REWARD), self._context(x)
        self._learn(word, item, max(reward, 0.0), context)
        for _ in range(self.negatives if reward > 0 else 0):
            other = self._draw.choice(self._items)
            if other != item:
                self._learn(word, other, 0.0, context)
        # Some estimators add unknown ids while predicting. Add them here, so that reads never write.
        self._met.update(dict.fromkeys((name, _as_word(value)) for name, value in context.items()))
        unknown = {name: UNKNOWN_USER if isinstance(value, str) else value for name, value in context.items()}
        self._met.update(dict.fromkeys((name, _as_word(value)) for name, value in unknown.items()))
        self._predict(UNKNOWN_USER, item, unknown)

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        """Return the score: what a ranker or regressor predicts, a classifier's probability of True; 0 for an item
        that has not been seen."""
        if item not in self.catalogue:
            return 0.0
        context = {}
        for name, value in self._context(x).items():
            for known in (value, UNKNOWN_USER):
                if (name, _as_word(known)) in self._met:
                    context[name] = known
                    break
        score = self._predict(self._words.get(user, UNKNOWN_USER), item, context)
        return score if isfinite(score) else 0.0

    def forget_one(self, user: str) -> None:
        """Erase a user from the history, and from every dict of River's model that has the user as a key. What a
        classifier's weights have learned stays, under a word that nobody can trace."""
        super().forget_one(user)
        word = self._words.pop(user, None)
        for value in vars(self.model).values():
            if isinstance(value, dict):
                value.pop(word, None)

    @property
    def version(self) -> str:
        """Names the model in every list it makes."""
        named = self.model
        if isinstance(named, compose.Pipeline):
            steps = [step for step in named.steps.values() if not isinstance(step, WordEncoder | RateEncoder)]
            named = steps[0] if len(steps) == 1 else named
        return f"river.{type(named).__name__}/1"

    def _word(self, user: str) -> str:
        word = self._words.pop(user, None)
        if word is None:
            if len(self._words) == self.max_users:
                self.forget_one(next(iter(self._words)))
            self._count += 1
            word = f"\0{self._count}"
        self._words[user] = word
        return word

    def _context(self, x: Context | None) -> dict[str, Any]:
        given = {name: x[name] for name in self.context or () if x and x.get(name) is not None}
        return {name: value if isinstance(value, Real) else str(value) for name, value in given.items()}

    def _learn(self, word: str, item: str, y: float, context: Context) -> None:
        if self._is_ranker:
            self.model.learn_one(word, item, y)
        else:
            self.model.learn_one({**context, "user": word, "item": item}, y > 0 if self._is_classifier else y)

    def _predict(self, word: str, item: str, context: Context) -> float:
        if self._is_ranker:
            return float(self.model.predict_one(word, item))
        return score_of(self.model, {**context, "user": word, "item": item})


def _as_word(value: object) -> str | None:
    return value if isinstance(value, str) else None
