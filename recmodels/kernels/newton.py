"""Online Newton step for the weights of the blend.

Columns of popularity at five half-lives are strongly correlated, and so are those of co-visitation. A step along the
gradient moves such weights against each other slowly. The Newton step takes account of it. For each context it keeps
the inverse of a decayed sum of outer products of gradients:

    A = KEEP * A + g g^T          weight += rate * A^-1 g

The rate is 1 at the default `learning_rate`, and in proportion to it.

`A` starts as `FIRST_CURVATURE` on the diagonal. State of a version without it starts with the sums of squared
gradients that AdaGrad left. The inverse is updated by the formula of Sherman and Morrison, in time columns^2.

Each shard keeps a sum of its own. It has fewer events, so its steps are longer, and all shards take over a share of
each step (`recmodels.fused.sharing`).

Source: Hazan, Agarwal and Kale, "Logarithmic regret algorithms for online convex optimization", Machine Learning 69,
2007. The decay is that of recursive least squares.
"""

from typing import Annotated, Final, NamedTuple

import numpy as np

from recmodels.kernels.compile import kernel
from recmodels.kernels.layout import Float64, Scratch, Stored
from recmodels.kernels.reductions import dot
from recmodels.kernels.shared import Candidates

KEEP: Final = 0.9999
"""Share of the sum that is left after another event."""
FIRST_CURVATURE: Final = 10.0
"""What the sum starts with. It keeps the first steps small."""
USUAL_RATE: Final = 0.2
"""The learning rate at which a step is the whole Newton step."""
LARGEST_WEIGHT: Final = 20.0
"""Bound on the absolute value of a weight."""


class Curvature(NamedTuple):
    """The inverse of the sum, by context."""

    inverse: Annotated[Float64, Stored("contexts", "columns", "columns", key="curvature")]
    """[contexts, columns, columns] symmetric. All zero: the context had no event yet."""
    gradient: Annotated[Float64, Scratch("columns")]
    """[columns] gradient of the log-likelihood."""
    step: Annotated[Float64, Scratch("columns")]
    """[columns] the inverse times the gradient."""


@kernel
def learn(
    curvature: Curvature,
    weight: Float64,
    squares: Float64,
    length: int,
    gap: int,
    target: int,
    rate: float,
    candidates: Candidates,
) -> None:
    """Take one Newton step on minus the logarithm of a candidate's share.

    Args:
        curvature: The inverses, and scratch.
        weight, squares: [contexts, columns] weights, and the sums that AdaGrad left.
        length, gap: The contexts of the user, as rows of the weights.
        target: The slot of the candidate that the user chose.
        rate: The learning rate, as for AdaGrad.
        candidates: The user's set with its columns, and its shares.
    """
    for c in range(weight.shape[1]):
        curvature.gradient[c] = 0.0
        if candidates.inactive[c] == 0:
            column = candidates.column[c]
            expected = dot(candidates.share, column, candidates.size[0])
            curvature.gradient[c] = np.float64(column[target] - expected)
    move(curvature, weight[length], squares[length], length, rate / USUAL_RATE)
    move(curvature, weight[gap], squares[gap], gap, rate / USUAL_RATE)


@kernel
def move(curvature: Curvature, weight: Float64, squares: Float64, context: int, rate: float) -> None:
    """Move the weights of one context by a Newton step."""
    inverse, gradient, step, size = curvature.inverse[context], curvature.gradient, curvature.step, weight.shape[0]
    if inverse[0, 0] == 0.0:
        begin(inverse, squares)
    for d in range(size):
        step[d] = 0.0
    for c in range(size):
        slope = gradient[c]
        if slope != 0.0:
            for d in range(size):
                step[d] += slope * inverse[c, d]
    bend, trace = 0.0, 0.0
    for c in range(size):
        bend += step[c] * gradient[c]
        trace += inverse[c, c]
    if not 0.0 <= bend < np.inf:  # rounding, after very many events
        begin(inverse, squares)
        return
    one = 1.0 / (KEEP + bend)
    for c in range(size):
        weight[c] = min(max(weight[c] + rate * one * step[c], -LARGEST_WEIGHT), LARGEST_WEIGHT)
    # Directions that no event has would grow without end, so the sum decays up to a bound only.
    grown = 1.0 / KEEP if trace < size / FIRST_CURVATURE else 1.0
    for c in range(size):
        if step[c] != 0.0:
            part = one * step[c]
            for d in range(size):
                inverse[c, d] = (inverse[c, d] - part * step[d]) * grown


@kernel
def begin(inverse: Float64, squares: Float64) -> None:
    """Start with a diagonal. `squares` are the sums that AdaGrad left, or zero."""
    inverse[:, :] = 0.0
    for c in range(squares.shape[0]):
        inverse[c, c] = 1.0 / (FIRST_CURVATURE + squares[c])


def forget(inverse: Float64, left: float) -> None:
    """Leave a share of the sum of each context, so that steps become larger again, up to those of the first events."""
    largest = np.einsum("kcc->kc", inverse).max(axis=1)
    allowed = np.clip(1.0 / (FIRST_CURVATURE * np.maximum(largest, 1e-300)), 1.0, 1.0 / left)
    inverse *= allowed[:, None, None]
