"""Network of the multi-layer perceptron: the probability that a user takes an item, from user, item and history.

    p = sigmoid(w · dropout(relu(U u + V i + b)))

`u` describes the user: the user's vector, the mean vector of the recent items, newest first in weight, and the event
count. `i` describes the item for this user: its vector, that vector times each of the user's two, element by element,
and its recent counts. U u + V i is one dense layer over both; in two
parts, a user's part is computed once for all items.

It learns by binary cross-entropy.

Sources: He et al., Neural Collaborative Filtering, WWW 2017, for the products; Covington, Adams and Sargin, Deep Neural
Networks for YouTube Recommendations, RecSys 2016, for the mean of the history.
"""

from functools import cache, partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmodels.deep.backend import jax, keras
from recmodels.deep.network import Network, Weights
from recmodels.deep.online_inputs import SPANS

jnp, layers = jax.numpy, keras.layers

DECAY: Final = 0.9
"""Factor per place by which an older recent item counts less in the mean."""
USERS: Final = "users/embeddings"
ITEMS: Final = "items/embeddings"
HISTORY: Final = "history/embeddings"


class Shape(NamedTuple):
    """Shape for which a network is compiled. See the arguments of `MLP`."""

    user_rows: int
    item_rows: int
    recent: int
    width: int
    units: int
    dropout: float
    learning_rate: float
    seed: int


class Query(NamedTuple):
    """Users, and candidates for each of them."""

    user: NDArray[np.int32]
    """[B] Row of the user. 0: unknown."""
    history: NDArray[np.int32]
    """[B, H] Rows of the recent items, the newest first. 0: none."""
    activity: NDArray[np.float32]
    """[B, 1] Logarithm of 1 and the number of events in the user's history."""
    item: NDArray[np.int32]
    """[B, C] Rows of the candidates. 0: unknown."""
    taken: NDArray[np.float32]
    """[B, C, S] Logarithm of 1 and how often each was taken in the last `SPANS` events."""


class Batch(NamedTuple):
    """A training batch."""

    query: Query
    label: NDArray[np.float32]
    """[B, C] 1 for the item taken, 0 for negatives."""


class Perceptron(Network):
    """The network for one shape."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(_build(shape), keras.optimizers.Adam(shape.learning_rate))

    def probability(self, weights: Weights, query: Query) -> NDArray[np.float32]:
        """Return [B, C] the probability that each user takes each candidate."""
        return np.asarray(self._probability(self._listed(weights), query))

    @partial(jax.jit, static_argnums=0)
    def _probability(self, trained: Any, query: Query) -> Any:
        return jax.nn.sigmoid(self.predict(trained, list(query)))

    def loss(self, trained: Any, seeds: Any, batch: Batch) -> tuple[Any, Any]:
        """Return the mean binary cross-entropy, and the seeds after it."""
        logit, seeds = self.call(trained, seeds, list(batch.query))
        return jnp.mean(keras.losses.binary_crossentropy(batch.label, logit, from_logits=True)), seeds


@cache
def perceptron(shape: Shape) -> Perceptron:
    """Return the network for a shape. Models of one shape share it and its compiled code."""
    return Perceptron(shape)


def _build(shape: Shape) -> Any:
    draws = iter(range(1_000 * shape.seed, 1_000 * shape.seed + 1_000))

    def embedding(rows: int, name: str) -> Any:
        normal = keras.initializers.RandomNormal(stddev=0.1, seed=next(draws))
        return layers.Embedding(rows, shape.width, embeddings_initializer=normal, name=name)

    def dense(units: int, name: str, use_bias: bool = True) -> Any:
        glorot = keras.initializers.GlorotUniform(seed=next(draws))
        return layers.Dense(units, use_bias=use_bias, kernel_initializer=glorot, name=name)

    user = keras.Input((), dtype="int32")
    history = keras.Input((shape.recent,), dtype="int32")
    activity = keras.Input((1,))
    item = keras.Input((None,), dtype="int32")
    taken = keras.Input((None, len(SPANS)))

    counts = keras.ops.cast(history > 0, "float32") * DECAY ** np.arange(shape.recent, dtype=np.float32)
    counts = counts / keras.ops.maximum(keras.ops.sum(counts, axis=1, keepdims=True), 1e-6)
    had = keras.ops.sum(embedding(shape.item_rows, "history")(history) * counts[:, :, None], axis=1)
    who = embedding(shape.user_rows, "users")(user)
    what = embedding(shape.item_rows, "items")(item)
    of_user = layers.Concatenate(name="of_user")([who, had, activity])
    of_item = layers.Concatenate(name="of_item")([what, what * had[:, None, :], what * who[:, None, :], taken])
    of_both = dense(shape.units, "hidden_user", use_bias=False)(of_user)[:, None, :]
    hidden = keras.ops.relu(of_both + dense(shape.units, "hidden_item")(of_item))
    hidden = layers.Dropout(shape.dropout, seed=next(draws), name="dropped")(hidden)
    return keras.Model([user, history, activity, item, taken], dense(1, "output")(hidden)[:, :, 0])
