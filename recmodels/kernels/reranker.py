"""The reranker: a small net over the columns of the best candidates, learned online.

    logit(j) = score(j) + sum over units k of out[k] * max(0, bias[length, k] + bias[gap, k] + weight[k] · x(j))

`score` is that of `weights`, x(j) are the candidate's columns, scaled, and `length` and `gap` are the contexts of the
user. The net scores the *top* only: candidates whose score is less than `TOP_RANGE` below the best. If these are more
than `TOP_SIZE`, the range shrinks to its largest part that holds at most `TOP_SIZE` candidates. At first the net adds
nothing, since `out` is zero.

Each event takes one AdaGrad step on the loss of `weights`, the softmax over all candidates. That holds too where the
event's item is a candidate below the top: then every candidate in the top had too large a share. A net that skips
these events learns from the easy ones alone, and lists become worse than without it.
"""

from typing import Annotated, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmodels.kernels.compile import index, int64, kernel
from recmodels.kernels.lanes import LANES, Lanes, if_positive, load, multiply_add, spread, store, sum_of, total
from recmodels.kernels.layout import Float32, Int32, Int64, Scratch, Stored
from recmodels.kernels.members.popularity import HALF_LIVES
from recmodels.kernels.reductions import highest
from recmodels.kernels.shared import CANDIDATES, Candidates
from recmodels.kernels.splitmix import GOLDEN_GAMMA, mix

UNITS: Final = 16
"""Hidden units."""
LEARNING_RATE: Final = np.float32(0.05)
"""Learning rate."""
TOP_RANGE: Final = np.float32(6.0)
TOP_SIZE: Final = 192
BINS: Final = 64
"""Number of parts of `TOP_RANGE` in which candidates are counted."""
TOP_PARTS: Final = BINS + 1
"""Index of the number of parts in the top."""
STRIDE: Final = 2 * LANES
"""Loops run over a multiple of this number of candidates, so that none is left for a slower loop."""
FIRST_SQUARES: Final = np.float32(0.01)
"""Squared gradient that every weight starts with."""
LARGEST_WEIGHT: Final = np.float32(20.0)
"""Bound on the absolute value of a weight."""
INITIAL_RANGE: Final = 0.5
"""Bound on the initial hidden weights, which are uniform between minus this and this."""
POPULAR_SCALE: Final = np.float32(0.15)
"""Scale of the columns of popularity, which go down to -14."""
SCALE: Final = np.float32(0.5)
"""Scale of the other columns, which stay within a few units."""
SQUARES: Final = ("hidden_step", "hidden_bias_step", "hidden_out_step")
"""Names of the sums of squared gradients in the store."""


class Block(NamedTuple):
    """Scratch: up to `TOP_SIZE` candidates as the net sees them."""

    place: Annotated[Int32, Scratch(TOP_SIZE)]
    """[TOP_SIZE] their slots in the candidate set."""
    size: Annotated[Int64, Scratch(2)]
    """[2] the number of candidates, and the same rounded up to a multiple of `STRIDE`."""
    x: Annotated[Float32, Scratch("padded_columns", TOP_SIZE)]
    """[padded_columns, TOP_SIZE] their active columns, scaled."""
    hidden: Annotated[Float32, Scratch(UNITS, TOP_SIZE)]
    """[UNITS, TOP_SIZE] output of each unit, after the ReLU."""
    added: Annotated[Float32, Scratch(TOP_SIZE)]
    """[TOP_SIZE] output of the net, which is added to their scores."""


class Reranker(NamedTuple):
    """The net, and the top of the present candidate set."""

    weight: Annotated[Float32, Stored(UNITS, "columns", key="hidden_weight")]
    """[UNITS, columns]"""
    squares: Annotated[Float32, Stored(UNITS, "columns", key="hidden_step")]
    """[UNITS, columns] AdaGrad's sum of squared gradients. The other squares are the same for their weights."""
    bias: Annotated[Float32, Stored("contexts", UNITS, key="hidden_bias")]
    """[contexts, UNITS]"""
    bias_squares: Annotated[Float32, Stored("contexts", UNITS, key="hidden_bias_step")]
    out: Annotated[Float32, Stored(UNITS, key="hidden_out")]
    """[UNITS]"""
    out_squares: Annotated[Float32, Stored(UNITS, key="hidden_out_step")]
    cut: Annotated[Float32, Scratch(1)]
    """[1] the best score of the candidate set."""
    bins: Annotated[Int64, Scratch(BINS + 2)]
    """[BINS + 2] number of candidates in each part of `TOP_RANGE`, then of those below it, then the number `TOP_PARTS`
    of parts in the top."""
    other_bins: Annotated[Int64, Scratch(BINS + 1)]
    """[BINS + 1] the counts of every second candidate."""
    part: Annotated[Int32, Scratch(CANDIDATES)]
    """[CANDIDATES] the part of `TOP_RANGE` that each candidate lies in; `BINS` if it is below all of them."""
    packed: Annotated[Float32, Scratch(UNITS, "padded_columns")]
    """[UNITS, padded_columns] the weights of the active columns."""
    active: Annotated[Int32, Scratch("padded_columns")]
    """[padded_columns] the active columns."""
    n_active: Annotated[Int64, Scratch(2)]
    """[2] the number of active columns, and the same rounded up to a multiple of 2."""
    error: Annotated[Float32, Scratch(TOP_SIZE)]
    out_slope: Annotated[Float32, Scratch(UNITS)]
    bias_slope: Annotated[Float32, Scratch(UNITS)]
    slopes: Annotated[Float32, Scratch(UNITS, "padded_columns")]
    """[UNITS, padded_columns] sums over the candidates of error times column."""
    slope: Annotated[Float32, Scratch("columns")]
    top: Block
    """The top of the candidates that are learned from."""
    more: Block
    """Other candidates of the same rank: those of a long list, or items that are scored apart from a list."""


def first_weights(seed: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw the hidden weights from the seed and the place (SplitMix64).

    >>> first_weights(0, (1, 3)).astype(float).round(3).tolist()
    [[0.383, -0.068, -0.474]]
    """
    with np.errstate(over="ignore"):
        words = (
            np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
            + np.arange(1, int(np.prod(shape)) + 1).astype(np.uint64) * GOLDEN_GAMMA
        )
    z = mix(words)
    unit = (z >> np.uint64(40)).astype(np.float64) * 2.0**-24
    return (INITIAL_RANGE * (2.0 * unit - 1.0)).astype(np.float32).reshape(shape)


@kernel
def score(net: Reranker, length: int, gap: int, candidates: Candidates) -> None:
    """Find the top of a candidate set, and add the net's output to its scores.

    Args:
        net: The net.
        length, gap: Contexts of the user, as rows of the biases.
        candidates: The user's set, with its columns and scores. Scores of the top are changed.
    """
    pack(net, candidates)
    find_top(net, candidates)
    net.top.size[:] = 0
    if net.bins[TOP_PARTS] > 0:
        fill_block(net, net.top, candidates, int64(0), candidates.size[2])
        add_to_scores(net, net.top, length, gap, candidates)
        score_others(net, length, gap, candidates)


@kernel
def score_others(net: Reranker, length: int, gap: int, candidates: Candidates) -> None:
    """Add the net's output to candidates that are not learned from, by the top that `score` found."""
    start = candidates.size[2]
    note_parts(net, candidates, int64(start), candidates.size[0])
    while start < candidates.size[0] and net.bins[TOP_PARTS] > 0:
        start = fill_block(net, net.more, candidates, start, candidates.size[0])
        add_to_scores(net, net.more, length, gap, candidates)


@kernel
def pack(net: Reranker, candidates: Candidates) -> None:
    """Copy the weights of the active columns."""
    a = 0
    for c in range(candidates.inactive.shape[0]):
        if candidates.inactive[c] == 0:
            net.active[a] = c
            for k in range(UNITS):
                net.packed[k, a] = net.weight[k, c]
            a += 1
    net.n_active[0] = a
    net.n_active[1] = (a + 1) // 2 * 2


@kernel
def find_top(net: Reranker, candidates: Candidates) -> None:
    """Count candidates by their distance from the best score, and find the lower end of the top."""
    bins, size = net.bins, candidates.size[2]
    net.cut[0] = highest(candidates.score, size)
    note_parts(net, candidates, int64(0), size)
    bins[:] = 0
    other, even = net.other_bins, size // 2 * 2
    other[:] = 0
    for s in range(0, even, 2):  # two counts, as most candidates lie in one part, and each would wait for the last
        bins[net.part[s]] += 1
        other[net.part[s + 1]] += 1
    if even < size:
        bins[net.part[even]] += 1
    for part in range(BINS):
        bins[part] += other[part]
    total, parts = int64(0), int64(0)
    while parts < BINS and total + bins[parts] <= TOP_SIZE:
        total += bins[parts]
        parts += 1
    bins[TOP_PARTS] = parts


@kernel
def note_parts(net: Reranker, candidates: Candidates, start: int, stop: int) -> None:
    """Note the part of `TOP_RANGE` below the best score that each candidate lies in, from `start` to `stop` - 1."""
    best, part, score = net.cut[0], net.part, candidates.score
    for s in range(start, stop):
        below = (best - score[s]) * np.float32(BINS / TOP_RANGE)
        part[s] = np.int32(max(min(below, np.float32(BINS)), np.float32(0.0)))


@kernel
def fill_block(net: Reranker, block: Block, candidates: Candidates, start: int, stop: int) -> int:
    """Fill a block with candidates of the top, and return the slot at which the next block begins.

    Args:
        net: The net, with its top.
        block: The block to fill.
        candidates: The user's set.
        start, stop: Slots of the set to look at, from `start` to `stop` - 1.
    """
    parts = net.bins[TOP_PARTS]
    count, s = 0, start
    while s < stop and count < TOP_SIZE:
        block.place[count] = s
        count += int64(net.part[s] < parts)
        s += 1
    width = (count + STRIDE - 1) // STRIDE * STRIDE
    block.size[0], block.size[1] = count, width
    for a in range(0, net.n_active[1], 2):
        copy_two(net, block, candidates, int64(a))
    return s


@kernel
def copy_two(net: Reranker, block: Block, candidates: Candidates, a: int) -> None:
    """Copy and scale the active columns `a` and `a` + 1 of a block's candidates. Two at once share each slot."""
    second = a + 1 if a + 1 < net.n_active[0] else a
    of_x, of_y = net.active[a], net.active[second]
    x_scale = POPULAR_SCALE if of_x < HALF_LIVES else SCALE
    y_scale = POPULAR_SCALE if of_y < HALF_LIVES else SCALE
    x, y, place, count = block.x[a], block.x[a + 1], block.place, block.size[0]
    x_column, y_column = candidates.column[of_x], candidates.column[of_y]
    for j in range(count):
        s = index(place[j])
        x[j] = x_scale * x_column[s]
        y[j] = y_scale * y_column[s]
    for j in range(count, block.size[1]):
        x[j] = 0.0
        y[j] = 0.0


@kernel
def add_to_scores(net: Reranker, block: Block, length: int, gap: int, candidates: Candidates) -> None:
    """Add the net's output to the scores of a block's candidates.

    Args:
        net: The net.
        block: Candidates of the top.
        length, gap: Contexts of the user, as rows of the biases.
        candidates: The user's set, whose scores are changed.
    """
    for j in range(0, block.size[1], STRIDE):
        first, second = spread(np.float32(0.0)), spread(np.float32(0.0))
        for k in range(0, UNITS, 4):
            first, second = add_units(net, block, length, gap, int64(k), int64(j), first, second)
        store(block.added, j, first)
        store(block.added, j + LANES, second)
    for j in range(block.size[0]):
        candidates.score[block.place[j]] += block.added[j]


@kernel
def add_units(
    net: Reranker, block: Block, length: int, gap: int, k: int, j: int, first: Lanes, second: Lanes
) -> tuple[Lanes, Lanes]:
    """Compute four units from `k` on for the `STRIDE` candidates from `j` on, and add their part to two sums.

    The eight sums of the units stay in registers, which is as many as the processor can work on at once.
    """
    weight, bias, out = net.packed, net.bias, net.out
    w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
    a0 = b0 = spread(bias[length, k] + bias[gap, k])
    a1 = b1 = spread(bias[length, k + 1] + bias[gap, k + 1])
    a2 = b2 = spread(bias[length, k + 2] + bias[gap, k + 2])
    a3 = b3 = spread(bias[length, k + 3] + bias[gap, k + 3])
    for a in range(net.n_active[0]):
        x = block.x[a]
        xa, xb = load(x, j), load(x, j + LANES)
        v0, v1, v2, v3 = spread(w0[a]), spread(w1[a]), spread(w2[a]), spread(w3[a])
        a0, b0 = multiply_add(v0, xa, a0), multiply_add(v0, xb, b0)
        a1, b1 = multiply_add(v1, xa, a1), multiply_add(v1, xb, b1)
        a2, b2 = multiply_add(v2, xa, a2), multiply_add(v2, xb, b2)
        a3, b3 = multiply_add(v3, xa, a3), multiply_add(v3, xb, b3)
    first, second = unit_part(block.hidden[k], j, a0, b0, out[k], first, second)
    first, second = unit_part(block.hidden[k + 1], j, a1, b1, out[k + 1], first, second)
    first, second = unit_part(block.hidden[k + 2], j, a2, b2, out[k + 2], first, second)
    return unit_part(block.hidden[k + 3], j, a3, b3, out[k + 3], first, second)


@kernel
def unit_part(
    hidden: Float32, j: int, a: Lanes, b: Lanes, out: np.float32, first: Lanes, second: Lanes
) -> tuple[Lanes, Lanes]:
    """Write the output of a unit for two registers of candidates, and add it to their sums, times `out`."""
    a, b = if_positive(a, a), if_positive(b, b)
    store(hidden, j, a)
    store(hidden, j + LANES, b)
    part = spread(out)
    return multiply_add(part, a, first), multiply_add(part, b, second)


@kernel
def learn(net: Reranker, length: int, gap: int, target: int, candidates: Candidates) -> None:
    """Take one AdaGrad step on the softmax loss. The target need not be in the top.

    Args:
        net: The net, as `score` left it.
        length, gap: Contexts of the user, as rows of the biases.
        target: Slot of the item that the user chose.
        candidates: The user's set, with its shares.
    """
    block = net.top
    count, width, error, slope = block.size[0], block.size[1], net.error, net.slope
    if count == 0:
        return
    for j in range(count):
        error[j] = -candidates.share[block.place[j]]
        if block.place[j] == target:
            error[j] += np.float32(1.0)
    for j in range(count, width):
        error[j] = 0.0
    for k in range(UNITS):
        keep_active(net, block.hidden[k], int64(k), width)
    for k in range(0, UNITS, 4):
        for a in range(0, net.n_active[0], 2):
            slopes_of(net, block, int64(k), int64(a))
    for k in range(UNITS):
        out, slopes = net.out[k], net.slopes[k]
        slope[:] = 0.0
        for a in range(net.n_active[0]):
            slope[net.active[a]] = out * slopes[a]
        net.bias_slope[k] *= out
        move(net.weight[k], net.squares[k], slope)
    move(net.bias[length], net.bias_squares[length], net.bias_slope)
    move(net.bias[gap], net.bias_squares[gap], net.bias_slope)
    move(net.out, net.out_squares, net.out_slope)


@kernel
def keep_active(net: Reranker, hidden: Float32, k: int, width: int) -> None:
    """Replace the outputs [n] of unit `k` by the errors of the candidates for which the unit is active, and else by 0.

    The slopes of the unit's weight in `out` and, but for that weight, of its bias are summed up on the way.
    """
    of_out = of_bias = spread(np.float32(0.0))
    for j in range(0, width, LANES):
        output, error = load(hidden, j), load(net.error, j)
        kept = if_positive(output, error)
        of_out, of_bias = multiply_add(error, output, of_out), sum_of(kept, of_bias)
        store(hidden, j, kept)
    net.out_slope[k], net.bias_slope[k] = total(of_out), total(of_bias)


@kernel
def slopes_of(net: Reranker, block: Block, k: int, a: int) -> None:
    """Write the sum of error times column, of four units from `k` on and two columns from `a` on, into `net.slopes`.

    `block.hidden` has the errors, as of `keep_active`.
    """
    e0, e1, e2, e3 = block.hidden[k], block.hidden[k + 1], block.hidden[k + 2], block.hidden[k + 3]
    x, y = block.x[a], block.x[a + 1]
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = spread(np.float32(0.0))
    for j in range(0, block.size[1], LANES):
        xa, xb = load(x, j), load(y, j)
        v0, v1, v2, v3 = load(e0, j), load(e1, j), load(e2, j), load(e3, j)
        a0, b0 = multiply_add(v0, xa, a0), multiply_add(v0, xb, b0)
        a1, b1 = multiply_add(v1, xa, a1), multiply_add(v1, xb, b1)
        a2, b2 = multiply_add(v2, xa, a2), multiply_add(v2, xb, b2)
        a3, b3 = multiply_add(v3, xa, a3), multiply_add(v3, xb, b3)
    slopes = net.slopes
    slopes[k, a], slopes[k, a + 1] = total(a0), total(b0)
    slopes[k + 1, a], slopes[k + 1, a + 1] = total(a1), total(b1)
    slopes[k + 2, a], slopes[k + 2, a + 1] = total(a2), total(b2)
    slopes[k + 3, a], slopes[k + 3, a + 1] = total(a3), total(b3)


@kernel
def move(weight: Float32, squares: Float32, slope: Float32) -> None:
    """Move weights along their gradients."""
    for c in range(slope.shape[0]):
        squares[c] += slope[c] * slope[c]
        moved = weight[c] + LEARNING_RATE * slope[c] / np.sqrt(squares[c] + FIRST_SQUARES)
        weight[c] = min(max(moved, -LARGEST_WEIGHT), LARGEST_WEIGHT)
