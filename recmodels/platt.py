"""Platt scaling, online: a classifier's scores made probabilities by a second, tiny classifier."""

from math import exp, log
from typing import Any

from river import base, linear_model, optim

LARGEST_LOGIT = 20.0


class PlattScaling(base.Wrapper, base.Classifier):
    """Wraps a binary classifier whose probabilities are off, and learns online by how much.

        P(True) = 1 / (1 + exp(-(a z + b))),    z = log(p / (1 - p)),    p what the classifier says

    `a` and `b` are River's logistic regression with `z` as its one feature. It learns each example before the
    classifier does, so that it sees the classifier as it is on what it does not know. River has no class for this.

    Args:
        classifier: Any binary classifier of River, or a pipeline that ends in one.
        rate: Learning rate of a and b, which begin at 1 and 0.

    Source: Platt, Probabilistic Outputs for Support Vector Machines, Advances in Large Margin Classifiers, 1999.

    >>> import random
    >>> draw, model = random.Random(0), PlattScaling(linear_model.LogisticRegression(optim.SGD(0.0), intercept_lr=0.0))
    >>> for _ in range(20_000):
    ...     model.learn_one({"x": 1.0}, draw.random() < 0.2)
    >>> plain, scaled = model.classifier.predict_proba_one({"x": 1.0}), model.predict_proba_one({"x": 1.0})
    >>> plain[True], round(scaled[True], 1)
    (0.5, 0.2)
    """

    def __init__(self, classifier: base.Classifier, rate: float = 0.01) -> None:
        self.classifier = classifier
        self.rate = rate
        self._scaling = linear_model.LogisticRegression(
            optim.SGD(rate), intercept_lr=rate, initializer=optim.initializers.Constant(1.0)
        )

    @property
    def _wrapped_model(self) -> base.Classifier:
        return self.classifier

    @classmethod
    def _unit_test_params(cls) -> Any:
        yield {"classifier": linear_model.LogisticRegression()}

    @property
    def _multiclass(self) -> bool:
        return False

    def learn_one(self, x: dict[str, Any], y: bool) -> None:
        """Learn an example: first the scaling, then the classifier."""
        self._scaling.learn_one({"logit": self._logit(x)}, y)
        self.classifier.learn_one(x, y)

    def predict_proba_one(self, x: dict[str, Any]) -> dict[bool, float]:
        """Return the scaled probabilities of False and True."""
        a, b = self._scaling.weights.get("logit", 1.0), self._scaling.intercept
        p = sigmoid(a * self._logit(x) + b)
        return {False: 1.0 - p, True: p}

    def _logit(self, x: dict[str, Any]) -> float:
        return logit(self.classifier.predict_proba_one(x).get(True, 0.5))


def logit(p: float) -> float:
    """Return log(p / (1 - p)), between minus and plus 20."""
    if not 0.0 < p < 1.0:
        return LARGEST_LOGIT if p >= 1.0 else -LARGEST_LOGIT
    return max(min(log(p / (1.0 - p)), LARGEST_LOGIT), -LARGEST_LOGIT)


def shifted(p: float, by: float) -> float:
    """Return a probability whose logit has been moved.

    >>> round(shifted(0.5, log(1 / 9)), 6)
    0.1
    """
    return sigmoid(logit(p) + by)


def sigmoid(z: float) -> float:
    """Return 1 / (1 + exp(-z)), of a `z` between minus and plus 40: beyond that the probability is 0 or 1 anyhow."""
    return 1.0 / (1.0 + exp(-max(min(z, 2 * LARGEST_LOGIT), -2 * LARGEST_LOGIT)))
