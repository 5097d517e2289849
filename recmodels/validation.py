"""Checks of a model's arguments, with one-line errors."""

from collections.abc import Collection
from math import inf
from typing import Final

import numpy as np

LARGEST_COUNT: Final = 2**31 - 2
"""Rows are numbered in 32 bits, and the first is reserved."""


def expect_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise ValueError unless an argument is one of a few words."""
    if value not in choices:
        raise ValueError(f"expected {name} to be one of {', '.join(map(repr, choices))}; got {value!r}")


def expect_counts(least: int = 1, most: int = LARGEST_COUNT, **arguments: object) -> None:
    """Raise ValueError unless every argument is a whole number between `least` and `most`.

    >>> expect_counts(max_users=0)
    Traceback (most recent call last):
    ...
    ValueError: expected max_users to be a whole number from 1 to 2147483646; got 0
    """
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
            raise ValueError(f"expected {name} to be a whole number from {least} to {most}; got {value!r}")


def expect_numbers(least: float = 0.0, most: float = inf, **arguments: object) -> None:
    """Raise ValueError unless every argument is a number between `least` and `most`."""
    for name, value in arguments.items():
        is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not is_number or not least <= value <= most:  # type: ignore[operator]  # it is a number
            raise ValueError(f"expected {name} to be a number from {least} to {most}; got {value!r}")
