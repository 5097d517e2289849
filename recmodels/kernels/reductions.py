"""Sums: the only functions in which the compiler may reorder floating point operations, to use SIMD lanes.

The compiler makes two versions of a loop that also writes, one for arrays that overlap in memory. They would round
differently, so the addresses of arrays would change the lists. These functions write nothing.
"""

import numpy as np

from recmodels.kernels.compile import kernel, sum_kernel
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


@kernel
def highest(a: Float32, size: int) -> np.float32:
    """Return the highest of the first `size` values, or minus infinity.

    The compiler does not use SIMD lanes for it, because of NaN. Four chains of comparisons take a quarter of the time.
    """
    m0 = m1 = m2 = m3 = np.float32(-np.inf)
    whole = size // 4 * 4
    for k in range(0, whole, 4):
        m0, m1 = max(m0, a[k]), max(m1, a[k + 1])
        m2, m3 = max(m2, a[k + 2]), max(m3, a[k + 3])
    for k in range(whole, size):
        m0 = max(m0, a[k])
    return max(m0, m1, m2, m3)
