"""Learning a delta: interactions of another shard are counted, and its changes of factors and weights are added."""

from typing import Any

import numpy as np

from recmodels.kernels import dispatch
from recmodels.kernels.compile import entry, int64, kernel
from recmodels.kernels.delta_bytes import (
    HEAD,
    ITEM,
    NUMBER,
    RECENT,
    REWARD,
    ROW_SECTIONS,
    ROWS,
    SCALES,
    SIZE,
    TIME,
    WEIGHTS,
    eight,
    float32,
    float64,
    half,
    int8,
    length,
    number,
    uint16,
    uint32,
    width_of,
)
from recmodels.kernels.event_loop import take_up
from recmodels.kernels.lanes import LANES, load, multiply, spread, store, sum_of
from recmodels.kernels.layout import Float32, Int32, Int64, Marks
from recmodels.kernels.members import covisitation, predecessors
from recmodels.kernels.prefetch import ROWS_AHEAD, prefetch_long
from recmodels.kernels.shared import EVENTS, Event, Journal
from recmodels.kernels.state import State
from recmodels.kernels.state_pointer import opened


@entry
def learn(
    address: int, base: int, data: Marks, starts: Int64, rows: Int32, begin: int, end: int, is_last: bool
) -> None:
    """Count interactions of another shard, in order, and then add its changes of factors and weights.

    Args:
        address: Address of the state (`state_pointer`).
        base: Number of events that this model knew before the delta.
        data, starts: The delta, as `read` has checked it.
        rows: [ids] rows of its items; 0 where one is unknown here. The items of the interactions are known.
        begin, end: The interactions to count, from `begin` to `end` - 1.
        is_last: Whether the changes follow.
    """
    state = opened(address)
    count(state, base, data, starts, rows, begin, end)
    if is_last:
        state.shared.counters[EVENTS] = base + uint32(data, starts[HEAD])
        factors, sent = state.factorization.items, state.factorization.sent
        out, history = int64(ROWS), int64(ROWS + ROW_SECTIONS)
        add_rows(data, starts, out, rows, factors.out, sent.out, factors.dirty, sent.dirty)
        add_beside(data, starts, out, int64(0), rows, factors.bias, sent.numbers, int64(0))
        add_beside(data, starts, out, int64(1), rows, factors.bias_squares, sent.numbers, int64(1))
        add_beside(data, starts, out, int64(2), rows, factors.out_squares, sent.numbers, int64(2))
        add_rows(data, starts, history, rows, factors.history, sent.history, factors.dirty, sent.dirty)
        add_beside(data, starts, history, int64(0), rows, factors.history_squares, sent.numbers, int64(3))
        add_weights(state, data, starts)


@kernel
def count(state: State, base: int, data: Marks, starts: Int64, rows: Int32, begin: int, end: int) -> None:
    """Count interactions of another shard, in order. The arguments are those of `learn`."""
    shared = state.shared
    heard, has_rewards = shared.journal.heard, length(starts, REWARD) > 0
    wide = width_of(rows.shape[0])
    shared.candidates.epoch[1] = 0
    place = int64(0)
    for e in range(begin):
        place += uint16(data, starts[SIZE] + 2 * e)
    now_there, size = int64(0), int64(0)
    if begin < end:
        size = hear(data, starts, rows, int64(begin), place, wide, heard[now_there])
        place += size
    for e in range(begin, end):
        own, own_size = heard[now_there], size
        if e + 1 < end:
            now_there = 1 - now_there
            size = hear(data, starts, rows, int64(e + 1), place, wide, heard[now_there])
            place += size
            covisitation.load_rows(state.covisitation.items, heard[now_there], size)
            predecessors.load(state.predecessors, rows[number(data, starts[ITEM], e + 1, wide)])
        item = int64(rows[number(data, starts[ITEM], int64(e), wide)])
        reward = float64(data, starts[REWARD] + 8 * e) if has_rewards else 1.0
        now = base + uint16(data, starts[NUMBER] + 2 * e)
        shared.counters[EVENTS] = now - 1
        is_new = take_up(state, item, now)
        event = Event(int64(0), item, reward, float64(data, starts[TIME] + 8 * e), now, int64(-1), is_new)
        dispatch.count(state, event, own[:own_size])
        shared.counters[EVENTS] = now
        shared.items.last_used[item] = now
        shared.items.dirty[item] = 1


@kernel
def hear(data: Marks, starts: Int64, rows: Int32, e: int, place: int, wide: int, heard: Int32) -> int:
    """Write the recent items that interaction `e` found, and return their number."""
    size = uint16(data, starts[SIZE] + 2 * e)
    for p in range(size):
        heard[p] = rows[number(data, starts[RECENT], place + p, wide)]
    return size


@kernel
def add_rows(
    data: Marks, starts: Int64, first: int, rows: Int32, now: Float32, sent: Float32, dirty: Marks, sent_dirty: Marks
) -> None:
    """Add the differences of another shard to rows, and note that it knows them. A row of 0 is left out.

    Args:
        data, starts, rows: As in `learn`.
        first: The first section of the kind of rows.
        now, sent: As in `distances`.
        dirty, sent_dirty: [items] marks of change.
    """
    wide, n_factors = width_of(rows.shape[0]), now.shape[1]
    m = length(starts, first) // wide
    for k in range(m):
        if k + ROWS_AHEAD < m:
            prefetch_long(now, rows[number(data, starts[first], int64(k + ROWS_AHEAD), wide)])
            prefetch_long(sent, rows[number(data, starts[first], int64(k + ROWS_AHEAD), wide)])
        row = int64(rows[number(data, starts[first], int64(k), wide)])
        if row > 0:
            scale, at = float32(data, starts[first + 1] + 4 * k), int64(starts[first + 2] + k * n_factors)
            add_row(data, at, scale, now[row])
            add_row(data, at, scale, sent[row])
            dirty[row] = 1
            sent_dirty[row] = 1


@kernel
def add_row(data: Marks, at: int, scale: np.float32, row: Float32) -> None:
    """Add steps of a size to a row."""
    f, n_factors, each = int64(0), row.shape[0], spread(scale)
    while f + LANES <= n_factors:
        store(row, f, sum_of(load(row, f), multiply(each, eight(data, at + f))))
        f += LANES
    while f < n_factors:
        row[f] += scale * np.float32(int8(data, at + f))
        f += 1


@kernel
def add_beside(
    data: Marks, starts: Int64, first: int, place: int, rows: Int32, now: Float32, sent: Float32, column: int
) -> None:
    """Add the differences of a number beside each row, likewise.

    Args:
        data, starts, first, rows: As in `add_rows`.
        place: That of this number among those beside a row of the kind.
        now: [items] the numbers as they are.
        sent: [items, columns] the numbers beside the factors, as the other shards know them.
        column: That of this number.
    """
    wide = width_of(rows.shape[0])
    m = length(starts, first) // wide
    beside = length(starts, first + 3) // max(2 * m, int64(1))
    for k in range(m):
        row = rows[number(data, starts[first], int64(k), wide)]
        if row > 0:
            change = half(data, starts[first + 3] + 2 * (beside * k + place))
            now[row] += change
            sent[row, column] += change


@kernel
def add_weights(state: State, data: Marks, starts: Int64) -> None:
    """Add the changes of all weights, in the order of `recmodels.kernels.state.LEARNED_TOGETHER`."""
    own, line, net = state.weights, state.calibration, state.reranker
    done = add_table(state.shared.journal, own.weight, data, starts, int64(0), int64(0))
    done = add_table(state.shared.journal, own.squares, data, starts, int64(1), done)
    done = add_table(state.shared.journal, line.platt, data, starts, int64(2), done)
    done = add_table(state.shared.journal, line.squares, data, starts, int64(3), done)
    done = add_table(state.shared.journal, net.weight, data, starts, int64(4), done)
    done = add_table(state.shared.journal, net.squares, data, starts, int64(5), done)
    done = add_table(state.shared.journal, net.bias, data, starts, int64(6), done)
    done = add_table(state.shared.journal, net.bias_squares, data, starts, int64(7), done)
    done = add_list(state.shared.journal, net.out, data, starts, int64(8), done)
    add_list(state.shared.journal, net.out_squares, data, starts, int64(9), done)


@kernel
def add_table(journal: Journal, table: Any, data: Marks, starts: Int64, place: int, done: int) -> int:
    """Add the changes of a table of weights, number `place` of all, behind `done` weights. Return those done then."""
    for row in range(table.shape[0]):
        done = add_list(journal, table[row], data, starts, place, done)
    return done


@kernel
def add_list(journal: Journal, weights: Any, data: Marks, starts: Int64, place: int, done: int) -> int:
    """Add the changes of weights, likewise. Sums of changes stay within the bounds of each weight."""
    scale = np.float64(float32(data, starts[SCALES] + 4 * place))
    for k in range(weights.shape[0]):
        before, at = np.float64(weights[k]), done + k
        after = before + scale * int8(data, starts[WEIGHTS] + at)
        after = min(max(after, journal.least[at]), journal.most[at])
        journal.sent[at] += after - before
        weights[k] = after
    return done + weights.shape[0]
