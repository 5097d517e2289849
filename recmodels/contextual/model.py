"""A River pipeline over features of user, item and context, whose scores are calibrated probabilities."""

import pickle
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import isnan, log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base, compose, linear_model, optim, preprocessing

from recmodels.base import Context, Example, Recommender, Step, time_of
from recmodels.contextual.features import features_of
from recmodels.contextual.item_features import ItemFeatures
from recmodels.fused.candidate_generator import CandidateGenerator
from recmodels.platt import PlattScaling, shifted
from recmodels.rewards import bounded
from recmodels.validation import expect_counts


class Contextual(Recommender):
    """Gives each of some candidates the probability that the user's next interaction is with it.

    The candidates are the first of a cheap compiled model (`CandidateGenerator`), so a list costs a hundred predictions
    for a catalogue of any size. `recmodels.contextual.features` makes the features of user, item and context. Tags and
    prices come from item events (`learn_item`). The classifier is a logistic regression on scaled numbers and hashed
    words. Platt scaling (`recmodels.platt`) calibrates it.

    From every interaction it learns the chosen candidate and some of the others. Each other candidate is taken with a
    probability of `negatives` / `candidates`. Negatives are candidates and not random items, since the classifier must
    separate candidates. Against random items only popularity would count. Leaving out most negatives raises the odds by
    a known factor, which is corrected.

    Source of the prior correction: King and Zeng, Logistic Regression in Rare Events Data, 2001.

    Args:
        repeats: As for every `Recommender`.
        context: Names of the context fields that count. `event` cannot be one, since the type is known only
        afterwards.
        candidates: Number of candidates, at least the length of the list.
        negatives: Mean number of negatives for each interaction.
        n_features: Number of weights that hashed words share.
        classifier: Another binary classifier of River, or a pipeline that ends in one. None: `make_pipeline`. Numbers
            reach it as floats, words as keys with the whole number 1.
        max_users: Bound on users. Beyond it the least recently used are dropped.
        max_items: Bound on items, as for users.
        seed: Of the draws.

    >>> model = Contextual()
    >>> for k in range(200):
    ...     device, item = [("phone", "clip"), ("desk", "film")][k % 2]
    ...     model.learn_one(f"u{k % 7}", item, 1.0, {"timestamp": 60.0 * k, "device": device})
    >>> [model.top("eve", 1, {"device": device})[0][0] for device in ("phone", "desk")]
    ['clip', 'film']
    """

    uses_kernels = True
    scores_are_probabilities = True

    def __init__(
        self,
        repeats: str = "allow",
        context: tuple[str, ...] = ("device",),
        candidates: int = 100,
        negatives: int = 5,
        n_features: int = 16_384,
        classifier: base.Classifier | None = None,
        max_users: int = 1_000_000,
        max_items: int = 100_000,
        seed: int = 0,
    ) -> None:
        super().__init__(repeats=repeats, seed=seed)
        expect_counts(candidates=candidates, n_features=n_features)
        expect_counts(1, candidates, negatives=negatives)
        self.context = context
        self.candidates = candidates
        self.negatives = negatives
        self.n_features = n_features
        self.max_users = max_users
        self.max_items = max_items
        self.offers = CandidateGenerator(repeats=repeats, max_users=max_users, max_items=max_items, seed=seed)
        self.facts = ItemFeatures(max_items)
        self.classifier = classifier
        self._scaled = PlattScaling(make_pipeline(n_features, negatives) if classifier is None else classifier.clone())
        self._clock = np.zeros(2)  # events learned, and the time of the last

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"n_features": 64}  # soon all in use: what is bounded must look it

    def _unit_test_skips(self) -> dict[str, str]:
        return {"check_state_is_not_pickled": "the classifier is River's, and its attributes can be anything"}

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Learn an interaction: the classifier from the chosen candidate and some others, then the candidate
        generator."""
        if bounded(y) > 0.0 and not self.has_seen(user, item):
            rng = np.random.default_rng([self.seed, int(self._clock[0])])
            taken = rng.random(self.candidates) < self.negatives / self.candidates
            offered = self.offers.top(user, self.candidates, x)
            for (other, score), is_taken in zip(offered, taken.tolist(), strict=False):
                if is_taken or other == item:
                    [features] = self._features(user, [(other, score)], offered, x)
                    self._scaled.learn_one(features, other == item)
        self.offers.learn_one(user, item, y, x)
        self._clock[0] += 1
        self._note_time(x)

    def _note_time(self, x: Context | None) -> None:
        if not isnan(time_of(x)):
            self._clock[1] = time_of(x)

    def enable_undo(self) -> None:
        """Have the blend that offers keep what it needs to take interactions back."""
        self.offers.enable_undo()

    @property
    def without_undo(self) -> list[str]:
        """No names: only the weights of the classifier keep what they learned."""
        return []

    def undo_one(self, user: str, item: str, kind: str = "", y: float = -1.0, x: Context | None = None) -> bool:
        """Have the blend that offers take back an interaction. The classifier's weights stay."""
        self._note_time(x)
        return self.offers.undo_one(user, item, kind, y, x)

    @property
    def unwrapped(self) -> Recommender:
        """The candidate generator."""
        return self.offers

    def learn_item(self, item: str, x: Context | None = None, available: bool | None = None) -> None:
        """Learn an item's tags and price, and whether it may be recommended."""
        self.facts.learn(item, x)
        self.offers.learn_item(item, x, available)

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        """Return the probability that the user's next interaction is with the item."""
        return self._scores(user, [item], x)[0]

    def predict_many(self, user: str, items: Sequence[str], x: Context | None = None) -> Sequence[float]:
        """Return the probabilities of many items at once."""
        return self._scores(user, items, x)

    def rank(self, user: str, items: Collection[str], x: Context | None = None) -> list[str]:
        """Order items by falling probability. Ties keep the first-seen order, then the given order."""
        given = list(items)
        return [item for item, _ in self._sorted(given, self._scores(user, given, x))]

    def top(self, user: str, n: int = 10, x: Context | None = None) -> list[tuple[str, float]]:
        """Return the user's list: at most `n` items with their probabilities, the best first."""
        offered = self.offers.top(user, max(n, self.candidates), x)
        scores = self._probabilities(self._features(user, offered, offered[: self.candidates], x))
        return self._sorted([item for item, _ in offered], scores)[: max(n, 0)]

    def step_many(self, examples: Sequence[Example], n: int = 10, score: bool = False) -> list[Step]:
        """Process examples in order. The new list is for the near future, not for the time of the example."""
        steps = []
        for user, item, y, time, context, undoes in examples:
            x = {"timestamp": time, **(context or {})}
            position, is_target, is_undone = None, False, None
            if undoes is not None:
                is_undone = self.undo_one(user, item, undoes, y, x)
            else:
                position = self._position(user, item, y, n, x) if score else None
                is_target = self._is_target(user, item, y)
                self.learn_one(user, item, y, x)
            listed = self.top(user, n, context) if n > 0 else []
            steps.append(Step(position, [i for i, _ in listed], [round(p, 6) for _, p in listed], is_target, is_undone))
        return steps

    def forget_one(self, user: str) -> None:
        """Erase a user. The classifier holds no data of a single user."""
        self.offers.forget_one(user)

    def has_seen(self, user: str, item: str) -> bool:
        """Return whether a user has interacted with an item. Always False where repeats are allowed."""
        return self.repeats == "exclude" and self.offers.has_seen(user, item)

    def knows(self, item: str) -> bool:
        """Return whether an item has a positive interaction."""
        return self.offers.knows(item)

    def is_available(self, item: str) -> bool:
        """Say whether an item may be recommended."""
        return self.offers.is_available(item)

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state: tables of arrays, and the classifier as a pickle."""
        return self.offers.dump() | self.facts.dump() | self._dump_classifier()

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that have changed since the last dump, and the classifier."""
        return self.offers.dump_changes() | self.facts.dump_changes() | self._dump_classifier()

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return a part of the tables. The last part includes item features and classifier, which are small."""
        part, place = self.offers.dump_part(place, size)
        if place:
            return part, place
        return part | self.facts.dump_part(0, 1 << 40)[0] | self._dump_classifier(), 0

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind."""
        self.offers.load(record)
        self.facts.load(record)
        if "pickle" in record:
            self._scaled = pickle.loads(record["pickle"].tobytes())
            self._clock[:] = record["contextual.clock"]

    def _dump_classifier(self) -> dict[str, NDArray[Any]]:
        pickled = np.frombuffer(pickle.dumps(self._scaled), np.uint8)
        return {"pickle": pickled, "contextual.clock": self._clock.copy()}

    def _scores(self, user: str, items: Sequence[str], x: Context | None) -> list[float]:
        scores = self.offers._scores(user, items, x).tolist()
        offered = self.offers.top(user, self.candidates, x)
        return self._probabilities(self._features(user, list(zip(items, scores, strict=True)), offered, x))

    def _sorted(self, items: Sequence[str], scores: Sequence[float]) -> list[tuple[str, float]]:
        memory = self.offers.memory
        age = [int(memory.state.shared.items.first_seen[memory.items.row(item)]) or np.inf for item in items]
        order = sorted(range(len(items)), key=lambda k: (-scores[k], age[k]))
        return [(items[k], scores[k]) for k in order]

    def _probabilities(self, rows: Sequence[dict[str, Any]]) -> list[float]:
        correction = log(self.negatives / self.candidates)
        return [shifted(self._scaled.predict_proba_one(row)[True], correction) for row in rows]

    def _features(
        self, user: str, some: Sequence[tuple[str, float]], offered: Sequence[tuple[str, float]], x: Context | None
    ) -> list[dict[str, Any]]:
        time = time_of(x)
        context = {name: x[name] for name in self.context if x and x.get(name) is not None}
        time = float(self._clock[1]) if isnan(time) else time
        return features_of(self.offers, self.facts, user, some, offered, time, context)


def make_pipeline(n_features: int, negatives: int) -> base.Classifier:
    """Return the classifier: a logistic regression on scaled floats and hashed words (whose values are the number 1).

    Its initial probability is 1 in 1 + `negatives`, the share of positive examples.
    """
    numbers = compose.SelectType(float) | preprocessing.StandardScaler()
    words = compose.SelectType(int) | preprocessing.FeatureHasher(n_features, seed=0)
    regression = linear_model.LogisticRegression(optim.SGD(0.02), intercept_lr=0.02, intercept_init=-log(negatives))
    return (numbers + words) | regression
