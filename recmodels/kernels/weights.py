"""Weights of the blend: a multinomial logit over the candidates, learned online, by context.

    score(j) = sum over columns c of (weight[length, c] + weight[gap, c]) * column[c, j]

where `length` and `gap` are the contexts of the user (see `user_context`). The probability that the next item is j is
the softmax of the scores. Each event takes one AdaGrad step on its log loss, before the members learn the event. So the
weights see the members' columns for events that the members have not learned yet.

Sources: McFadden, "Conditional logit analysis of qualitative choice behavior", in Frontiers in Econometrics, 1974;
AdaGrad, Duchi, Hazan and Singer, JMLR 12, 2011.
"""

from typing import Final

import numpy as np

from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.reductions import add_up, dot, highest
from recmodels.kernels.shared import Candidates
from recmodels.kernels.state import Weights

FIRST_SQUARES: Final = 0.01
"""Initial sum of squared gradients of every weight."""
LOG2_E: Final = np.float32(1.44269504)
LN_2: Final = np.float32(0.69314718)
LARGEST_WEIGHT: Final = 20.0
"""Bound on the absolute value of a weight."""


@kernel
def score(weights: Weights, length: int, gap: int, candidates: Candidates) -> None:
    """Write the score of each candidate: the weighted sum of its columns.

    Args:
        weights: The weights.
        length, gap: The contexts of the user, as rows of the weights (`user_context`).
        candidates: The user's set, with its columns. Its `score` [CANDIDATES] is written.
    """
    total = candidates.score
    size = candidates.size[0]
    total[:size] = 0.0
    waiting, first = int64(-1), np.float32(0.0)
    for c in range(weights.weight.shape[1]):
        weight = np.float32(weights.weight[length, c] + weights.weight[gap, c])
        if weight == 0.0 or candidates.inactive[c] > 0:
            continue
        if waiting < 0:
            waiting, first = int64(c), weight
            continue
        a, b = candidates.column[waiting], candidates.column[c]
        for s in range(size):  # two columns in one pass, in the order of single ones
            total[s] = (total[s] + first * a[s]) + weight * b[s]
        waiting = int64(-1)
    if waiting >= 0:
        a = candidates.column[waiting]
        for s in range(size):
            total[s] += first * a[s]


@kernel
def exp2(x: np.float32) -> np.float32:
    """Return 2^x for x of 0 or less, with an error below 0.00001. Unlike the library's it runs in SIMD lanes.

    2^floor(x) is built from its bits, and multiplied by a Taylor polynomial of the rest.
    """
    x = max(x, np.float32(-125.0))
    whole = np.floor(x)
    r = (x - whole) * LN_2
    power = np.float32(1.0)
    for n in (6, 5, 4, 3, 2, 1):
        power = np.float32(1.0) + power * r * np.float32(1.0 / n)
    return power * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@kernel
def share(candidates: Candidates) -> np.float32:
    """Write the softmax of the scores into `share` [CANDIDATES], and return the logarithm of its denominator."""
    size = candidates.size[0]
    best = highest(candidates.score, size)
    for s in range(size):
        candidates.share[s] = exp2((candidates.score[s] - best) * LOG2_E)
    total = add_up(candidates.share, size)
    one = np.float32(1.0) / total
    for s in range(size):
        candidates.share[s] *= one
    return best + np.log(total)


@kernel
def learn(weights: Weights, length: int, gap: int, target: int, rate: float, candidates: Candidates) -> None:
    """Take one AdaGrad step on minus the logarithm of a candidate's share.

    Args:
        weights: The weights.
        length, gap: The contexts of the user, as rows of the weights.
        target: The slot of the candidate that the user chose.
        rate: The learning rate.
        candidates: The user's set with its columns, and its shares as of `share`.
    """
    for c in range(weights.weight.shape[1]):
        if candidates.inactive[c] > 0:
            continue
        column = candidates.column[c]
        expected = dot(candidates.share, column, candidates.size[0])
        gradient = np.float64(column[target] - expected)
        move(weights, length, c, gradient, rate)
        move(weights, gap, c, gradient, rate)


@kernel
def move(weights: Weights, context: int, c: int, gradient: float, rate: float) -> None:
    """Move one weight along its gradient.

    Args:
        weights: The weights.
        context, c: Row and column of the weight.
        gradient: Gradient of the log-likelihood.
        rate: Learning rate.
    """
    weights.squares[context, c] += gradient * gradient
    moved = weights.weight[context, c] + rate * gradient / np.sqrt(weights.squares[context, c] + FIRST_SQUARES)
    weights.weight[context, c] = min(max(moved, -LARGEST_WEIGHT), LARGEST_WEIGHT)
