"""Bounds of the weights that shards learn together: sums of changes stay within them, as those of one model do."""

import numpy as np
from numpy.typing import NDArray

from recmodels.kernels.calibration import LARGEST_PARAMETER, LEAST_SLOPE
from recmodels.kernels.weights import LARGEST_WEIGHT


def is_sum_of_squares(name: str) -> bool:
    """Say whether an array holds AdaGrad's sums, by its name in the store."""
    return name.endswith("step")


def bounds_of(name: str, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest value of each number of an array of weights."""
    least, most = np.full(shape, -LARGEST_WEIGHT, np.float64), np.full(shape, LARGEST_WEIGHT, np.float64)
    if is_sum_of_squares(name):
        least[:], most[:] = 0.0, np.inf
    elif name == "line":
        least[:], most[:] = (LEAST_SLOPE, -LARGEST_PARAMETER), LARGEST_PARAMETER
    return least.ravel(), most.ravel()
