"""Training sequences of the transformer: histories cut into sequences of one length."""

import numpy as np
from numpy.typing import NDArray

from recmodels.deep.histories import Entries, parts


def cut(
    entries: Entries, since: int, length: int, draw: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Cut every history into sequences at random places, so that every item is trained at every position.

    Args:
        entries: Histories. Only positive entries become part of a sequence.
        since: Number of the first event to learn from.
        length: Length L of the sequences.
        draw: Random generator for the places to cut.

    Returns:
        [N, L] rows of items, 0 after the end of a sequence; and [N, L] the weight of each as a target. The first item
        of a sequence has the weight 0, unless it is the first item of its history.

    >>> entries = Entries(*np.array([[1, 1, 1, 1, 2], [5, 6, 7, 8, 9], [1, 2, 3, 5, 4], [1, -1, 1, 1, 1]]))
    >>> items, weight = cut(entries, since=1, length=2, draw=np.random.default_rng(1))
    >>> items.tolist()
    [[5, 7], [8, 0], [9, 0]]
    >>> weight.tolist()
    [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    """
    liked = entries.reward > 0.0
    user, item, number = entries.user[liked], entries.item[liked], entries.number[liked]
    is_first = parts(user)[1] == 0
    recent = number >= since
    user, item, is_first = user[recent], item[recent], is_first[recent]
    begins, place = parts(user)
    shift = np.repeat(draw.integers(length, size=len(begins)), np.diff(begins, append=len(user)))
    # A history has fewer sequences than entries, so no two histories share a key.
    starts, column = parts(begins.repeat(np.diff(begins, append=len(user))) + (place + shift) // length)
    row = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(user)))
    target = np.zeros((len(starts), length), np.int32)
    weight = np.zeros((len(starts), length), np.float32)
    target[row, column] = item
    weight[row, column] = (column > 0) | is_first
    return target, weight
