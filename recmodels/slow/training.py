"""Training of the recurrent net: Adam on a softmax over many items, with JAX, on one thread.

The loss of a target is the cross-entropy of its softmax among all items, or among itself and a sample of the others.
Many negatives rank better than one (Klenitskiy and Vasilev, Turning Dross Into Gold Loss, RecSys 2023). The training
starts from the weights in use, and its histories include a reservoir of older ones. Both keep it from forgetting (Mi et
al., ADER, RecSys 2020).

By default XLA splits a sum over all cores, and the order of a sum changes its last bits. On one thread the same work
gives the same weights on all machines of a kind, in whatever process.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmodels.slow.options import INSTALL, SlowOptions
from recmodels.slow.sequences import cut
from recmodels.slow.work import Trained, Work

ONE_THREAD: Final = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

if ONE_THREAD not in os.environ.get("XLA_FLAGS", ""):  # XLA reads them at its first use
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}".strip()

try:
    import jax
except ImportError as error:
    raise ImportError(f"the slow member is trained with JAX, and {error.name} is not installed: {INSTALL}") from None


def _use_one_core() -> None:
    """Have XLA make its threads for one core, whatever the process may use: their number decides how sums are split."""
    if not hasattr(os, "sched_getaffinity"):
        return  # not on Linux
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        jax.devices("cpu")
    finally:
        os.sched_setaffinity(0, cores)


_use_one_core()
jnp = jax.numpy
OF_ITEMS: Final = ("vector", "bias")
"""Names of the weights that have a row for each item."""
POPULAR: Final = 0.5
"""Share of the negatives that are drawn by how often they were taken. The others are drawn from all alike."""
CLASSES: Final = (0.15, 0.4, 1.0)
"""Lengths of sequences in a batch, as shares of the longest. A batch of short ones has more of them."""
LAST_STEPS: Final = 20
"""Number of steps, the last ones, of which the loss is reported."""


def train(work: Work, options: SlowOptions, after_step: Callable[[], None] = lambda: None) -> Trained:
    """Train the net on histories.

    Args:
        work: The histories, and the weights to start from.
        options: The arguments of the member.
        after_step: Called after each step, so that the caller can sleep.
    """
    draw = np.random.default_rng([work.seed, work.number])
    of_items = {name: work.weights[name].copy() for name in OF_ITEMS}
    table = _Adam(of_items, *({name: np.zeros_like(array) for name, array in of_items.items()} for _ in range(2)))
    net: Any = {name: jnp.array(array) for name, array in work.weights.items() if name not in OF_ITEMS}
    of_net = _Adam(net, *({name: jnp.zeros_like(array) for name, array in net.items()} for _ in range(2)))
    key, losses = jax.random.key(work.seed), []
    for number, batch in enumerate(_batches(work, options, draw), 1):
        rows = batch.rows
        taken = _Adam(*({name: array[rows] for name, array in part.items()} for part in table))
        at = jax.random.fold_in(key, number)
        taken, of_net, loss = _step(taken, of_net, float(number), at, batch[1:], options.dropout, options.learning_rate)
        for part, new in zip(table, taken, strict=True):
            for name, array in part.items():
                array[rows[: batch.used]] = np.asarray(new[name])[: batch.used]
        losses.append(loss)
        after_step()
    weights = {**table.weights, **{name: np.array(array) for name, array in of_net.weights.items()}}
    last = float(np.mean([float(loss) for loss in losses[-LAST_STEPS:]])) if losses else 0.0
    return Trained(work.names, weights, last, len(losses))


class _Adam(NamedTuple):
    """Weights by name, and the moments of their slopes."""

    weights: Any
    mean: Any
    squares: Any


class _Batch(NamedTuple):
    """What a step gets: a part of the items, and sequences of their places in this part."""

    rows: NDArray[np.int32]
    """[R] rows of the items, each once; then row 0 again and again."""
    used: int
    """Number of rows before those."""
    target: NDArray[np.int32]
    """[B, L] places of the items of sequences."""
    weight: NDArray[np.float32]
    """[B, L] weight of each as a target."""
    drawn: NDArray[np.int32]
    """[C] places of negatives. 0: none."""
    chance: NDArray[np.float32]
    """[C] logarithm of the expected number of times that each is drawn."""


def _batches(work: Work, options: SlowOptions, draw: np.random.Generator) -> Iterator[_Batch]:
    """Yield batches. Neither their sizes nor the cost of a step depends on the number of items."""
    widths = sorted({max(round(share * options.length), 2) for share in CLASSES} | {options.length})
    sizes = [options.batch_size * options.length // width for width in widths]
    negatives = _negatives(work, options.negatives, draw)
    epoch = steps = 0
    while epoch < options.epochs or steps < options.least_steps:
        target, weight = cut(work.items, work.lengths, work.begins, options.length, draw)
        order, batches = draw.permutation(len(target)), []
        kinds = np.searchsorted(widths, np.count_nonzero(target[order], axis=1))
        for kind, size in enumerate(sizes):
            alike = order[kinds == kind]
            batches += [(kind, alike[first : first + size]) for first in range(0, len(alike), size)]
        for place in draw.permutation(len(batches)).tolist():
            kind, chosen = batches[place]
            width, size = widths[kind], sizes[kind]
            drawn, chance = next(negatives)
            items = _filled(target[chosen, :width], size)
            rows, places = np.unique(np.concatenate([[0], items.ravel(), drawn]), return_inverse=True)
            local = places[1 : 1 + items.size].reshape(items.shape).astype(np.int32)
            yield _Batch(
                _filled(rows.astype(np.int32), 1 + items.size + len(drawn)),
                len(rows),
                local,
                _filled(weight[chosen, :width], size),
                places[1 + items.size :].astype(np.int32),
                chance,
            )
            steps += 1
        epoch += 1


def _negatives(
    work: Work, room: int, draw: np.random.Generator
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """Yield rows of negatives and the logarithms of their chances: all items, or a sample if there are more than fit.

    Half of a sample is drawn by how often items were taken, as those are the negatives that matter.
    """
    count = len(work.names)
    if count <= room:
        every = np.arange(1, count + 1, dtype=np.int32)
        while True:
            yield _filled(every, room), np.zeros(room, np.float32)
    share = POPULAR * np.bincount(work.items, minlength=count + 1) / len(work.items) + (1.0 - POPULAR) / count
    logarithm = np.log(room * share).astype(np.float32)
    popular = round(POPULAR * room)
    while True:
        taken = work.items[draw.integers(len(work.items), size=popular)]
        alike = draw.integers(1, count + 1, size=room - popular, dtype=np.int32)
        drawn = np.concatenate([taken, alike])
        yield drawn, logarithm[drawn]


@partial(jax.jit, static_argnames=("dropout",))
def _step(
    taken: _Adam, of_net: _Adam, number: Any, key: Any, batch: Any, dropout: float, rate: Any
) -> tuple[_Adam, _Adam, Any]:
    """Take a step of Adam (Kingma and Ba, ICLR 2015), on the net and on the rows of items in the batch."""
    _, target, weight, drawn, chance = batch
    both = _Adam(*(of_items | of_rest for of_items, of_rest in zip(taken, of_net, strict=True)))
    loss, slope = jax.value_and_grad(_loss)(both.weights, key, target, weight, drawn, chance, dropout)
    by_mean, by_squares = 1.0 - 0.9**number, 1.0 - 0.999**number
    mean = {name: 0.9 * both.mean[name] + 0.1 * slope[name] for name in slope}
    squares = {name: 0.999 * both.squares[name] + 0.001 * slope[name] ** 2 for name in slope}
    weights = {
        name: old - rate * (mean[name] / by_mean) / (jnp.sqrt(squares[name] / by_squares) + 1e-8)
        for name, old in both.weights.items()
    }
    parts = [
        _Adam(*({name: part[name] for name in names} for part in (weights, mean, squares)))
        for names in (taken.weights, of_net.weights)
    ]
    return parts[0], parts[1], loss


def _loss(trained: Any, key: Any, target: Any, weight: Any, drawn: Any, chance: Any, dropout: float) -> Any:
    """Return the mean cross-entropy of the targets [B, L] among the drawn items [C].

    The logit of a drawn item is lowered by the logarithm of its chance. So the sum over a sample stands for that over
    all items.

    Source: Bengio and Senecal, Adaptive Importance Sampling, IEEE Transactions on Neural Networks, 2008.
    """
    of_items, of_states = jax.random.split(key)
    width = trained["start"].shape[0]
    vectors = _dropped(trained["vector"][target[:, :-1]], of_items, dropout)
    gates = jnp.swapaxes(vectors @ trained["input"] + trained["gate_bias"], 0, 1)
    start = jnp.broadcast_to(trained["start"], (target.shape[0], width))

    def advance(hidden: Any, gates: Any) -> tuple[Any, Any]:
        backed = hidden @ trained["back"]
        both = jax.nn.sigmoid(gates[:, : 2 * width] + backed[:, : 2 * width])
        new = jnp.tanh(gates[:, 2 * width :] + both[:, width:] * backed[:, 2 * width :])
        hidden = hidden + both[:, :width] * (new - hidden)
        return hidden, hidden

    _, states = jax.lax.scan(advance, start, gates)
    states = jnp.swapaxes(jnp.concatenate([start[None], states]), 0, 1)
    query = _dropped(states, of_states, dropout) @ trained["out"] + trained["out_bias"]
    right = jnp.sum(query * trained["vector"][target], axis=-1) + trained["bias"][target]
    others = query @ trained["vector"][drawn].T + (trained["bias"][drawn] - chance)
    others = jnp.where((drawn > 0) & (drawn != target[..., None]), others, -jnp.inf)
    # The sum goes over the drawn items as they are: joining the right one to them would copy them all.
    highest = jax.lax.stop_gradient(jnp.maximum(jnp.max(others, axis=-1), right))
    total = jnp.sum(jnp.exp(others - highest[..., None]), axis=-1) + jnp.exp(right - highest)
    return jnp.sum((jnp.log(total) + highest - right) * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def _dropped(values: Any, key: Any, share: float) -> Any:
    return values * jax.random.bernoulli(key, 1.0 - share, values.shape) / (1.0 - share) if share else values


def _filled(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return an array with rows of 0 behind it: all batches have one shape."""
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])
