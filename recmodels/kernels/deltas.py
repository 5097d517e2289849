"""Deltas: what an interaction in another shard says of items, and differences of factors between shards.

`recmodels.fused.sharing` puts a delta into bytes. Here are its inner loops.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recmodels.kernels import dispatch
from recmodels.kernels.compile import entry, int64
from recmodels.kernels.event_loop import take_up
from recmodels.kernels.layout import Float32, Float64, Int32, Int64, Marks
from recmodels.kernels.members import covisitation, predecessors
from recmodels.kernels.shared import EVENTS, Event
from recmodels.kernels.state_pointer import opened

LARGEST_STEP: Final = np.float32(127.0)
"""Largest number of steps of a scale in 8 bits."""
Int8: TypeAlias = NDArray[np.int8]


@entry
def count(
    address: int,
    base: int,
    item_rows: Int32,
    numbers: Int32,
    rewards: Float64,
    times: Float64,
    ends: Int64,
    recent: Int32,
) -> None:
    """Count interactions of another shard, in order.

    Args:
        address: Address of the state (`state_pointer`).
        base: Number of events that this model knew before the delta.
        item_rows: [n] the items. None of them is 0.
        numbers: [n] the number of each interaction among the events of the delta, from 1.
        rewards: [n] above 0.
        times: [n] the times at which they are counted, in Unix seconds.
        ends: [n] the end of the recent items of each interaction.
        recent: [ends[n - 1]] the recent items that each found, the newest first; 0 where one is unknown here.
    """
    state = opened(address)
    shared = state.shared
    shared.candidates.epoch[1] = 0
    size, start = item_rows.shape[0], int64(0)
    for e in range(size):
        item, now = int64(item_rows[e]), base + int64(numbers[e])
        if e + 1 < size:
            covisitation.load(state.covisitation.items, recent[ends[e] : ends[e + 1]])
            predecessors.load(state.predecessors, item_rows[e + 1])
        shared.counters[EVENTS] = now - 1
        is_new = take_up(state, item, now)
        event = Event(int64(0), item, rewards[e], times[e], now, int64(-1), is_new)
        dispatch.count(state, event, recent[start : ends[e]])
        start = ends[e]
        shared.counters[EVENTS] = now
        shared.items.last_used[item] = now
        shared.items.dirty[item] = 1


@entry
def distances(now: Float32, sent: Float32, rows: Int32, squares: Float32) -> None:
    """Write by how much rows differ from what was sent.

    Args:
        now, sent: [items, n_factors] the rows as they are, and as the other shards know them.
        rows: [n] rows of items.
        squares: [n] out: the sum of the squared differences.
    """
    for k in range(rows.shape[0]):
        total = np.float32(0.0)
        for f in range(now.shape[1]):
            change = now[rows[k], f] - sent[rows[k], f]
            total += change * change
        squares[k] = total


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
        largest = np.float32(0.0)
        for f in range(now.shape[1]):
            largest = max(largest, abs(now[rows[k], f] - sent[rows[k], f]))
        scale = largest / LARGEST_STEP
        scales[k] = scale
        one = np.float32(1.0) / scale if scale > 0 else np.float32(0.0)
        for f in range(now.shape[1]):
            step = np.rint((now[rows[k], f] - sent[rows[k], f]) * one)
            steps[k, f] = np.int8(step)
            sent[rows[k], f] += scale * step


@entry
def add(
    now: Float32, sent: Float32, rows: Int32, scales: Float32, steps: Int8, dirty: Marks, sent_dirty: Marks
) -> None:
    """Add the differences of another shard to rows, and note that it knows them. A row of 0 is left out."""
    for k in range(rows.shape[0]):
        if rows[k] > 0:
            for f in range(now.shape[1]):
                change = scales[k] * np.float32(steps[k, f])
                now[rows[k], f] += change
                sent[rows[k], f] += change
            dirty[rows[k]] = 1
            sent_dirty[rows[k]] = 1


@entry
def add_beside(now: Float32, sent: Float32, column: int, rows: Int32, changes: Float32, place: int) -> None:
    """Add the differences of a number beside each row, likewise.

    Args:
        now: [items] the numbers as they are.
        sent: [items, columns] the numbers beside the factors, as the other shards know them.
        column: That of this number.
        rows: [n] rows of items.
        changes: [n, k] the differences.
        place: That of this number among them.
    """
    for k in range(rows.shape[0]):
        if rows[k] > 0:
            now[rows[k]] += changes[k, place]
            sent[rows[k], column] += changes[k, place]
