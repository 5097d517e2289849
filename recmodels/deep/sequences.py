"""Training sequences of the transformer: histories cut into sequences of one length."""

import numpy as np
from numpy.typing import NDArray

from recmodels.deep.histories import Entries, parts


def cut(
    entries: Entries, since: int, length: int, draw: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Cut every history into sequences, somewhere else each time, so that every item is seen at every place.

    Args:
        entries: Histories. Only what users were for becomes part of a sequence.
        since: Number of the first event to learn from.
        length: Of the sequences, L.
        draw: Of the places to cut at.

    Returns:
        [N, L] rows of items, 0 where a sequence has ended; and [N, L] what each counts as a target: 0 at the begin of a
        sequence that does not begin with the first item of a history, as it did not follow on nothing.

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
