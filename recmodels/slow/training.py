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
from typing import Any, Final

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
FIRST_ROWS: Final = 1_024
"""Least number of rows of items for which a step is compiled. It doubles, so that few are compiled."""
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
    draw, count = np.random.default_rng([work.seed, work.number]), len(work.names)
    rows = FIRST_ROWS
    while rows < count + 1:
        rows *= 2
    start: dict[str, Any] = dict(work.weights)
    start["vector"] = _filled(work.weights["vector"], rows)
    start["bias"] = _filled(work.weights["bias"], rows)
    trained: Any = {name: jnp.array(array) for name, array in start.items()}
    mean = {name: jnp.zeros_like(array) for name, array in trained.items()}
    squares = {name: jnp.zeros_like(array) for name, array in trained.items()}
    key, losses = jax.random.key(work.seed), []
    for number, batch in enumerate(_batches(work, options, rows, draw), 1):
        at = jax.random.fold_in(key, number)
        trained, mean, squares, loss = _step(
            trained, mean, squares, float(number), at, *batch, options.dropout, options.learning_rate
        )
        losses.append(loss)
        after_step()
    weights = {name: np.array(array) for name, array in trained.items()}
    weights["vector"], weights["bias"] = weights["vector"][: count + 1], weights["bias"][: count + 1]
    last = float(np.mean([float(loss) for loss in losses[-LAST_STEPS:]])) if losses else 0.0
    return Trained(work.names, weights, last, len(losses))


def _batches(work: Work, options: SlowOptions, rows: int, draw: np.random.Generator) -> Iterator[tuple[Any, Any, Any]]:
    count = len(work.names)
    widths = sorted({max(round(share * options.length), 2) for share in CLASSES} | {options.length})
    sizes = [options.batch_size * options.length // width for width in widths]
    room = min(options.negatives, rows)
    catalogue = np.arange(1, count + 1, dtype=np.int32)
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
            drawn = catalogue if count <= room else draw.choice(catalogue, room, replace=False)
            width, size = widths[kind], sizes[kind]
            yield _filled(target[chosen, :width], size), _filled(weight[chosen, :width], size), _filled(drawn, room)
            steps += 1
        epoch += 1


@partial(jax.jit, static_argnames=("dropout",))
def _step(
    trained: Any,
    mean: Any,
    squares: Any,
    number: Any,
    key: Any,
    target: Any,
    weight: Any,
    drawn: Any,
    dropout: float,
    rate: Any,
) -> tuple[Any, Any, Any, Any]:
    """Take a step of Adam (Kingma and Ba, ICLR 2015)."""
    loss, slope = jax.value_and_grad(_loss)(trained, key, target, weight, drawn, dropout)
    mean = {name: 0.9 * mean[name] + 0.1 * slope[name] for name in trained}
    squares = {name: 0.999 * squares[name] + 0.001 * slope[name] ** 2 for name in trained}
    by_mean, by_squares = 1.0 - 0.9**number, 1.0 - 0.999**number
    trained = {
        name: weights - rate * (mean[name] / by_mean) / (jnp.sqrt(squares[name] / by_squares) + 1e-8)
        for name, weights in trained.items()
    }
    return trained, mean, squares, loss


def _loss(trained: Any, key: Any, target: Any, weight: Any, drawn: Any, dropout: float) -> Any:
    """Return the mean cross-entropy of the targets [B, L] among the drawn items [C]."""
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
    others = query @ trained["vector"][drawn].T + trained["bias"][drawn]
    is_other = (drawn > 0) & (drawn != target[..., None])
    logits = jnp.concatenate([right[..., None], jnp.where(is_other, others, -jnp.inf)], axis=-1)
    return jnp.sum((jax.nn.logsumexp(logits, axis=-1) - right) * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def _dropped(values: Any, key: Any, share: float) -> Any:
    return values * jax.random.bernoulli(key, 1.0 - share, values.shape) / (1.0 - share) if share else values


def _filled(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return an array with rows of 0 behind it: all batches have one shape."""
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])
