"""Keras networks without weights of their own: each call takes the weights as arrays and returns new ones.

So a model's state is plain arrays, and copies of a model share only the compiled code. The result does not depend on
the order in which networks are built.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recmodels.deep.backend import jax

Weights = dict[str, NDArray[np.float32]]
"""A network's weights, by name."""
FIRST_ROWS = 1_024


def capacity(used: int, most: int) -> int:
    """Return the number of rows of a network. It doubles each time, so that a network is rarely compiled again.

    >>> capacity(900, most=20_000), capacity(1_025, most=20_000), capacity(17_000, most=20_000)
    (1024, 2048, 20000)
    """
    rows = FIRST_ROWS
    while rows < used:
        rows *= 2
    return min(rows, most)


class Network(ABC):
    """Base of the networks: Adam on a loss, over a Keras model.

    Args:
        model: A Keras model. All its layers have names and seeds.
        optimizer: An optimizer of Keras.
        more: Trained variables that belong to no layer.

    Attributes:
        names: Names of the weights in the order of the arguments of `loss`: those of the model, then `more`.
        first: The initial weights.
    """

    def __init__(self, model: Any, optimizer: Any, more: Sequence[Any] = ()) -> None:
        variables = [*model.trainable_variables, *more]
        optimizer.build(variables)
        self.names = [variable.path for variable in variables]
        self.first: Weights = {variable.path: np.array(variable.value, np.float32) for variable in variables}
        self._layers = len(model.trainable_variables)
        self._model = model
        self._optimizer = optimizer
        self._moments = [np.array(variable.value) for variable in optimizer.variables]
        self._seeds = [np.array(variable.value) for variable in model.non_trainable_variables]  # dropout has no other

    def train(self, weights: Weights, batches: Iterable[Any], seed: NDArray[np.uint32]) -> Weights:
        """Take one step of Adam, from moments of 0, for each batch, and return the new weights.

        Args:
            weights: The present weights.
            batches: Arguments of `loss`, all of one shape. Another shape is compiled again.
            seed: [2] Seed of the dropout.
        """
        trained: Any = self._listed(weights)
        moments: Any = list(self._moments)
        seeds: Any = [(seed + np.uint32(layer)).astype(state.dtype) for layer, state in enumerate(self._seeds)]
        for batch in batches:
            trained, seeds, moments = self._step(trained, seeds, moments, batch)
        return {name: np.array(value) for name, value in zip(self.names, trained, strict=True)}

    @abstractmethod
    def loss(self, trained: Any, seeds: Any, batch: Any) -> tuple[Any, Any]:
        """Return the loss of a batch, and the seeds after it; traced by JAX."""

    def call(self, trained: Any, seeds: Any, inputs: Any) -> tuple[Any, Any]:
        """Return the outputs in training mode, and the next seeds."""
        output = self._model.stateless_call(trained[: self._layers], seeds, inputs, training=True)
        return output[0], output[1]

    def predict(self, trained: Any, inputs: Any) -> Any:
        """Return the outputs of the model."""
        return self._model.stateless_call(trained[: self._layers], self._seeds, inputs, training=False)[0]

    def _listed(self, weights: Weights) -> list[NDArray[np.float32]]:
        return [weights[name] for name in self.names]

    @partial(jax.jit, static_argnums=0)
    def _step(self, trained: Any, seeds: Any, moments: Any, batch: Any) -> Any:
        (_, seeds), gradient = jax.value_and_grad(self.loss, has_aux=True)(trained, seeds, batch)
        trained, moments = self._optimizer.stateless_apply(moments, gradient, trained)
        return trained, seeds, moments
