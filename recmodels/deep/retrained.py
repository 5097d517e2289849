"""Base of models that are retrained at intervals, while their inputs are always up to date."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recmodels.base import Context, Recommender, against
from recmodels.deep.network import Network, Weights
from recmodels.deep.online_inputs import TRAINED, Live
from recmodels.rewards import bounded
from recmodels.storage.id_table import RESERVED
from recmodels.validation import expect_counts

UNTRAINED_SCORE = -100.0
"""Score of an item that came after the last training: below all trained items. Among them the most taken of late
comes first. So do all items before the first training."""


class RetrainedModel(Recommender):
    """Base of the deep models: live histories of users, and weights from the last training.

    Args:
        repeats: "allow" if a user's list may hold items the user has interacted with, or "exclude".
        retrain_every: Number of events between two trainings. A clock never decides.
        epochs: Number of passes of a training. It starts from the current weights.
        window: Number of last events that a training uses.
        max_users: Bound on users. Beyond it the least recently used are dropped.
        max_items: Bound on items, as for users.
        max_history: Bound on the events of one user.
        seed: Of the first weights and of everything drawn while training.
    """

    by_item: ClassVar[frozenset[str]] = frozenset()
    """Names of the weights that have a row for each item's row."""
    by_user: ClassVar[frozenset[str]] = frozenset()
    """Names of the weights that have a row for each user's row."""

    def __init__(
        self,
        repeats: str,
        retrain_every: int,
        epochs: int,
        window: int,
        max_users: int,
        max_items: int,
        max_history: int,
        seed: int,
    ) -> None:
        super().__init__(repeats=repeats, seed=seed)
        expect_counts(retrain_every=retrain_every, epochs=epochs, window=window)
        expect_counts(max_users=max_users, max_items=max_items, max_history=max_history)
        expect_counts(0, seed=seed)
        self.retrain_every = retrain_every
        self.epochs = epochs
        self.window = window
        self.max_users = max_users
        self.max_items = max_items
        self.max_history = max_history
        self._live = Live(max_users, max_items, max_history)
        self._weights: Weights = {}
        self._is_trained_anew = False

    @abstractmethod
    def _trained(self, draw: np.random.Generator) -> Weights:
        """Return weights trained on the last `window` events, starting from those of `_begin`."""

    @abstractmethod
    def _predicted(self, user: int) -> NDArray[np.float32]:
        """Return the score of each item's row for a user's row. Row 0 is a new user."""

    @abstractmethod
    def _network_of(self, weights: Weights) -> Network:
        """Return the network of these weights, by their number of rows."""

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Learn one interaction: the inputs at once, and the weights at the next training."""
        live = self._live
        live.add(user, item, bounded(y))
        if live.events % self.retrain_every == 0 and live.first_seen.any():
            self._weights = self._trained(np.random.default_rng([self.seed, live.events]))
            live.counters[TRAINED] = live.events
            self._is_trained_anew = True

    @property
    def without_undo(self) -> list[str]:
        """No names: the next training goes without what was taken back."""
        return []

    def undo_one(self, user: str, item: str, kind: str = "", y: float = -1.0, x: Context | None = None) -> bool:
        """Take the user's newest interaction with an item out of the inputs. The weights follow with the next training.

        Where the user had none, an event against the item is learned. `kind` makes no difference.
        """
        if self._live.take_back(user, item):
            return True
        self.learn_one(user, item, against(y), x)
        return False

    def _begin(self, first: Weights) -> Weights:
        """Return the start of a training: the present weights, with initial ones for newer users and items."""
        begin = {}
        for name, fresh in first.items():
            old = self._weights.get(name, fresh)
            if name in self.by_item or name in self.by_user:
                rows = self._live.old_items if name in self.by_item else self._live.old_users
                begin[name] = fresh.copy()
                begin[name][rows] = old[rows]
            else:
                begin[name] = old
        return begin

    def _scores(self, user: str) -> NDArray[np.float32]:
        live = self._live
        scores = np.float32(UNTRAINED_SCORE) + np.log1p(live.taken[-1, : live.rows], dtype=np.float32)
        if self._weights:
            rows = live.old_items
            scores[rows] = self._predicted(live.users.row(user))[rows]
        return scores

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        """Return the score of an item for a user, as `top` would give it."""
        row = self._live.items.row(item)
        return float(self._scores(user)[row]) if row else UNTRAINED_SCORE

    def predict_many(self, user: str, items: Sequence[str], x: Context | None = None) -> Sequence[float]:
        """Return the scores of many items for a user. NaN, which a blend ignores, for items newer than the training."""
        scores = np.full(self._live.rows, np.nan, np.float32)
        if self._weights:
            old = self._live.old_items[RESERVED:]
            scores[old] = self._predicted(self._live.users.row(user))[old]
        rows = [self._live.items.row(item) for item in items]
        return scores[rows].tolist()  # type: ignore[no-any-return]

    def rank(self, user: str, items: Collection[str], x: Context | None = None) -> list[str]:
        """Order items by falling score. Ties keep the first-seen order, then the given order."""
        given, scores = list(items), self._scores(user)
        rows = [self._live.items.row(item) for item in given]
        value = [float(scores[row]) if row else UNTRAINED_SCORE for row in rows]
        last = self._live.events + 1
        age = [int(self._live.first_seen[row]) or last for row in rows]
        return [given[k] for k in sorted(range(len(given)), key=lambda k: (-value[k], age[k]))]

    def top(self, user: str, n: int = 10, x: Context | None = None) -> list[tuple[str, float]]:
        """Return the user's list: at most `n` items with their scores, the best first."""
        live, scores = self._live, self._scores(user)
        listed = (live.first_seen[: live.rows] > 0) & (live.hidden[: live.rows] == 0)
        if self.repeats == "exclude":
            listed[np.asarray(live.histories.had(live.users.row(user)), np.int64)] = False
        rows = np.flatnonzero(listed)
        if n < len(rows):
            least = np.partition(scores[rows], len(rows) - max(n, 1))[len(rows) - max(n, 1)]
            rows = rows[scores[rows] >= least]
        order = np.lexsort((live.first_seen[rows], -scores[rows]))[: max(n, 0)]
        names = live.items.names
        return [(str(names[row]), float(scores[row])) for row in rows[order].tolist()]

    def learn_item(self, item: str, x: Context | None = None, available: bool | None = None) -> None:
        """Learn an item's availability. None: unchanged."""
        if available is not None:
            self._live.set_available(item, available)

    def forget_one(self, user: str) -> None:
        """Erase a user, who is then a new user. Other weights keep what they learned from the user."""
        row = self._live.users.row(user)
        if not row:
            return
        self._live.forget_users([row])
        for name in self.by_user & self._weights.keys():
            if row < len(self._weights[name]):
                self._weights[name][row] = 0.0
                self._is_trained_anew = True

    def has_seen(self, user: str, item: str) -> bool:
        """Return whether a user has had an item. Always False where repeats are allowed."""
        live = self._live
        row = live.items.row(item)
        return self.repeats == "exclude" and row > 0 and row in live.histories.had(live.users.row(user))

    def seen_by(self, user: str) -> list[str]:
        """Return the user's items, oldest first. Empty where repeats are allowed."""
        live = self._live
        seen = live.histories.had(live.users.row(user)) if self.repeats == "exclude" else ()
        return [str(live.items.names[row]) for row in dict.fromkeys(seen)]

    def knows(self, item: str) -> bool:
        """Return whether an item has an interaction. An item event alone does not count."""
        return bool(self._live.first_seen[self._live.items.row(item)])

    def is_available(self, item: str) -> bool:
        """Return whether an item may be recommended. It may, unless an item event has hidden it."""
        return not self._live.is_hidden(item)

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as arrays: online inputs and weights."""
        self._live.mark_changed()
        self._is_trained_anew = bool(self._weights)
        return self.dump_changes()

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that changed since the last dump. Weights are included only after a training."""
        record = self._live.dump_changes()
        if self._is_trained_anew:
            record |= {f"weights.{name}": array.copy() for name, array in self._weights.items()}
        self._is_trained_anew = False
        return record

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind.

        Raises:
            ValueError: It is of a model with other arguments, and does not fit.
        """
        prefix = "weights."
        weights = {name.removeprefix(prefix): a.copy() for name, a in record.items() if name.startswith(prefix)}
        if weights:
            self._expect_fit(weights)
        self._live.load(record)
        self._weights = weights or self._weights

    def _expect_fit(self, weights: Weights) -> None:
        advice = "give the model the arguments that it had when the state was saved"
        lacking = sorted((self.by_item | self.by_user) - weights.keys())
        if lacking:
            raise ValueError(f"expected the weights {', '.join(lacking)}; got {', '.join(weights)}; {advice}")
        for name, fresh in self._network_of(weights).first.items():
            got = weights[name].shape if name in weights else "none"
            if got != fresh.shape:
                raise ValueError(f"weights {name}: expected the shape {fresh.shape}; got {got}; {advice}")
