"""Random bits from a number: the mixing step of SplitMix64.

Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

GOLDEN_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
"""What is added to the state of the generator for each number."""
_A, _B, _C = np.uint64(30), np.uint64(27), np.uint64(31)
_BY, _THEN_BY = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mix(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64 bits that look random for each number. Kernels compile it for one number.

    >>> [hex(word) for word in mix(np.array([0, 1, 2], np.uint64)).tolist()]
    ['0x0', '0x5692161d100b05e5', '0xdbd238973a2b148a']
    """
    word = (word ^ (word >> _A)) * _BY
    word = (word ^ (word >> _B)) * _THEN_BY
    return word ^ (word >> _C)
