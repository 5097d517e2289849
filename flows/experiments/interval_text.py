"""Writes a confidence interval so that its text never contradicts what is said of it."""

from typing import Final

from recmodels.evaluation.bootstrap import Interval

DIGITS: Final = range(4, 10)
"""Decimal places: as few as show on which side of zero an interval lies."""
SYMMETRIC: Final = 0.05
"""An interval is written with ± if its two arms differ by at most this share of their mean."""


def interval_text(found: Interval, signed: bool = False) -> str:
    """Write a mean with its interval: `0.0120 ± 0.0040`, or with both ends if its arms differ.

    An interval without zero gets as many digits as its nearer end needs not to read as zero.

    Args:
        found: The interval.
        signed: Whether positive numbers have a sign.

    >>> interval_text(Interval(0.012, 0.008, 0.016)), interval_text(Interval(0.012, 0.008, 0.016), signed=True)
    ('0.0120 ± 0.0040', '+0.0120 ± 0.0040')
    >>> interval_text(Interval(0.001, 0.0002, 0.0030))
    '0.0010 (0.0002 to 0.0030)'
    >>> interval_text(Interval(0.001, 0.00001, 0.00199))
    '0.00100 ± 0.00099'
    >>> interval_text(Interval(-0.001, -0.003, 0.0))
    '-0.0010 (-0.0030 to 0.0000)'
    """
    for digits in DIGITS:
        mean, low, high = (round(value, digits) + 0.0 for value in found)
        if found.holds_zero or (low > 0.0 or high < 0.0):
            break
    sign = "+" if signed else ""
    below, above = found.mean - found.low, found.high - found.mean
    half = round(found.half_width, digits)
    is_even = abs(above - below) <= SYMMETRIC * (above + below) / 2
    if is_even and (abs(mean) <= half) == found.holds_zero:
        return f"{mean:{sign}.{digits}f} ± {half:.{digits}f}"
    return f"{mean:{sign}.{digits}f} ({low:{sign}.{digits}f} to {high:{sign}.{digits}f})"


def mirrored(found: Interval) -> Interval:
    """Return the interval of the opposite difference."""
    return Interval(-found.mean, -found.high, -found.low)
