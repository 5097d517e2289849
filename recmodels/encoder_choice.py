"""Chooses an encoder for a River estimator: it is tried on a few rows of words, as it is and behind encoders."""

import inspect
from collections.abc import Collection, Iterator
from itertools import product
from statistics import fmean
from typing import Any, Final

from river import base, compose
from river.active.base import ActiveLearningClassifier

from recmodels.word_encoder import Numbers, RateEncoder, WordEncoder, Words

MOST_MIXED: Final = 4
"""Number of fields of the context of which every mixture of words and numbers is tried."""


class NoWordsError(ValueError):
    """An estimator cannot learn from users and items. The message says what it raised and what to do."""


def with_words(estimator: base.Estimator, context: Collection[str] = ()) -> base.Estimator:
    """Return an estimator that learns from words: the same one if it does, otherwise one with a `WordEncoder`.

    A fresh copy of the estimator is tried on a few rows of users and items. If it fails, or gives all items one score,
    these are tried in turn:

    1. The models that it consists of get an encoder, each one that needs it.
    2. The whole gets an encoder in front. In a pipeline the encoder stands before the first step that fails. Words
       then go around the transformers of numbers, such as a scaler.
    3. The whole gets a `RateEncoder` in front.

    Args:
        estimator: A classifier or regressor, or a pipeline that ends in one.
        context: Names of further fields of a row. They may be words or numbers, so both are tried.

    Raises:
        NoWordsError: Nothing of this helps.

    >>> from river import linear_model, preprocessing, tree
    >>> print(with_words(linear_model.LogisticRegression()))
    WordEncoder | LogisticRegression
    >>> print(with_words(preprocessing.StandardScaler() | linear_model.LogisticRegression()))
    Numbers | StandardScaler + Words | WordEncoder | LogisticRegression
    >>> forest = tree.HoeffdingTreeClassifier()
    >>> with_words(forest) is forest
    True
    """
    return _Trial(context).with_words(estimator)


class _Trial:
    """Tries estimators on rows of user, item and context."""

    def __init__(self, context: Collection[str]) -> None:
        kinds = product(("some word", 1.0), repeat=len(context))
        some = kinds if len(context) <= MOST_MIXED else [(kind,) * len(context) for kind in ("some word", 1.0)]
        self._contexts = [dict(zip(context, values, strict=True)) for values in some]

    def with_words(self, estimator: base.Estimator) -> base.Estimator:
        working: base.Estimator | None = None
        first_error: Exception | None = None
        for candidate, context in product(self._candidates(estimator), self._contexts):
            is_as_given = working is estimator or candidate is estimator
            if working is estimator and isinstance(_first_step(candidate), RateEncoder):
                break  # what works as it is given, such as a tree that splits later, keeps its words
            try:
                chosen, other = self._scores(candidate, context, *((1, 6) if is_as_given else (5, 2)))
                if chosen > other or (is_as_given and chosen != other):
                    return candidate
                working = working or candidate
            except Exception as error:  # an estimator may raise anything at what it does not expect
                first_error = first_error or error
        if working is None:
            said = f"{type(first_error).__name__}: {first_error}".rstrip(": ").partition("\n")[0]
            name = str(estimator) if isinstance(estimator, compose.Pipeline) else type(estimator).__name__
            raise NoWordsError(
                f"{name} cannot learn from user and item ({said}). Put transformers before it that make numbers of "
                "them, or choose another estimator: docs/models.md lists those that work"
            ) from first_error
        return working

    def _candidates(self, estimator: base.Estimator) -> Iterator[base.Estimator]:
        yield estimator
        if isinstance(estimator, compose.Pipeline):
            yield from self._around(estimator)
            return
        if (inner := self._with_words_inside(estimator)) is not estimator:
            yield inner
        yield compose.Pipeline(WordEncoder(), estimator)
        yield compose.Pipeline(RateEncoder(), estimator)

    def _around(self, pipeline: compose.Pipeline) -> Iterator[base.Estimator]:
        """Yield a pipeline whose last step takes words, and whose transformers of numbers are not shown any."""
        *transformers, (name, last) = pipeline.steps.items()
        made = self._made(last)
        count = next((k for k in range(len(transformers)) if not self._transforms(transformers[: k + 1])), None)
        if count is not None:
            numbers = compose.Pipeline(Numbers(), *transformers[count:])
            split = compose.TransformerUnion(("numbers", numbers), ("words", Words()))
            transformers = [*transformers[:count], ("split", split)]
        steps = list(made.steps.items()) if isinstance(made, compose.Pipeline) else [(name, made)]
        yield compose.Pipeline(*transformers, *steps)

    def _with_words_inside(self, estimator: base.Estimator) -> base.Estimator:
        """Return the estimator with models as arguments that take words."""
        changed: dict[str, Any] = {}
        for name in inspect.signature(type(estimator)).parameters:
            value = getattr(estimator, name, None)
            if isinstance(value, list | tuple):
                made = [self._made(one) for one in value]
                if any(a is not b for a, b in zip(made, value, strict=True)):
                    changed[name] = made
            elif (one := self._made(value)) is not value:
                changed[name] = one
        return estimator.clone(changed) if changed else estimator

    def _made(self, value: Any) -> Any:
        if not isinstance(value, base.Classifier | base.Regressor):
            return value
        try:
            return self.with_words(value)
        except NoWordsError:
            return value

    def _scores(
        self, estimator: base.Estimator, context: dict[str, Any], pairs: int, rounds: int
    ) -> tuple[float, float]:
        """Try a fresh copy. Return the mean score of the chosen items for a new user, and that of the others.

        It raises what the estimator raises."""
        copy = estimator.clone()
        is_classifier = isinstance(copy, base.Classifier)
        for row, chosen in _rows(context, pairs, rounds):
            copy.learn_one(row, chosen if is_classifier else float(chosen))
            score_of(copy, row)
        rows = [{**context, "user": "\0nobody", "item": item} for item in _items(pairs)]
        return fmean(score_of(copy, row) for row in rows[::2]), fmean(score_of(copy, row) for row in rows[1::2])

    def _transforms(self, steps: list[tuple[str, base.Estimator]]) -> bool:
        """Say whether transformers take words in some context."""
        for context in self._contexts:
            copy = compose.Pipeline(*steps).clone()
            try:
                for row, chosen in _rows(context):
                    copy.learn_one(row, chosen)
                    copy.transform_one(row)
            except Exception:  # a transformer may raise anything at a word
                continue
            return True
        return False


def _first_step(estimator: base.Estimator) -> base.Estimator:
    return next(iter(estimator.steps.values())) if isinstance(estimator, compose.Pipeline) else estimator


def _items(pairs: int) -> list[str]:
    return [f"{kind}{k}" for k in range(pairs) for kind in ("chosen", "other")]


def _rows(
    context: dict[str, Any], pairs: int = 1, rounds: int = 6
) -> Iterator[tuple[dict[base.typing.FeatureName, Any], bool]]:
    """Yield rows in which every other item is always chosen, and the others never."""
    for _, user, item in product(range(rounds), ("\0try1", "\0try2"), _items(pairs)):
        yield {**context, "user": user, "item": item}, item.startswith("chosen")


def score_of(estimator: base.Estimator, row: dict[base.typing.FeatureName, Any]) -> float:
    """Return what a regressor predicts, or a classifier's probability of True. A classifier without probabilities has
    0 or 1."""
    if not isinstance(estimator, base.Classifier):
        predicted = estimator.predict_one(row)
        return 0.0 if predicted is None else float(predicted)
    if isinstance(estimator, ActiveLearningClassifier):  # it would draw whether to ask for the label
        estimator = estimator.classifier
    try:
        chances = estimator.predict_proba_one(row)
    except NotImplementedError:
        return float(estimator.predict_one(row) is True)
    return float(chances.get(True, 0.0))
