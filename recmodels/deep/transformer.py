"""Network of SASRec, a causal transformer: it predicts the next item from the user's items so far.

The items of a history and their positions are embedded, and go through blocks of causal self-attention and a small
network. The score of an item is the product of the output with the item's embedding, plus a bias:

    score(item | history) = output · embedding(item) + bias(item)

Every history begins with the reserved item 0, so that a new user gets a list, too.

Each block has two parts F: attention, and the small network. With `gated` a part adds a share of its output only:

    x' = x + F(normalised x) * sigmoid(x · gate + bias)

Source of the gates: From Features to Transformers: Redefining Ranking for Scalable Impact (LiGR), 2025. Source of the
rest: Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018. There are three differences. The loss is
the softmax cross-entropy over many sampled items, which ranks better than a single negative (Klenitskiy and Vasilev,
Turning Dross Into Gold Loss, RecSys 2023). Items have a bias. Layers are normalised at their inputs.
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmodels.deep.backend import jax, keras
from recmodels.deep.network import Network, Weights

jnp, layers = jax.numpy, keras.layers

ITEMS: Final = "items/embeddings"
BIAS: Final = "bias"
GATE: Final = "gate_"
"""Beginning of the names of the gates."""
OPEN: Final = 20.0
"""Bias of a gate that lets everything through."""


class Shape(NamedTuple):
    """Shape for which a network is compiled. See the arguments of `SASRec`."""

    rows: int
    length: int
    width: int
    blocks: int
    heads: int
    dropout: float
    learning_rate: float
    seed: int
    gated: bool = True


class Batch(NamedTuple):
    """A training batch of sequences. The history of a target is the items to its left."""

    target: NDArray[np.int32]
    """[B, L] Rows of items in order; 0 where the sequence has ended."""
    weight: NDArray[np.float32]
    """[B, L] Weight of each target: 0 or 1."""
    drawn: NDArray[np.int32]
    """[C] Rows of the negatives of every target. 0: none."""


class Transformer(Network):
    """The network for one shape."""

    def __init__(self, shape: Shape) -> None:
        bias = keras.Variable(np.zeros(shape.rows, np.float32), name=BIAS)
        super().__init__(_build(shape), keras.optimizers.Adam(shape.learning_rate), [bias])
        self._table = self.names.index(ITEMS)
        self._length = shape.length

    def vector(self, weights: Weights, recent: Sequence[int]) -> NDArray[np.float32]:
        """Return [D] the output after a history of at most L - 1 items, the oldest first."""
        items = np.zeros((1, self._length), np.int32)
        items[0, 1 : len(recent) + 1] = recent
        return np.asarray(self._vector(self._listed(weights), items, len(recent)))

    @partial(jax.jit, static_argnums=0)
    def _vector(self, trained: Any, items: Any, place: Any) -> Any:
        return self.predict(trained, items)[0, place]

    def loss(self, trained: Any, seeds: Any, batch: Batch) -> tuple[Any, Any]:
        """Return the mean cross-entropy of the targets among the drawn items, and the seeds after it."""
        items = jnp.pad(batch.target[:, :-1], ((0, 0), (1, 0)))
        output, seeds = self.call(trained, seeds, items)
        table, bias = trained[self._table], trained[-1]
        right = jnp.sum(output * table[batch.target], axis=-1) + bias[batch.target]
        others = output @ table[batch.drawn].T + bias[batch.drawn]
        is_other = (batch.drawn > 0) & (batch.drawn != batch.target[..., None])
        all_scores = jnp.concatenate([right[..., None], jnp.where(is_other, others, -jnp.inf)], axis=-1)
        loss = jax.nn.logsumexp(all_scores, axis=-1) - right
        return jnp.sum(loss * batch.weight) / jnp.maximum(jnp.sum(batch.weight), 1.0), seeds


@cache
def transformer(shape: Shape) -> Transformer:
    """Return the network for a shape. Models of one shape share it and its compiled code."""
    return Transformer(shape)


def _build(shape: Shape) -> Any:
    draws = iter(range(1_000 * shape.seed, 1_000 * shape.seed + 1_000))
    width, deviation = shape.width, shape.width**-0.5

    def embedding(rows: int, name: str) -> Any:
        normal = keras.initializers.RandomNormal(stddev=deviation, seed=next(draws))
        return layers.Embedding(rows, width, embeddings_initializer=normal, name=name)

    def glorot() -> Any:
        return keras.initializers.GlorotUniform(seed=next(draws))

    def dropout(name: str) -> Any:
        return layers.Dropout(shape.dropout, seed=next(draws), name=name)

    def norm(name: str) -> Any:
        return layers.LayerNormalization(epsilon=1e-6, name=name)

    def added(x: Any, y: Any, name: str) -> Any:
        """Add a part's output y to its input x, or the share of it that its gate lets through."""
        if shape.gated:
            gate = layers.Dense(width, "sigmoid", kernel_initializer=glorot(), name=f"{GATE}{name}")
            y = y * gate(x)
        return x + dropout(name)(y)

    items = keras.Input((shape.length,), dtype="int32")
    places = keras.ops.arange(shape.length)
    x = embedding(shape.rows, "items")(items) + embedding(shape.length, "places")(places)
    x = dropout("embedded")(x)
    for k in range(shape.blocks):
        attention = layers.MultiHeadAttention(
            shape.heads,
            width // shape.heads,
            dropout=shape.dropout,
            kernel_initializer=glorot(),
            seed=next(draws),
            name=f"attention{k}",
        )
        y = norm(f"before_attention{k}")(x)
        x = added(x, attention(y, y, use_causal_mask=True), f"attended{k}")
        y = layers.Dense(width, "relu", kernel_initializer=glorot(), name=f"inner{k}")(norm(f"before_inner{k}")(x))
        y = layers.Dense(width, kernel_initializer=glorot(), name=f"outer{k}")(y)
        x = added(x, y, f"mixed{k}")
    return keras.Model(items, norm("output")(x))
