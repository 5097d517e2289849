"""Candidate set: the items from which a user's list is chosen, with the columns that the members fill.

Each item has a mark with the number of the set that it was last in. So emptying the set takes one addition.
"""

from typing import Final

from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.layout import Int32
from recmodels.kernels.shared import CANDIDATES, Candidates, Items

EXCLUDED: Final = CANDIDATES
"""The slot of all excluded items. Sums may be added up there, and are never read."""
PLACES: Final = 2 * CANDIDATES


@kernel
def start(candidates: Candidates) -> None:
    """Begin a new, empty set."""
    candidates.epoch[0] += 1
    candidates.size[0] = 0
    candidates.size[1] = CANDIDATES
    candidates.size[2] = 0


@kernel
def admit(candidates: Candidates, some: Int32) -> None:
    """Begin a set of exactly these items [n], including unavailable ones. No other item can be added."""
    start(candidates)
    base = candidates.epoch[0] * PLACES
    for k in range(some.shape[0]):
        if candidates.slot[some[k]] < base:
            size = candidates.size[0]
            candidates.slot[some[k]] = base + size
            candidates.item[size] = some[k]
            candidates.size[0] = size + 1
    candidates.size[1] = candidates.size[0]


@kernel
def exclude(candidates: Candidates, item: int) -> None:
    """Exclude an item from the set."""
    candidates.slot[item] = candidates.epoch[0] * PLACES + EXCLUDED


@kernel
def slot_of(candidates: Candidates, item: int) -> int:
    """Return the slot of an item, or -1 if it is not in the set."""
    place = candidates.slot[item] - candidates.epoch[0] * PLACES
    return place if 0 <= place < EXCLUDED else -1


@kernel
def is_excluded(candidates: Candidates, item: int) -> bool:
    """Say whether an item was excluded from the set, is unavailable, or found no room in it."""
    return candidates.slot[item] == candidates.epoch[0] * PLACES + EXCLUDED


@kernel
def add(candidates: Candidates, items: Items, some: Int32, count: int) -> None:
    """Add items while there is room, except excluded and unavailable ones.

    Args:
        candidates: The set.
        items: All items.
        some: [n] rows of items, none of them 0 among the first `count`.
        count: The number of them to add, from the first.
    """
    base = candidates.epoch[0] * PLACES
    places, found, hidden = candidates.slot, candidates.item, items.hidden
    size, room = candidates.size[0], candidates.size[1]
    for k in range(count):
        item = some[k]
        if places[item] < base:
            if hidden[item] > 0 or size == room:
                places[item] = base + EXCLUDED
                continue
            places[item] = base + size
            found[size] = item
            size += 1
    candidates.size[0] = size


@kernel
def add_one(candidates: Candidates, items: Items, item: int) -> None:
    """Add one item to the set, by the rules of `add`."""
    if candidates.slot[item] >= candidates.epoch[0] * PLACES:
        return
    size = candidates.size[0]
    if items.hidden[item] > 0 or size == candidates.size[1]:
        exclude(candidates, item)
        return
    candidates.slot[item] = candidates.epoch[0] * PLACES + size
    candidates.item[size] = item
    candidates.size[0] = size + 1


@kernel
def fill_up(candidates: Candidates, items: Items, rows: int, least: int) -> None:
    """Add items of the first `rows` rows until the set has `least` candidates.

    Args:
        candidates: The set.
        items: All items.
        rows: Number of rows of items in use.
        least: Number of candidates to reach.
    """
    item = int64(1)
    while candidates.size[0] < least and item < rows:
        if items.first_seen[item] > 0:
            add_one(candidates, items, item)
        item += 1
