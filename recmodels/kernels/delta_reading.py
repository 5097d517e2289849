"""Reading a delta: its bytes are checked where they lie, and its items found by a hash of their ids."""

from typing import Final

import numpy as np

from recmodels.kernels.compile import entry, int64, kernel
from recmodels.kernels.delta_bytes import (
    BESIDE,
    HEAD,
    HEAD_BYTES,
    IDS,
    ITEM,
    NUMBER,
    RECENT,
    REWARD,
    ROW_SECTIONS,
    ROWS,
    SCALES,
    SECTIONS,
    SIZE,
    TIME,
    WEIGHTS,
    float32,
    float64,
    half,
    length,
    number,
    uint16,
    uint32,
    width_of,
)
from recmodels.kernels.layout import Int32, Int64, Marks
from recmodels.kernels.prefetch import prefetch

FAULTS: Final = (
    "sections whose lengths fit together",
    "a name for each id",
    "places of its ids",
    "rewards above 0",
    "times that are numbers",
    "numbers up to its events",
    "finite changes",
)
"""What a delta is refused for. `read` returns minus the number of the fault, from 1."""
FIRST_HASH: Final = -3750763034362895579
HASH_FACTOR: Final = 1099511628211
"""FNV-1a in 64 bits, by Fowler, Noll and Vo."""


@entry
def read(
    data: Marks,
    first: int,
    starts: Int64,
    n_factors: int,
    weights: int,
    arrays: int,
    most_recent: int,
    known: Int64,
    known_rows: Int32,
    hashes: Int64,
    rows: Int32,
) -> int:
    """Check a delta, and find the rows of its items.

    Args:
        data: The bytes of the delta.
        first: Place of the first section. The lengths of all sections are before it.
        starts: [SECTIONS + 1] out: where each section begins, and the end.
        n_factors: Length of the factors.
        weights, arrays: Number of weights, and of their arrays.
        most_recent: Largest number of recent items of an interaction.
        known, known_rows: [2^k] hash table: hashes of ids, 0 where there is none, and the rows of these items.
        hashes: [ids] out: the hash of each id.
        rows: [ids] out: the row of each item. 0: its hash is not in the table.

    Returns:
        The number of ids without a row, or minus the number of a fault.
    """
    starts[0] = first
    for k in range(SECTIONS):
        starts[k + 1] = starts[k] + uint32(data, first + 4 * (k - SECTIONS))
    if starts[SECTIONS] != data.shape[0] or length(starts, HEAD) != HEAD_BYTES:
        return -1
    n_ids, n = rows.shape[0], uint32(data, starts[HEAD] + 8)
    fault = wrong_length(data, starts, n_ids, n, n_factors, weights, arrays)
    if fault == 0:
        fault = wrong_interaction(data, starts, n_ids, n, most_recent)
    if fault == 0:
        fault = wrong_change(data, starts, n_ids)
    if fault != 0:
        return -fault
    if data[starts[HEAD] + HEAD_BYTES - 1] == 0:
        rows[:] = 0
        return n_ids
    if not hash_ids(data, starts[IDS], starts[IDS + 1], known, hashes):
        return -2
    missing = int64(0)
    for k in range(n_ids):
        place = place_of(known, hashes[k])
        rows[k] = known_rows[place] if known[place] != 0 else 0
        missing += int64(rows[k] == 0)
    return missing


@kernel
def wrong_length(data: Marks, starts: Int64, n_ids: int, n: int, n_factors: int, weights: int, arrays: int) -> int:
    """Return 1 if the length of a section is wrong, else 0."""
    wide = width_of(n_ids)
    wrong = int64(length(starts, ITEM) != n * wide)
    wrong |= int64(length(starts, NUMBER) != 2 * n)
    wrong |= int64(length(starts, REWARD) != 8 * n and length(starts, REWARD) != 0)
    wrong |= int64(length(starts, TIME) != 8 * n)
    wrong |= int64(length(starts, SIZE) != 2 * n)
    if wrong > 0:
        return wrong
    recent = int64(0)
    for e in range(n):
        recent += uint16(data, starts[SIZE] + 2 * e)
    wrong |= int64(length(starts, RECENT) != recent * wide)
    wrong |= int64(length(starts, WEIGHTS) != weights)
    wrong |= int64(length(starts, SCALES) != 4 * arrays)
    for kind in range(2):
        first = ROWS + ROW_SECTIONS * kind
        m = length(starts, first) // wide
        wrong |= int64(length(starts, first) != m * wide)
        wrong |= int64(length(starts, first + 1) != 4 * m)
        wrong |= int64(length(starts, first + 2) != m * n_factors)
        wrong |= int64(length(starts, first + 3) != 2 * m * BESIDE[kind])
    return wrong


@kernel
def wrong_interaction(data: Marks, starts: Int64, n_ids: int, n: int, most_recent: int) -> int:
    """Return the number of a fault if a number of an interaction is wrong, else 0."""
    wide, events = width_of(n_ids), uint32(data, starts[HEAD])
    has_rewards, fault = length(starts, REWARD) > 0, int64(0)
    for e in range(n):
        if has_rewards and not 0.0 < float64(data, starts[REWARD] + 8 * e) < np.inf:
            fault = int64(4)
        if not abs(float64(data, starts[TIME] + 8 * e)) < np.inf:
            fault = int64(5)
        if not 0 < uint16(data, starts[NUMBER] + 2 * e) <= events:
            fault = int64(6)
        if number(data, starts[ITEM], int64(e), wide) >= n_ids or uint16(data, starts[SIZE] + 2 * e) > most_recent:
            fault = int64(3)
    for k in range(length(starts, RECENT) // wide):
        if number(data, starts[RECENT], int64(k), wide) >= n_ids:
            fault = int64(3)
    return fault


@kernel
def wrong_change(data: Marks, starts: Int64, n_ids: int) -> int:
    """Return the number of a fault if a change of factors or weights is wrong, else 0."""
    wide, fault = width_of(n_ids), int64(0)
    for k in range(length(starts, SCALES) // 4):
        if not abs(float32(data, starts[SCALES] + 4 * k)) < np.inf:
            fault = int64(7)
    for kind in range(2):
        first = ROWS + ROW_SECTIONS * kind
        for k in range(length(starts, first) // wide):
            if number(data, starts[first], int64(k), wide) >= n_ids:
                fault = int64(3)
            if not abs(float32(data, starts[first + 1] + 4 * k)) < np.inf:
                fault = int64(7)
        for k in range(length(starts, first + 3) // 2):
            if not abs(half(data, starts[first + 3] + 2 * k)) < np.inf:
                fault = int64(7)
    return fault


@kernel
def hash_ids(data: Marks, start: int, stop: int, known: Int64, hashes: Int64) -> bool:
    """Write the hash of each id, and say whether there are as many ids as hashes. A zero separates two ids."""
    k, size, value = int64(0), hashes.shape[0], FIRST_HASH
    if size == 0:
        return start == stop
    for at in range(start, stop):
        if data[at] != 0:
            value = int64((value ^ int64(data[at])) * HASH_FACTOR)
        elif k + 1 < size:
            k = end_id(known, hashes, k, value)
            value = FIRST_HASH
        else:
            return False
    return end_id(known, hashes, k, value) == size


@kernel
def end_id(known: Int64, hashes: Int64, k: int, value: int) -> int:
    """Write a hash, and start to load its place in the table. Return the number of the next id."""
    value ^= value >> 32
    hashes[k] = value if value != 0 else 1
    prefetch(known, hashes[k] & (known.shape[0] - 1))
    return k + 1


@kernel
def place_of(known: Int64, value: int) -> int:
    """Return the place of a hash in the table, or the free place where it belongs."""
    mask = known.shape[0] - 1
    place = value & mask
    while known[place] != 0 and known[place] != value:
        place = (place + 1) & mask
    return place


@entry
def remember(known: Int64, known_rows: Int32, hashes: Int64, rows: Int32) -> int:
    """Add ids with a row to a hash table that has room for them, and return how many are new."""
    added = int64(0)
    for k in range(rows.shape[0]):
        if rows[k] > 0:
            place = place_of(known, hashes[k])
            added += int64(known[place] == 0)
            known[place], known_rows[place] = hashes[k], rows[k]
    return added
