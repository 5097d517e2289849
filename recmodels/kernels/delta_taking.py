"""Taking a delta: the changes of factors and weights that other shards do not know yet, in few bits."""

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recmodels.kernels.compile import entry, int64, kernel
from recmodels.kernels.delta_bytes import HALF_BITS
from recmodels.kernels.lanes import LANES, load, multiply_add, spread, total
from recmodels.kernels.layout import Float32, Int32
from recmodels.kernels.prefetch import ROWS_AHEAD, prefetch_long
from recmodels.kernels.shared import Journal
from recmodels.kernels.state_pointer import opened

LARGEST_STEP: Final = np.float32(127.0)
"""Largest number of steps of a scale in 8 bits."""
ROUNDING: Final = np.int32(0x8000)
"""Half of the last of the upper 16 bits."""
Int8: TypeAlias = NDArray[np.int8]
UInt16: TypeAlias = NDArray[np.uint16]


@entry
def distances(now: Float32, sent: Float32, rows: Int32, squares: Float32) -> None:
    """Write by how much rows differ from what was sent.

    Args:
        now, sent: [items, n_factors] the rows as they are, and as the other shards know them.
        rows: [n] rows of items.
        squares: [n] out: the sum of the squared differences.
    """
    n_factors = now.shape[1]
    for k in range(rows.shape[0]):
        if k + ROWS_AHEAD < rows.shape[0]:
            prefetch_long(now, rows[k + ROWS_AHEAD])
            prefetch_long(sent, rows[k + ROWS_AHEAD])
        own, others, f, minus = now[rows[k]], sent[rows[k]], int64(0), spread(np.float32(-1.0))
        sums = spread(np.float32(0.0))
        while f + LANES <= n_factors:
            change = multiply_add(minus, load(others, f), load(own, f))
            sums = multiply_add(change, change, sums)
            f += LANES
        squares[k] = total(sums)
        while f < n_factors:
            squares[k] += (own[f] - others[f]) * (own[f] - others[f])
            f += 1


@entry
def take(now: Float32, sent: Float32, rows: Int32, scales: Float32, steps: Int8) -> None:
    """Write the differences of rows in 8 bits, and note what the other shards will know.

    Args:
        now, sent: As in `distances`. `sent` is moved by what is written, so that no rounding is ever lost.
        rows: [n] rows of items.
        scales: [n] out: the size of one step of each row.
        steps: [n, n_factors] out: the differences in steps.
    """
    for k in range(rows.shape[0]):
        own, others, step = now[rows[k]], sent[rows[k]], steps[k]
        largest = np.float32(0.0)
        for f in range(now.shape[1]):
            largest = max(largest, abs(own[f] - others[f]))
        scale = largest / LARGEST_STEP
        scales[k] = scale
        one = np.float32(1.0) / scale if scale > 0 else np.float32(0.0)
        for f in range(now.shape[1]):
            moved = np.rint((own[f] - others[f]) * one)
            step[f] = np.int8(moved)
            others[f] += scale * moved


@entry
def take_beside(now: Float32, sent: Float32, column: int, rows: Int32, place: int, numbers: UInt16) -> None:
    """Write the differences of a number beside each row in 16 bits, likewise.

    Args:
        now: [items] the numbers as they are.
        sent: [items, columns] the numbers beside the factors, as the other shards know them.
        column: That of this number.
        rows: [n] rows of items.
        place: Column of `numbers`.
        numbers: [n, k] out: the upper 16 of 32 bits of each difference, rounded.
    """
    for k in range(rows.shape[0]):
        change = np.float32(now[rows[k]] - sent[rows[k], column])
        bits = np.int32((change.view(np.int32) + ROUNDING) >> HALF_BITS)
        numbers[k, place] = np.uint16(bits & 0xFFFF)
        sent[rows[k], column] += np.int32(bits << HALF_BITS).view(np.float32)


@entry
def take_weights(address: int, scales: Float32, steps: Int8) -> None:
    """Write the changes of the weights in 8 bits. This model keeps the share of its changes that the others get, too.

    Args:
        address: Address of the state (`state_pointer`).
        scales: [arrays] out: the size of one step of each array of `recmodels.kernels.state.LEARNED_TOGETHER`.
        steps: [weights] out: the changes in steps.
    """
    state = opened(address)
    journal, own, line, net = state.shared.journal, state.weights, state.calibration, state.reranker
    done = take_table(journal, own.weight, scales, steps, int64(0), int64(0))
    done = take_table(journal, own.squares, scales, steps, int64(1), done)
    done = take_table(journal, line.platt, scales, steps, int64(2), done)
    done = take_table(journal, line.squares, scales, steps, int64(3), done)
    done = take_table(journal, net.weight, scales, steps, int64(4), done)
    done = take_table(journal, net.squares, scales, steps, int64(5), done)
    done = take_table(journal, net.bias, scales, steps, int64(6), done)
    done = take_table(journal, net.bias_squares, scales, steps, int64(7), done)
    scales[8] = np.float32(largest_change(journal, net.out, done) / LARGEST_STEP)
    done = take_list(journal, net.out, np.float64(scales[8]), steps, done)
    scales[9] = np.float32(largest_change(journal, net.out_squares, done) / LARGEST_STEP)
    take_list(journal, net.out_squares, np.float64(scales[9]), steps, done)


@kernel
def take_table(journal: Journal, table: Any, scales: Float32, steps: Int8, place: int, done: int) -> int:
    """Write the changes of a table of weights, number `place` of all, behind `done` weights. Return those done then."""
    largest, width = 0.0, table.shape[1]
    for row in range(table.shape[0]):
        largest = max(largest, largest_change(journal, table[row], done + row * width))
    scales[place] = np.float32(largest / LARGEST_STEP)
    for row in range(table.shape[0]):
        done = take_list(journal, table[row], np.float64(scales[place]), steps, done)
    return done


@kernel
def largest_change(journal: Journal, weights: Any, done: int) -> float:
    """Return the largest change of some weights that the others take over."""
    largest = 0.0
    for k in range(weights.shape[0]):
        at = done + k
        largest = max(largest, abs(journal.share[at] * (weights[k] - journal.sent[at])))
    return largest


@kernel
def take_list(journal: Journal, weights: Any, scale: float, steps: Int8, done: int) -> int:
    """Write the changes of weights in steps of a size, behind `done` others. Return the number of those done then."""
    for k in range(weights.shape[0]):
        at = done + k
        change = journal.share[at] * (weights[k] - journal.sent[at])
        step = np.rint(change / scale) if scale > 0.0 else 0.0
        steps[at] = np.int8(step)
        weights[k] = journal.sent[at] + change
        journal.sent[at] += scale * step
    return done + weights.shape[0]
