"""Vectors of float32 in kernels: their exponentials, copies, and products with matrices."""

import numpy as np

from recmodels.kernels.compile import kernel
from recmodels.kernels.layout import Float32


@kernel
def exp(x: np.float32) -> np.float32:
    """Return e^x for |x| up to 30, with an error below 0.00001 of it. Unlike the library's it runs in SIMD lanes."""
    x = min(max(x, np.float32(-30.0)), np.float32(30.0)) * np.float32(1.44269504)
    whole = np.floor(x)
    r = (x - whole) * np.float32(0.69314718)
    power = np.float32(1.0)
    for n in (6, 5, 4, 3, 2, 1):
        power = np.float32(1.0) + power * r * np.float32(1.0 / n)
    return power * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@kernel
def copy(source: Float32, target: Float32) -> None:
    """Copy a vector. A slice would want memory, as its arrays might overlap."""
    for k in range(target.shape[0]):
        target[k] = source[k]


@kernel
def multiply(vector: Float32, matrix: Float32, result: Float32) -> None:
    """Add a vector [n] times a matrix [n, m] to a result [m]."""
    for i in range(vector.shape[0]):
        value, row = vector[i], matrix[i]
        for j in range(result.shape[0]):
            result[j] += value * row[j]
