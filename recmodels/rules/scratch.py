"""Scratch arrays of the selection, which grow with the tables that they belong to."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Scratch:
    """The arrays of `recmodels.kernels.selection.Desk`, in the form that `select` takes.

    >>> scratch = Scratch()
    >>> [array.shape for array in scratch.fitting(tags=10, groups=3, rows=100, candidates=50)]
    [(256,), (256,), (100,), (4, 64), (64,)]
    """

    def __init__(self) -> None:
        self._make(256, 256, 0, 64)

    def fitting(self, tags: int, groups: int, rows: int, candidates: int) -> tuple[NDArray[Any], ...]:
        """Return `mark`, `taken`, `slot`, `values` and `out`. They are made anew if one is too small."""
        sizes = self._sizes
        if tags > sizes[0] or groups > sizes[1] or rows > sizes[2] or candidates > sizes[3]:
            enough = [
                old if new <= old else 2 * new for old, new in zip(sizes, (tags, groups, 0, candidates), strict=True)
            ]
            self._make(enough[0], enough[1], max(rows, sizes[2]), enough[3])
        return self._arrays

    def _make(self, tags: int, groups: int, rows: int, candidates: int) -> None:
        self._sizes = (tags, groups, rows, candidates)
        self._arrays: tuple[NDArray[Any], ...] = (
            np.zeros(tags, np.float32),
            np.zeros(groups, np.int32),
            np.zeros(rows, np.int32),
            np.zeros((4, candidates)),
            np.zeros(candidates, np.uint8),
        )
