"""Sums: the only functions in which the compiler may reorder floating point operations, to use SIMD lanes.

The compiler makes two versions of a loop that also writes, one for arrays that overlap in memory. They would round
differently, so the addresses of arrays would change the lists. These functions write nothing.
"""

import numpy as np

from recmodels.kernels.compile import sum_kernel
from recmodels.kernels.layout import Float32


@sum_kernel
def add_up(a: Float32, size: int) -> np.float32:
    """Return the sum of the first `size` values."""
    whole = np.float32(0.0)
    for k in range(size):
        whole += a[k]
    return whole


@sum_kernel
def dot(a: Float32, b: Float32, size: int) -> np.float32:
    """Return the sum of a[k] * b[k] over the first `size` values."""
    total = np.float32(0.0)
    for k in range(size):
        total += a[k] * b[k]
    return total


@sum_kernel
def dot_row(vector: Float32, matrix: Float32, row: int) -> np.float32:
    """Return the product of a vector and a row of a matrix."""
    total = np.float32(0.0)
    for k in range(vector.shape[0]):
        total += vector[k] * matrix[row, k]
    return total
