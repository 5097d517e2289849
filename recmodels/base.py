"""The contract of every model: River's verbs and argument order, and three of ours."""

import heapq
import pickle
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from math import isfinite, nan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmodels.import_alone import import_alone
from recmodels.rewards import bounded
from recmodels.validation import expect_choice, expect_counts

if TYPE_CHECKING:
    from river.reco.base import Ranker
else:
    Ranker = import_alone("river.reco.base").Ranker

Context = Mapping[str, Any]
"""Further fields of an interaction, such as `timestamp`, `value` or `device`."""


def time_of(x: Context | None) -> float:
    """Return the `timestamp` of a context, or NaN if it says none that is a time."""
    time = (x or {}).get("timestamp")
    return float(time) if time is not None and isfinite(time) else nan


def against(y: float) -> float:
    """Return the reward of an event against an item: `y` if it is below 0, else what speaks as clearly against it.

    >>> against(-0.2), against(0.5), against(0.0)
    (-0.2, -0.5, -1.0)
    """
    reward = -abs(bounded(y))
    return reward or -1.0


class Example(NamedTuple):
    """An interaction, made ready for a model."""

    user: str
    item: str
    y: float = 1.0
    """The reward: 1 for an ordinary interaction, 0 or less for one that speaks against the item."""
    timestamp: float = 0.0
    """Unix seconds."""
    x: Context | None = None
    undoes: str | None = None
    """The type of the earlier interaction with the item that this one takes back, as `x["event"]` said it; "" for any.
    None: it takes nothing back."""


class Step(NamedTuple):
    """The result of one example in `Recommender.step_many`."""

    position: int | None
    """Rank of the item, from 0, in the user's list of n just before the example was learned, or -1. None if the
    example is not scored: a repeat where repeats are excluded, a reward of 0 or less, or NaN."""
    items: Sequence[str]
    """The user's list just after it."""
    scores: Sequence[float]
    is_target: bool = True
    """Whether a list could have had the item: not for a repeat where repeats are excluded, nor for a reward of 0 or
    less. It is said whether positions are asked for or not."""
    is_undone: bool | None = None
    """Whether an earlier interaction was taken back. None for an example that takes nothing back."""


class Why(NamedTuple):
    """Why an item is in a list."""

    item: str
    score: float
    """As in the list."""
    parts: Mapping[str, float]
    """Contribution of each member, largest first. In a blend it is the lift of the item's logit above that of the
    user's average candidate. The score rises with the logit. A model without members has one part, its score."""


class Recommender(Ranker):
    """Base class of all models. Subclass it and write `learn_one` and `predict_one`. Then the flow can run it.

    The contract, which `recmodels.checks` verifies for each model:

    - Reads never write: `predict_one`, `rank` and `top` change nothing, for any user.
    - Lists are deterministic: the same examples give the same lists. Equal scores keep the order in which items
      were first seen.
    - With `repeats="exclude"`, `top` leaves out items that the user had with a reward of 0 or more.
    - `forget_one` removes all state of a user, who is then a new user.
    - `undo_one` takes an interaction back, or learns that one speaks against the item.
    - Unknown users, items and odd rewards are not errors.

    The default `top` calls `predict_one` for each item of the catalogue. A model with candidates of its own overrides
    `top` and is faster.

    Args:
        repeats: "allow" if a user's list may hold items the user has interacted with, or "exclude".
        seed: Seed of every random draw.
        max_users: Bound on users that `register` keeps. Beyond it the least recently used are dropped.
        max_items: Bound on the catalogue that `register` keeps. Later items are ignored.

    >>> class Newest(Recommender):
    ...     '''Recommends what was touched last.'''
    ...
    ...     clock = 0
    ...
    ...     def learn_one(self, user, item, y=1.0, x=None):
    ...         if self.register(user, item, y):
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
    """Whether a score is the probability that the user's next interaction is with that item."""
    uses_kernels: bool = False
    """Whether it runs in compiled kernels. `recmodels.fused.warm_up` compiles them before the first event."""
    always_scores: bool = False
    """Whether `step_many` gives positions even if they are not asked for, since they cost nothing."""

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
        self._hidden_early: dict[str, None] = {}  # hidden before their first interaction, oldest first
        self._seen: dict[str, dict[str, int | None]] = {}  # interactions; None in state of version 0.1.0: at least one

    @abstractmethod
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Learn one interaction.

        Args:
            user: Id of the user.
            item: Id of the item.
            y: The reward: 1 for an ordinary interaction, 0 or less for a negative one.
            x: `timestamp` in Unix seconds, and further fields of the event.
        """

    @abstractmethod
    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        """Return the score of an item for a user. Higher is better. Both may be unknown.

        Args:
            user: Id of the user.
            item: Id of the item.
            x: Context of the request.
        """

    def rank(self, user: str, items: Collection[str], x: Context | None = None) -> list[str]:
        """Order items by falling score. Ties keep the first-seen order, then the given order.

        Args:
            user: Id of the user.
            items: Ids of the items. They may be unknown.
            x: Context of the request.
        """
        order = {item: place for place, item in enumerate(self.catalogue)}
        last = len(order)
        return sorted(items, key=lambda item: (-self.predict_one(user, item, x), order.get(item, last)))

    def top(self, user: str, n: int = 10, x: Context | None = None) -> list[tuple[str, float]]:
        """Return the user's list: at most `n` items with their scores, the best first.

        Args:
            user: Id of the user.
            n: Largest number of items.
            x: Context of the request.
        """
        barred = self._seen.get(user, {}) if self.repeats == "exclude" else {}
        scored = (
            (item, self.predict_one(user, item, x))
            for item in self.catalogue
            if item not in barred and self.is_available(item)
        )
        return heapq.nsmallest(n, scored, key=lambda pair: -pair[1])

    def predict_many(self, user: str, items: Sequence[str], x: Context | None = None) -> Sequence[float]:
        """Return the scores of many items for a user, shape (items,). A blend calls it on its external members.

        Override it where a faster way exists than one item at a time."""
        return [self.predict_one(user, item, x) for item in items]

    def explain(self, user: str, n: int = 10, x: Context | None = None) -> list[Why]:
        """Return the user's list as `top` does, with the contribution of each member to each score.

        Args:
            user: Id of the user.
            n: Largest number of items.
            x: Context of the request.
        """
        return [Why(item, score, {"model": score}) for item, score in self.top(user, n, x)]

    def related(self, item: str, n: int = 10) -> list[tuple[str, float]]:
        """Return the items that go best with an item, the best first, with their scores. Empty where none is known.

        It is the same list for every user. Only their order says something of scores.
        """
        return []

    def trending(self, n: int = 10, tag: str = "") -> list[tuple[str, float]]:
        """Return the items that are most popular now, the first first, with their scores. Empty where none is known.

        Args:
            n: Number of items.
            tag: Only items with this tag. Empty: all items.
        """
        return []

    def tags(self, item: str) -> list[str]:
        """Return the tags of an item by which `trending` may be asked. Empty where none is known."""
        return []

    def member_weights(self) -> dict[str, float]:
        """Return the mean weight of each member over the contexts. Empty for a model without members."""
        return {}

    @property
    def has_item_lists(self) -> bool:
        """Whether `related` and `trending` can say something."""
        return False

    @property
    def drift_moments(self) -> list[int]:
        """Numbers of the newest events after which the model detected drift. Empty for a model without a detector."""
        return []

    @property
    def unwrapped(self) -> "Recommender":
        """The model that keeps users and items: this model, or the one that it wraps."""
        return self

    def allocate(self) -> None:
        """Lay out the memory that the model's bounds promise. Does nothing where memory grows with use.

        Raises:
            MemoryError: The machine has less memory.
        """

    def learn_item(self, item: str, x: Context | None = None, available: bool | None = None) -> None:
        """Learn an item's attributes and availability.

        Hidden catalogue items stay hidden. For items not seen yet, only the last `max_items` hide requests are
        remembered.

        Args:
            item: Id of the item.
            x: Attributes, such as `title`, `tags` and `price`.
            available: Whether lists may contain it. None: unchanged.
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
        """Erase a user, who is then a new user. Counts and factors of items may keep what they learned."""
        self._seen.pop(user, None)

    def enable_undo(self) -> None:
        """Have the model keep what it needs to take interactions back exactly. Call it before the first event."""

    @property
    def without_undo(self) -> list[str]:
        """Names of the models, this one or members, that learn an undo as an event against the item instead."""
        return [self.version.rpartition("/")[0]]

    def undo_one(self, user: str, item: str, kind: str = "", y: float = -1.0, x: Context | None = None) -> bool:
        """Take back the user's newest interaction with an item.

        By default the model learns an event against the item, and the user is one who did not have it.

        Args:
            user: Id of the user.
            item: Id of the item.
            kind: Type of that interaction, as `x["event"]` said it. "": any.
            y: Reward of an event against the item, for a model that cannot take it back.
            x: Context of the undo.

        Returns:
            Whether the interaction was taken back.
        """
        self.learn_one(user, item, against(y), x)
        seen = self._seen.get(user, {})
        if item in seen:
            count = (seen[item] or 1) - 1
            if count:
                seen[item] = count
            else:
                del seen[item]
        return False

    @property
    def unshared(self) -> str:
        """The reason why other processes cannot learn what this model learns of items. Empty if they can."""
        return f"{self.version.rpartition('/')[0]} keeps no account of what it learns of items"

    def enable_deltas(self, shards: int = 4) -> None:
        """Have the model note what it learns of items, for `take_delta`. Call it before the first event.

        Args:
            shards: Number of processes that learn together. The more there are, the less each moves what all of them
                learn at once.

        Raises:
            ValueError: The model cannot do so. The message says why.
        """
        raise ValueError(f"expected a model that shards can share, such as blend; {self.unshared}")

    def take_delta(self) -> bytes:
        """Return what the model has learned of items since the last delta. Empty if there is nothing.

        Raises:
            ValueError: `enable_deltas` was not called.
        """
        raise ValueError("take_delta: expected a model after enable_deltas")

    def apply_delta(self, data: bytes) -> int:
        """Learn what the same model has learned in another process, and return the number of its interactions.

        Deltas of several processes may come in any order. Apply each once.

        Args:
            data: Bytes of `take_delta`.

        Raises:
            ValueError: They are no delta of this model, or `enable_deltas` was not called. Then nothing is learned.
        """
        raise ValueError("apply_delta: expected a model after enable_deltas")

    def step_many(self, examples: Sequence[Example], n: int = 10, score: bool = False) -> list[Step]:
        """Process examples in order: make the list, learn the example, make the new list.

        Args:
            examples: Examples in order. The result never depends on how a stream is cut into calls.
            n: Number of items of a list.
            score: Whether to rank before each example, too. It costs another `top`.

        Returns:
            One step for each example.
        """
        steps = []
        for example in examples:
            user, item, y = example.user, example.item, example.y
            x = {"timestamp": example.timestamp, **(example.x or {})}
            position = self._position(user, item, y, n, x) if score else None
            is_target = self._is_target(user, item, y)
            is_undone = None
            if example.undoes is not None:
                position, is_target = None, False
                is_undone = self.undo_one(user, item, example.undoes, y, x)
            else:
                self.learn_one(user, item, y, x)
            listed = self.top(user, n, x) if n > 0 else []
            steps.append(Step(position, [i for i, _ in listed], [s for _, s in listed], is_target, is_undone))
        return steps

    def score_many(self, examples: Sequence[Example], n: int = 10, scored: Sequence[bool] = ()) -> list[int | None]:
        """Score and learn examples in order, without making new lists. It costs less than `step_many`.

        Args:
            examples: Examples in order.
            n: Number of items of a list that counts.
            scored: Which examples are scored. The others are only learned. Empty: all are.

        Returns:
            The position of each example, as `Step.position` says. None if it is not scored.
        """
        positions: list[int | None] = []
        for number, (user, item, y, time, context, undoes) in enumerate(examples):
            x, position = {"timestamp": time, **(context or {})}, None
            if undoes is not None:
                self.undo_one(user, item, undoes, y, x)
            else:
                if not scored or scored[number]:
                    position = self._position(user, item, y, n, x)
                self.learn_one(user, item, y, x)
            positions.append(position)
        return positions

    def _is_target(self, user: str, item: str, y: float) -> bool:
        """Say whether a list could have had the item: `Step.is_target`, before the example is learned."""
        return bounded(y) > 0.0 and not (self.repeats == "exclude" and self.has_seen(user, item))

    def register(self, user: str, item: str, y: float = 1.0) -> bool:
        """Register an interaction: the item exists, and with a reward of 0 or more the user had it. Call it in
        `learn_one`.

        An item with negative rewards only can still be recommended.

        Returns:
            Whether the item is in the catalogue. False if the catalogue was full. Then nothing is registered.
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
            seen[item] = 1 + ((seen[item] or 1) if item in seen else 0)
            self._seen[user] = seen  # the first is the least recently used
        return True

    def has_seen(self, user: str, item: str) -> bool:
        """Return whether a user has had an item. Always False where repeats are allowed."""
        return item in self._seen.get(user, ())

    def seen_by(self, user: str) -> list[str]:
        """Return the user's items, oldest first. Empty where repeats are allowed."""
        return list(self._seen.get(user, ()))

    def knows(self, item: str) -> bool:
        """Return whether an item has an interaction. An item event alone does not count."""
        return item in self.catalogue

    def is_available(self, item: str) -> bool:
        """Return whether an item may be recommended. It may, unless an item event has hidden it."""
        return item not in self.unavailable and item not in self._hidden_early

    def may_list(self, user: str, item: str) -> bool:
        """Return whether the user's list may hold an item. Rules (`recmodels.rules`) may keep out what is available."""
        return self.is_available(item)

    def _unit_test_skips(self) -> dict[str, str]:
        """Return the checks that this model cannot pass, with reasons (see `recmodels.checks`)."""
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
        """Name and version of the model, as in every list: `blend/1`."""
        return f"{type(self).__name__.lower()}/1"

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as named arrays. By default it is one array of the pickled attributes."""
        return {"pickle": np.frombuffer(pickle.dumps(self.__dict__), np.uint8)}

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that changed since the last dump. By default everything."""
        return self.dump()

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return a part of the state, for a store that rewrites it part by part.

        Args:
            place: Start of the part: 0, or the place that the previous call returned.
            size: Approximate number of bytes.

        Returns:
            The part, and the place after it, 0 at the end. By default the part is the whole state.
        """
        return self.dump(), 0

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind. The caller has verified its checksum."""
        self.__dict__.update(pickle.loads(record["pickle"].tobytes()))
