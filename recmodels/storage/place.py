"""Encoding of a place in one of several parts of a state as one number, for partial snapshots.

>>> place = joined(which=1, inner=250, parts=2)
>>> place, split(place, parts=2)
(501, (1, 250))
"""


def joined(which: int, inner: int, parts: int) -> int:
    """Return the number of a place.

    Args:
        which: Number of the part, from 0.
        inner: Place in that part.
        parts: Number of parts.
    """
    return inner * parts + which


def split(place: int, parts: int) -> tuple[int, int]:
    """Return the part, and the place in it."""
    inner, which = divmod(place, parts)
    return which, inner
