"""Encoders of words for River's estimators: users and items are words, and most estimators count with numbers only."""

import zlib
from math import log2
from numbers import Real
from typing import Any, Final

from river import base, compose

BUCKETS: Final = 1 << 20
"""Number of features for the words of one name. It bounds the memory of an estimator, whatever ids come."""


def _bucket(word: str, n_features: int) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass")) % n_features


class WordEncoder(base.Transformer):
    """One-hot encoding by hashing: each word becomes a feature of its own with the value 1. Numbers stay.

    Only the words of a row are in the result, so a prediction costs the same however large the catalogue is. Nothing
    is learned, so an unknown word is no error. Two words of one name share a feature
    with a probability of 1 / `n_features`. Source: Weinberger et al., Feature Hashing for Large Scale Multitask
    Learning, ICML 2009.

    Args:
        n_features: Number of features for the words of one name.

    >>> WordEncoder(n_features=1000).transform_one({"user": "ann", "item": "tea", "price": 2.5})
    {'user=347': 1.0, 'item=714': 1.0, 'price': 2.5}
    """

    def __init__(self, n_features: int = BUCKETS) -> None:
        self.n_features = n_features

    def transform_one(self, x: dict[base.typing.FeatureName, Any]) -> dict[base.typing.FeatureName, Any]:
        """Return the row with a feature for each word."""
        return {
            f"{name}={_bucket(value, self.n_features)}" if isinstance(value, str) else name: (
                1.0 if isinstance(value, str) else value
            )
            for name, value in x.items()
        }


class RateEncoder(base.Transformer):
    """Gives each word two numbers: how often it was chosen of the times it was seen, and log2 of 1 + these times.

    It is for estimators that need a few dense numbers, such as Gaussian naive Bayes. Users are left out, since each is
    chosen half of the time. The share starts at 1/2, as if seen twice. Words are counted by their hash, as in
    `WordEncoder`, so memory is bounded.

    Args:
        n_features: Number of counters for the words of one name.

    >>> encoder = RateEncoder()
    >>> for chosen in (True, True, False):
    ...     encoder.learn_one({"user": "ann", "item": "tea"}, chosen)
    >>> encoder.transform_one({"user": "bob", "item": "tea", "price": 2.5})
    {'item_share': 0.6, 'item_seen': 2.0, 'price': 2.5}
    """

    def __init__(self, n_features: int = BUCKETS) -> None:
        self.n_features = n_features
        self.counts: dict[tuple[base.typing.FeatureName, int], tuple[float, int]] = {}

    @property
    def _supervised(self) -> bool:
        return True  # River's pipeline hands rewards to such a transformer

    def learn_one(self, x: dict[base.typing.FeatureName, Any], y: float = 0.0) -> None:
        """Count each word."""
        for name, value in x.items():
            if isinstance(value, str) and name != "user":
                key = (name, _bucket(value, self.n_features))
                chosen, seen = self.counts.get(key, (0.0, 0))
                self.counts[key] = chosen + float(y), seen + 1

    def transform_one(self, x: dict[base.typing.FeatureName, Any]) -> dict[base.typing.FeatureName, Any]:
        """Return the row with numbers for its words."""
        made: dict[base.typing.FeatureName, Any] = {}
        for name, value in x.items():
            if not isinstance(value, str):
                made[name] = value
            elif name != "user":
                chosen, seen = self.counts.get((name, _bucket(value, self.n_features)), (0.0, 0))
                made[f"{name}_share"] = (chosen + 1.0) / (seen + 2)
                made[f"{name}_seen"] = log2(1 + seen)
        return made


class Numbers(compose.SelectType):
    """Selects the numbers of a row."""

    def __init__(self) -> None:
        super().__init__(Real)

    def __str__(self) -> str:
        return "Numbers"


class Words(compose.SelectType):
    """Selects the words of a row."""

    def __init__(self) -> None:
        super().__init__(str)

    def __str__(self) -> str:
        return "Words"
