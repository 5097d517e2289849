"""The candidate set: the items a user's list is chosen from, with one column for each thing a member says of them.

Membership is a mark per item that holds the number of the set, so that emptying the set is one addition.
"""

from typing import Final

from recmodels.kernels.compile import kernel
from recmodels.kernels.state import Candidates

# Columns of the candidate set, member by member.
HALF_LIVES: Final = 5
POPULAR: Final = 0
FOLLOWS: Final = POPULAR + HALF_LIVES
HISTORIES: Final = 3
PERSONAL: Final = FOLLOWS + HISTORIES
FACTORS: Final = PERSONAL + 3
COLUMNS: Final = FACTORS + 1


@kernel
def start(candidates: Candidates) -> None:
    """Begin a new, empty set."""
    candidates.stamp[0] += 1
    candidates.size[0] = 0
    candidates.size[1] = candidates.item.shape[0]


@kernel
def close(candidates: Candidates) -> None:
    """Let no further item into the set."""
    candidates.size[1] = candidates.size[0]


@kernel
def bar(candidates: Candidates, item: int) -> None:
    """Keep an item out of the set."""
    candidates.seen[item] = candidates.stamp[0]


@kernel
def has(candidates: Candidates, item: int) -> bool:
    """Say whether an item is in the set."""
    return candidates.mark[item] == candidates.stamp[0]


@kernel
def add(candidates: Candidates, item: int) -> int:
    """Put an item into the set unless it is barred or there is no room.

    Returns:
        The item's place in the set, or -1 if it is not in it.
    """
    stamp = candidates.stamp[0]
    if candidates.mark[item] == stamp:
        return candidates.slot[item]
    size = candidates.size[0]
    if candidates.seen[item] == stamp or size == candidates.size[1]:
        return -1
    candidates.mark[item] = stamp
    candidates.slot[item] = size
    candidates.item[size] = item
    for column in range(FOLLOWS, COLUMNS):
        candidates.column[column, size] = 0.0
    candidates.size[0] = size + 1
    return size
