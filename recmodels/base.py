"""The contract of every model: River's verbs and argument order, and three of ours."""

import heapq
import pickle
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from math import isfinite, nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river.reco.base import Ranker

from recmodels.rewards import bounded
from recmodels.validation import expect_choice, expect_counts

Context = Mapping[str, Any]
"""What is known of an interaction beside user, item and reward: `timestamp`, `value`, `device` and the like."""


def time_of(x: Context | None) -> float:
    """Return the `timestamp` of a context, or NaN if it says none that is a time."""
    time = (x or {}).get("timestamp")
    return float(time) if time is not None and isfinite(time) else nan


class Example(NamedTuple):
    """An interaction, made ready for a model."""

    user: str
    item: str
    y: float = 1.0
    """The reward: 1 for an ordinary interaction, 0 or less for one that speaks against the item."""
    timestamp: float = 0.0
    """Unix seconds."""
    x: Context | None = None


class Step(NamedTuple):
    """What a model says of one example, in `Recommender.step_many`."""

    position: int | None
    """Where the item stood, from 0, in the user's list of n just before the example was learned; -1 if it was not in
    it; None if it is not scored: a repeat where repeats are excluded, or a reward of 0 or less or that is no number."""
    items: Sequence[str]
    """The user's list just after it."""
    scores: Sequence[float]


class Why(NamedTuple):
    """Why an item is in a list."""

    item: str
    score: float
    """As in the list."""
    parts: Mapping[str, float]
    """How much each member speaks for the item, the most first. In a blend: how far it lifts the item's logit above
    that of the user's average candidate; the score is a rising function of the logit. A model of one piece has one
    part, its score."""


class Recommender(Ranker):
    """A model that recommends. Subclass it, write `learn_one` and `predict_one`, and the flow can run it.

    What holds for each model, and is checked for each (`recmodels.checks`):

    - Reads never write: `predict_one`, `rank` and `top` change nothing, whoever is asked for.
    - Lists are deterministic: the same examples give the same lists. Equal scores keep the order in which items
      were first seen.
    - With `repeats="exclude"`, `top` leaves out what the user has interacted with, by a reward of 0 or more.
    - `forget_one` leaves nothing of a user: afterwards the user is a stranger.
    - Users, items and rewards that nobody expected are no error.

    `top` here ranks the whole catalogue, which costs a call of `predict_one` for each item: a model that finds its
    own candidates overrides `top`, and is faster.

    Args:
        repeats: "allow" if a user's list may hold items the user has interacted with, or "exclude".
        seed: Of everything random.
        max_users: `remember` keeps so many; beyond that the least recently used are forgotten.
        max_items: `remember` takes so many into the catalogue, and no later ones.

    >>> class Newest(Recommender):
    ...     '''Recommends what was touched last.'''
    ...
    ...     clock = 0
    ...
    ...     def learn_one(self, user, item, y=1.0, x=None):
    ...         if self.remember(user, item, y):
    ...             self.clock += 1
    ...             self.catalogue[item] = self.clock
    ...
    ...     def predict_one(self, user, item, x=None):
    ...         return self.catalogue.get(item, 0)
    >>> model = Newest(repeats="exclude")
    >>> for user, item in [("ann", "tea"), ("bob", "jam"), ("ann", "pie")]:
    ...     model.learn_one(user, item)
    >>> model.top("bob", n=2)
    [('pie', 3), ('tea', 1)]
    """

    scores_are_probabilities: bool = False
    """Whether the score of an item says how likely it is that the user's next interaction is with that item."""
    uses_kernels: bool = False
    """Whether it runs in compiled kernels. `recmodels.fused.warm_up` compiles them before the first event."""

    def __init__(
        self, repeats: str = "allow", seed: int = 0, max_users: int = 1_000_000, max_items: int = 1_000_000
    ) -> None:
        super().__init__(seed=seed)
        expect_choice("repeats", repeats, ("allow", "exclude"))
        expect_counts(max_users=max_users, max_items=max_items)
        self.repeats = repeats
        self.max_users = max_users
        self.max_items = max_items
        self.catalogue: dict[str, Any] = {}
        self.unavailable: set[str] = set()  # of the catalogue
        self._hidden_early: dict[str, None] = {}  # what was hidden before anybody had it, the first first
        self._seen: dict[str, dict[str, None]] = {}

    @abstractmethod
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Learn one interaction. `y` is the reward; `x` may hold a `timestamp` and context."""

    @abstractmethod
    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        """Return the score of an item for a user: higher is better. Any user and item may be asked for."""

    def rank(self, user: str, items: Collection[str], x: Context | None = None) -> list[str]:
        """Order items by falling score; items of equal score as they were first seen, then as given."""
        order = {item: place for place, item in enumerate(self.catalogue)}
        last = len(order)
        return sorted(items, key=lambda item: (-self.predict_one(user, item, x), order.get(item, last)))

    def top(self, user: str, n: int = 10, x: Context | None = None) -> list[tuple[str, float]]:
        """Return the user's list: at most `n` items with their scores, the best first."""
        barred = self._seen.get(user, {}) if self.repeats == "exclude" else {}
        scored = (
            (item, self.predict_one(user, item, x))
            for item in self.catalogue
            if item not in barred and self.is_available(item)
        )
        return heapq.nsmallest(n, scored, key=lambda pair: -pair[1])

    def predict_many(self, user: str, items: Sequence[str], x: Context | None = None) -> Sequence[float]:
        """Return the scores of many items for a user: what a blend asks of a member. A model that knows a faster way
        than one by one overrides it."""
        return [self.predict_one(user, item, x) for item in items]

    def explain(self, user: str, n: int = 10, x: Context | None = None) -> list[Why]:
        """Return the user's list as `top` does, and why each item is in it."""
        return [Why(item, score, {"model": score}) for item, score in self.top(user, n, x)]

    def member_weights(self) -> dict[str, float]:
        """Return how much each member counts, on average over the contexts; nothing for a model of one piece."""
        return {}

    @property
    def drift_moments(self) -> list[int]:
        """The numbers of the newest events after which the model saw drift; nothing for one that does not look."""
        return []

    @property
    def counting(self) -> "Recommender":
        """The model that counts users and items: itself, or the one that it wraps."""
        return self

    def allocate(self) -> None:
        """Lay out the memory that the model's bounds promise. Does nothing where memory grows with use.

        Raises:
            MemoryError: The machine has less.
        """

    def learn_item(self, item: str, x: Context | None = None, available: bool | None = None) -> None:
        """Learn what an item is (`x`: title, tags, price) and whether it may be recommended. None: as it was.

        What is hidden stays so, however much else is hidden later, if it is in the catalogue. Of what nobody has had
        yet, and is in no list anyway, the last `max_items` that were hidden are known.
        """
        if available is False and item in self.catalogue:
            self.unavailable.add(item)
        elif available is False:
            self._hidden_early.pop(item, None)  # to the end of the dict
            self._hidden_early[item] = None
            if len(self._hidden_early) > self.max_items:
                del self._hidden_early[next(iter(self._hidden_early))]
        elif available is True:
            self.unavailable.discard(item)
            self._hidden_early.pop(item, None)

    def forget_one(self, user: str) -> None:
        """Erase a user: afterwards the user is a stranger. What others' items gained from them may stay."""
        self._seen.pop(user, None)

    def step_many(self, examples: Sequence[Example], n: int = 10, score: bool = False) -> list[Step]:
        """Take examples one after the other: ask for the list, learn the example, make the new list.

        Args:
            examples: In order; the result never depends on how a stream is cut into calls.
            n: Length of the lists.
            score: Whether the list before each example is asked for, too. It costs another `top`.

        Returns:
            What the model says of each example.
        """
        steps = []
        for example in examples:
            user, item, y = example.user, example.item, example.y
            x = {"timestamp": example.timestamp, **(example.x or {})}
            position = self._position(user, item, y, n, x) if score else None
            self.learn_one(user, item, y, x)
            listed = self.top(user, n, x)
            steps.append(Step(position, [i for i, _ in listed], [s for _, s in listed]))
        return steps

    def remember(self, user: str, item: str, y: float = 1.0) -> bool:
        """Note that the item exists, and with a reward of 0 or more that the user has had it. Call it in `learn_one`.

        What was only shown to the user, or came back without ever having been had, can still be recommended.

        Returns:
            Whether the item is in the catalogue: not if that was full when the item came, and then nothing is noted.
        """
        if item not in self.catalogue:
            if len(self.catalogue) >= self.max_items:
                return False
            self.catalogue[item] = None
            if item in self._hidden_early:
                del self._hidden_early[item]
                self.unavailable.add(item)
        if self.repeats == "exclude" and bounded(y) >= 0.0:
            if user not in self._seen and len(self._seen) >= self.max_users:
                self.forget_one(next(iter(self._seen)))
            seen = self._seen.pop(user, {})
            seen.setdefault(item)
            self._seen[user] = seen  # the least recently used is the first
        return True

    def has_seen(self, user: str, item: str) -> bool:
        """Say whether a user has had an item; always False where repeats are allowed."""
        return item in self._seen.get(user, ())

    def seen_by(self, user: str) -> list[str]:
        """Return what a user has interacted with, the first first; nothing where repeats are allowed."""
        return list(self._seen.get(user, ()))

    def knows(self, item: str) -> bool:
        """Say whether an item has been learned, so that it may be in lists; an item event alone does not count."""
        return item in self.catalogue

    def is_available(self, item: str) -> bool:
        """Say whether an item may be recommended: always, unless an item event has said otherwise."""
        return item not in self.unavailable and item not in self._hidden_early

    def _unit_test_skips(self) -> dict[str, str]:
        """Return the checks that this model cannot meet, each with the reason (see `recmodels.checks`)."""
        if type(self).dump is not Recommender.dump:
            return {}
        return {"check_state_is_not_pickled": "the attributes of a model in plain Python can be anything"}

    def _position(self, user: str, item: str, y: float, n: int, x: Context) -> int | None:
        if bounded(y) <= 0.0 or self.has_seen(user, item):
            return None
        listed = [i for i, _ in self.top(user, n, x)]
        return listed.index(item) if item in listed else -1

    @property
    def version(self) -> str:
        """Names the model in every list it makes."""
        return f"{type(self).__name__.lower()}/1"

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as named arrays: here one, of the pickled attributes."""
        return {"pickle": np.frombuffer(pickle.dumps(self.__dict__), np.uint8)}

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return what has changed since the last dump of either kind: here everything."""
        return self.dump()

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return a part of the state, for a store that writes all of it anew little by little.

        Args:
            place: Where the part begins: 0, or what the call before returned.
            size: Bytes, about.

        Returns:
            The part, and the place behind it; 0 at the end. Here everything at once.
        """
        return self.dump(), 0

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Take over what any of the dumps gave. The caller has made sure that nobody else wrote it."""
        self.__dict__.update(pickle.loads(record["pickle"].tobytes()))
