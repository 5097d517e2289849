"""Training sequences: histories cut into sequences of one length."""

import numpy as np
from numpy.typing import NDArray


def cut(
    items: NDArray[np.int32],
    lengths: NDArray[np.int32],
    begins: NDArray[np.uint8],
    length: int,
    draw: np.random.Generator,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Cut every history into sequences at random places, so that every item is trained at every position.

    Args:
        items: [N] The histories, one after the other.
        lengths: [H] Length of each.
        begins: [H] 1 if it begins with the user's first item.
        length: Length L of the sequences.
        draw: Random generator for the places to cut.

    Returns:
        [S, L] items, 0 after the end of a sequence; and [S, L] the weight of each as a target. The first item of a
        sequence has the weight 0, unless it is the user's first one.

    >>> items, weight = cut(
    ...     np.array([5, 6, 7, 8, 9], np.int32), np.array([4, 1], np.int32), np.array([1, 0], np.uint8), 2,
    ...     np.random.default_rng(1),
    ... )
    >>> items.tolist(), weight.tolist()
    ([[5, 6], [7, 8], [9, 0]], [[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    """
    kept = lengths > 0
    lengths, begins = lengths[kept], begins[kept]
    history = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(items)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    # A history that is longer than a sequence is cut anew each time. A shorter one stays whole.
    shift = np.where(lengths > length, draw.integers(length, size=len(lengths)), 0)
    part = (place + shift[history]) // length
    starts = np.flatnonzero(np.concatenate([[True], (history[1:] != history[:-1]) | (part[1:] != part[:-1])]))
    sizes = np.diff(starts, append=len(items))
    row = np.repeat(np.arange(len(starts)), sizes)
    column = np.arange(len(items)) - np.repeat(starts, sizes)
    target = np.zeros((len(starts), length), np.int32)
    weight = np.zeros((len(starts), length), np.float32)
    target[row, column] = items
    weight[row, column] = (column > 0) | ((place == 0) & (begins[history] > 0))
    return target, weight
