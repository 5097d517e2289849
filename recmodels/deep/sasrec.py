"""SASRec, a transformer, as a recommender: retrained at intervals, with live inputs."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recmodels.deep.network import Weights, capacity
from recmodels.deep.retrained import RetrainedModel
from recmodels.deep.sequences import cut
from recmodels.deep.transformer import BIAS, GATE, ITEMS, OPEN, Batch, Shape, Transformer, transformer
from recmodels.storage.id_table import RESERVED
from recmodels.validation import expect_counts, expect_numbers


class SASRec(RetrainedModel):
    """A causal transformer over the user's items in order, which predicts the next item.

    Args:
        repeats, retrain_every, epochs, window: As of `RetrainedModel`.
        length: Length of a sequence. The last `length` - 1 items of a user are read.
        width: Width of the embeddings and the layers.
        blocks: Number of layers of self-attention.
        heads: Number of heads of a block. They share the width.
        dropout: Share of the values that are left out while training.
        learning_rate: Learning rate of Adam.
        batch_size: Number of sequences in a step.
        least_steps: Minimum number of steps of a training.
        negatives: Number of sampled negatives for a batch.
        gated: Whether each part of a block has a gate (`recmodels.deep.transformer`).
        max_users, max_items, max_history, seed: As of `RetrainedModel`.

    >>> model = SASRec(retrain_every=20, width=8, length=4, learning_rate=0.02)
    >>> for k in range(10):
    ...     model.learn_one(f"user {k}", "tea")
    ...     model.learn_one(f"user {k}", "jam")
    >>> model.learn_one("new", "tea")
    >>> [item for item, score in model.top("new")], [item for item, score in model.top("stranger")]
    (['jam', 'tea'], ['tea', 'jam'])
    """

    by_item: ClassVar[frozenset[str]] = frozenset({ITEMS, BIAS})

    def __init__(
        self,
        repeats: str = "allow",
        retrain_every: int = 5_000,
        epochs: int = 3,
        window: int = 100_000,
        length: int = 50,
        width: int = 64,
        blocks: int = 2,
        heads: int = 2,
        dropout: float = 0.2,
        learning_rate: float = 2e-3,
        batch_size: int = 32,
        least_steps: int = 100,
        negatives: int = 2_048,
        max_users: int = 100_000,
        max_items: int = 20_000,
        max_history: int = 2_000,
        gated: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(repeats, retrain_every, epochs, window, max_users, max_items, max_history, seed)
        expect_counts(length=length, width=width, heads=heads, batch_size=batch_size, negatives=negatives)
        expect_counts(0, blocks=blocks, least_steps=least_steps)
        expect_numbers(0.0, 0.99, dropout=dropout)
        expect_numbers(0.0, 1.0, learning_rate=learning_rate)
        if width % heads:
            raise ValueError(f"expected a width that the heads can share; got width {width} and {heads} heads")
        self.length = length
        self.width = width
        self.blocks = blocks
        self.heads = heads
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.least_steps = least_steps
        self.negatives = negatives
        self.gated = gated
        # No state: vectors that were asked for, by the user's row, with the history and the weights that they are of.
        self._vectors: dict[int, tuple[list[int], NDArray[np.float32]]] = {}
        self._vectors_weights: Weights | None = None

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        small = {"width": 8, "length": 8, "blocks": 1, "negatives": 64, "batch_size": 8}
        yield {"retrain_every": 30, "least_steps": 30, "learning_rate": 0.02, **small}

    def _network(self, rows: int) -> Transformer:
        sizes = rows, self.length, self.width, self.blocks, self.heads
        return transformer(Shape(*sizes, self.dropout, self.learning_rate, self.seed, self.gated))

    def _network_of(self, weights: Weights) -> Transformer:
        return self._network(len(weights[BIAS]))

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind. The transformer of 0.1.0 had no gates: there they let everything through."""
        prefix = "weights."
        if self.gated and f"{prefix}{BIAS}" in record and not any(GATE in name for name in record):
            first = self._network(len(record[f"{prefix}{BIAS}"])).first
            gates = {
                name: np.full_like(array, OPEN if name.endswith("bias") else 0.0)
                for name, array in first.items()
                if GATE in name
            }
            record = {**record, **{f"{prefix}{name}": array for name, array in gates.items()}}
        super().load(record)

    def _predicted(self, user: int) -> NDArray[np.float32]:
        return self._weights[ITEMS] @ self._vector(user) + self._weights[BIAS]

    def _vector(self, user: int) -> NDArray[np.float32]:
        if self._vectors_weights is not self._weights:
            self._vectors, self._vectors_weights = {}, self._weights
        recent = self._live.histories.recent(user, self.length - 1)
        known, vector = self._vectors.get(user, (None, None))
        if vector is None or known != recent:
            vector = self._network_of(self._weights).vector(self._weights, recent)
            self._vectors[user] = recent, vector
        return vector

    def _trained(self, draw: np.random.Generator) -> Weights:
        network = self._network(capacity(self._live.rows, self.max_items + RESERVED))
        seed = draw.integers(2**32, size=2, dtype=np.uint32)
        return network.train(self._begin(network.first), self._batches(draw), seed)

    def _batches(self, draw: np.random.Generator) -> Iterator[Batch]:
        live, size = self._live, self.batch_size
        entries = live.histories.entries()
        catalogue = np.flatnonzero(live.first_seen[: live.rows])
        room = min(self.negatives, capacity(live.rows, self.max_items + RESERVED))
        epoch = steps = 0
        while epoch < self.epochs or steps < self.least_steps:
            target, weight = cut(entries, live.events - self.window + 1, self.length, draw)
            if not len(target):
                return  # no positive event of late: nothing to learn
            order = draw.permutation(len(target))
            for start in range(0, len(order), size):
                chosen = order[start : start + size]
                drawn = catalogue if len(catalogue) <= room else draw.choice(catalogue, room, replace=False)
                yield Batch(
                    _filled(target[chosen], size), _filled(weight[chosen], size), _filled(drawn.astype(np.int32), room)
                )
                steps += 1
            epoch += 1

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy or a pickle."""
        return {**self.__dict__, "_vectors": {}, "_vectors_weights": None}


def _filled(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return an array with rows of 0 behind it: all batches have one shape."""
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])
