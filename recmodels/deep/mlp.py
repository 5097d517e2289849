"""Multi-layer perceptron as a recommender: retrained at intervals, with live inputs."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recmodels.deep.examples import Examples
from recmodels.deep.network import Weights, capacity
from recmodels.deep.perceptron import HISTORY, ITEMS, USERS, Batch, Perceptron, Query, Shape, perceptron
from recmodels.deep.retrained import RetrainedModel
from recmodels.storage.id_table import RESERVED
from recmodels.validation import expect_counts, expect_numbers


class MLP(RetrainedModel):
    """A multi-layer perceptron that predicts the probability that a user takes an item.

    Args:
        repeats, retrain_every, epochs, window: As of `RetrainedModel`.
        recent: Number of last items in the history.
        width: Length of the vectors of users and items.
        units: Number of units of the hidden layer.
        dropout: Share of the hidden units that are left out while training.
        learning_rate: Learning rate of Adam.
        batch_size: Number of events in a step.
        least_steps: Minimum number of steps of a training.
        negatives: Number of sampled negatives for each event.
        max_users, max_items, max_history, seed: As of `RetrainedModel`.

    >>> model = MLP(retrain_every=20, width=8, learning_rate=0.02)
    >>> for k in range(10):
    ...     model.learn_one(f"user {k}", "tea")
    ...     model.learn_one(f"user {k}", "jam")
    >>> model.learn_one("new", "tea")
    >>> [item for item, probability in model.top("new")]
    ['jam', 'tea']
    """

    by_item: ClassVar[frozenset[str]] = frozenset({ITEMS, HISTORY})
    by_user: ClassVar[frozenset[str]] = frozenset({USERS})

    def __init__(
        self,
        repeats: str = "allow",
        retrain_every: int = 5_000,
        epochs: int = 10,
        window: int = 100_000,
        recent: int = 20,
        width: int = 32,
        units: int = 128,
        dropout: float = 0.5,
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        least_steps: int = 300,
        negatives: int = 4,
        max_users: int = 100_000,
        max_items: int = 20_000,
        max_history: int = 2_000,
        seed: int = 0,
    ) -> None:
        super().__init__(repeats, retrain_every, epochs, window, max_users, max_items, max_history, seed)
        expect_counts(recent=recent, width=width, units=units, batch_size=batch_size, negatives=negatives)
        expect_counts(0, least_steps=least_steps)
        expect_numbers(0.0, 0.99, dropout=dropout)
        expect_numbers(0.0, 1.0, learning_rate=learning_rate)
        self.recent = recent
        self.width = width
        self.units = units
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.least_steps = least_steps
        self.negatives = negatives

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"retrain_every": 30, "least_steps": 30, "width": 4, "batch_size": 32, "learning_rate": 0.02}

    def _network(self, users: int, items: int) -> Perceptron:
        return perceptron(
            Shape(users, items, self.recent, self.width, self.units, self.dropout, self.learning_rate, self.seed)
        )

    def _network_of(self, weights: Weights) -> Perceptron:
        return self._network(len(weights[USERS]), len(weights[ITEMS]))

    def _predicted(self, user: int) -> NDArray[np.float32]:
        weights = self._weights
        query = self._query(user, len(weights[ITEMS]))
        return np.asarray(self._network_of(weights).probability(weights, query)[0])

    def _query(self, user: int, rows: int) -> Query:
        """Return the current inputs of a user's row and of the first rows of items."""
        live = self._live
        recent = live.histories.recent(user, self.recent)[::-1]
        history = np.zeros((1, self.recent), np.int32)
        history[0, : len(recent)] = recent
        item = np.zeros((1, rows), np.int32)
        item[0, live.old_items] = live.old_items
        return Query(
            np.array([user if live.is_old_user(user) else 0], np.int32),
            history,
            np.log1p(np.array([[len(live.histories.items(user))]]), dtype=np.float32),
            item,
            np.log1p(live.taken[:, :rows].T[None], dtype=np.float32),
        )

    def _trained(self, draw: np.random.Generator) -> Weights:
        live = self._live
        users = capacity(len(live.users.names), self.max_users + RESERVED)
        network = self._network(users, capacity(live.rows, self.max_items + RESERVED))
        seed = draw.integers(2**32, size=2, dtype=np.uint32)
        return network.train(self._begin(network.first), self._batches(draw), seed)

    def _batches(self, draw: np.random.Generator) -> Iterator[Batch]:
        live, size = self._live, self.batch_size
        examples = Examples(live.histories.entries(), self.recent)
        catalogue = np.flatnonzero(live.first_seen[: live.rows])
        in_window = np.flatnonzero(examples.entries.number > live.events - self.window)
        epoch = steps = 0
        while epoch < self.epochs or steps < self.least_steps:
            order = draw.permutation(in_window)
            order = np.concatenate([order, draw.choice(in_window, -len(order) % size)])  # all batches have one shape
            for start in range(0, len(order), size):
                yield examples.batch(order[start : start + size], catalogue, self.negatives, draw)
                steps += 1
            epoch += 1
