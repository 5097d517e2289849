"""What a training gets, and what it gives: plain arrays, in this process or in a file."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NET = ("input", "back", "gate_bias", "out", "out_bias", "start")
"""Names of the weights that belong to no item."""


class Work(NamedTuple):
    """What a training gets."""

    number: int
    """Number of events that the model had learned when the data were taken."""
    seed: int
    """Seed of everything that is drawn."""
    names: list[str]
    """[K] ids of the items."""
    items: NDArray[np.int32]
    """[N] the histories one after the other, each from its oldest item: places in `names`, from 1."""
    lengths: NDArray[np.int32]
    """[H] length of each history."""
    begins: NDArray[np.uint8]
    """[H] 1 if the history begins with the user's first item."""
    weights: Mapping[str, NDArray[np.float32]]
    """Where the training starts: `vector` [K + 1, D] and `bias` [K + 1], whose first row belongs to no item, and those
    of `NET`."""

    def digest(self) -> bytes:
        """Return 32 bytes that name this work: the same work has the same digest.

        >>> work = Work(1, 0, ["a"], np.ones(1, np.int32), np.ones(1, np.int32), np.ones(1, np.uint8), {})
        >>> work.digest() == work._replace(seed=0).digest(), work.digest() == work._replace(seed=1).digest()
        (True, False)
        """
        whole = hashlib.sha256()
        for name, array in sorted(self.arrays().items()):
            whole.update(f"{name} {array.dtype} {array.shape}".encode())
            whole.update(np.ascontiguousarray(array).data)
        return whole.digest()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the work as arrays by name."""
        names = np.frombuffer(json.dumps(self.names).encode(), np.uint8)
        parts: dict[str, NDArray[Any]] = {
            "names": names,
            "items": self.items,
            "lengths": self.lengths,
            "begins": self.begins,
        }
        numbers = {"number": np.array([self.number, self.seed], np.int64)}
        return {**numbers, **parts, **{f"weights.{name}": array for name, array in self.weights.items()}}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Work":
        """Return the work of a result of `arrays`."""
        number, seed = arrays["number"].tolist()
        names = json.loads(arrays["names"].tobytes())
        return cls(number, seed, names, arrays["items"], arrays["lengths"], arrays["begins"], _weights_of(arrays))


class Trained(NamedTuple):
    """What a training gives."""

    names: list[str]
    """[K] ids of the items."""
    weights: Mapping[str, NDArray[np.float32]]
    """As in `Work`."""
    loss: float
    """Mean loss of the last steps, the cross-entropy in nats."""
    steps: int
    """Number of steps."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the weights as arrays by name."""
        names = np.frombuffer(json.dumps(self.names).encode(), np.uint8)
        figures: dict[str, NDArray[Any]] = {"figures": np.array([self.loss, self.steps], np.float64), "names": names}
        return {**figures, **{f"weights.{name}": array for name, array in self.weights.items()}}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Trained":
        """Return the weights of a result of `arrays`."""
        loss, steps = arrays["figures"].tolist()
        return cls(json.loads(arrays["names"].tobytes()), _weights_of(arrays), loss, int(steps))


def _weights_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    prefix = "weights."
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def first_weights(items: int, width: int, draw: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Return weights before any training.

    Args:
        items: Number K of items.
        width: Length D of a state.
        draw: Random generator.
    """

    def normal(*shape: int) -> NDArray[np.float32]:
        return (draw.standard_normal(shape) * width**-0.5).astype(np.float32)  # type: ignore[no-any-return]

    gate_bias = np.zeros(3 * width, np.float32)
    gate_bias[:width] = -1.0  # at first a state keeps most of itself
    return {
        "vector": normal(items + 1, width),
        "bias": np.zeros(items + 1, np.float32),
        "input": normal(width, 3 * width),
        "back": normal(width, 3 * width),
        "gate_bias": gate_bias,
        "out": np.eye(width, dtype=np.float32),
        "out_bias": np.zeros(width, np.float32),
        "start": np.zeros(width, np.float32),
    }
