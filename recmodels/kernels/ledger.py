"""The ledger: the last interactions of each user, and what would have been without one of them.

With it an interaction can be taken back exactly: its pairs, and those of the user's later interactions, which would
have found other recent items.
"""

from typing import Final

import numpy as np

from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.layout import Int32
from recmodels.kernels.shared import Ledger, Shared

KEPT: Final = 32
"""Interactions of a user that a ledger holds."""
NOWHERE: Final = -1


@kernel
def note(ledger: Ledger, user: int, item: int, kind: int, reward: float, number: int, time: float) -> None:
    """Put an interaction in front of those of its user."""
    length = ledger.item.shape[1]
    if length == 0:
        return
    for place in range(length - 1, 0, -1):
        ledger.item[user, place] = ledger.item[user, place - 1]
        ledger.kind[user, place] = ledger.kind[user, place - 1]
        ledger.reward[user, place] = ledger.reward[user, place - 1]
        ledger.number[user, place] = ledger.number[user, place - 1]
        ledger.time[user, place] = ledger.time[user, place - 1]
    ledger.item[user, 0] = item
    ledger.kind[user, 0] = kind
    ledger.reward[user, 0] = reward
    ledger.number[user, 0] = number
    ledger.time[user, 0] = time
    ledger.dirty[user] = 1


@kernel
def find(ledger: Ledger, user: int, item: int, kind: int) -> int:
    """Return the place of the user's newest interaction with an item, of one kind unless that is 0; else `NOWHERE`."""
    for place in range(ledger.item.shape[1]):
        if ledger.item[user, place] == item:
            own = ledger.kind[user, place]
            if kind == 0 or own == 0 or own == kind:
                return place
    return NOWHERE


@kernel
def remove(ledger: Ledger, user: int, place: int) -> None:
    """Take an interaction out. Those behind it move up."""
    last = ledger.item.shape[1] - 1
    for k in range(place, last):
        ledger.item[user, k] = ledger.item[user, k + 1]
        ledger.kind[user, k] = ledger.kind[user, k + 1]
        ledger.reward[user, k] = ledger.reward[user, k + 1]
        ledger.number[user, k] = ledger.number[user, k + 1]
        ledger.time[user, k] = ledger.time[user, k + 1]
    ledger.item[user, last] = 0
    ledger.kind[user, last] = 0
    ledger.reward[user, last] = 0.0
    ledger.number[user, last] = 0
    ledger.time[user, last] = 0.0
    ledger.dirty[user] = 1


@kernel
def positive(ledger: Ledger, user: int) -> int:
    """Return how many interactions of a user with a reward above 0 the ledger has."""
    count = int64(0)
    for place in range(ledger.item.shape[1]):
        count += int64(ledger.item[user, place] > 0 and ledger.reward[user, place] > 0.0)
    return count


@kernel
def newest_number(ledger: Ledger, user: int, item: int) -> int:
    """Return the number of the user's newest interaction with an item, a positive one if there is any; 0 if the ledger
    has none."""
    found = int64(0)
    for place in range(ledger.item.shape[1]):
        if ledger.item[user, place] == item:
            if ledger.reward[user, place] > 0.0:
                return int64(ledger.number[user, place])
            found = max(found, int64(ledger.number[user, place]))
    return found


@kernel
def recent_before(shared: Shared, user: int, start: int, skipped: int, found: Int32) -> int:
    """Write the recent items of a user as they were before an interaction; return how many there are.

    Args:
        shared: Where the user's recent items still are those of now.
        user: The user.
        start: The place in the ledger behind that interaction.
        skipped: A place that is left out, as if that interaction had not been; -1: none.
        found: [recent] out: the items, the newest first, and 0 behind the last.
    """
    count = collect(shared.ledger, user, start, skipped, found)
    # What is older than the ledger stands behind what the whole ledger has brought.
    recent = shared.users.recent[user]
    for place in range(collect_length(shared.ledger, user, recent.shape[0]), recent.shape[0]):
        if count == found.shape[0] or recent[place] == 0:
            break
        if count == 0 or found[count - 1] != recent[place]:
            found[count] = recent[place]
            count += 1
    found[count:] = 0
    return count


@kernel
def collect(ledger: Ledger, user: int, start: int, skipped: int, found: Int32) -> int:
    """Write the items of the ledger from a place on. An item twice in a row counts once."""
    count = int64(0)
    for place in range(start, ledger.item.shape[1]):
        item = ledger.item[user, place]
        if item == 0 or count == found.shape[0]:
            break
        if place == skipped or ledger.reward[user, place] <= 0.0:
            continue
        if count == 0 or found[count - 1] != item:
            found[count] = item
            count += 1
    return count


@kernel
def collect_length(ledger: Ledger, user: int, most: int) -> int:
    """Return how many items `collect` finds in the whole ledger."""
    count, last = int64(0), np.int32(0)
    for place in range(ledger.item.shape[1]):
        item = ledger.item[user, place]
        if item == 0 or count == most:
            break
        if ledger.reward[user, place] > 0.0 and item != last:
            last = item
            count += 1
    return count


@kernel
def changed_pairs(shared: Shared, user: int, place: int, undone: int, decay: float, smallest: np.float32) -> int:
    """Find the pairs of an interaction that change when another one, or itself, is taken back.

    Args:
        shared: `changes.item` and `changes.change` are written: the items that the interaction's item is paired with,
            and what the weight of the pair changes by.
        user: The user.
        place: The interaction's place in the ledger.
        undone: The place of the one that is taken back: this one, or an older one.
        decay: How much less the pair with each older recent item gained.
        smallest: A pair that would have gained less gained nothing.

    Returns:
        The number of pairs; -1 if neither this nor a later interaction has any.
    """
    ledger, changes = shared.ledger, shared.changes
    before, after, gains = changes.before, changes.after, changes.gain
    count = recent_before(shared, user, place + 1, int64(NOWHERE), before)
    rest = int64(0)
    after[:] = 0
    if place != undone:
        rest = recent_before(shared, user, place + 1, undone, after)
        is_same = count == rest
        for k in range(count):
            is_same = is_same and before[k] == after[k]
        if is_same:
            return int64(-1)
    gain = ledger.reward[user, place]
    for k in range(gains.shape[0]):
        gains[k] = gain if gain >= smallest else np.float32(0.0)
        gain *= np.float32(decay)
    size = int64(0)
    for source in range(2):
        for k in range(count if source == 0 else rest):
            other = before[k] if source == 0 else after[k]
            is_known = other == ledger.item[user, place]
            for known in range(size):
                is_known = is_known or changes.item[known >> 1, known & 1] == other
            if is_known:
                continue
            total = np.float32(0.0)
            for p in range(count):
                if before[p] == other:
                    total -= gains[p]
            for p in range(rest):
                if after[p] == other:
                    total += gains[p]
            changes.item[size >> 1, size & 1] = other
            changes.change[size >> 1, size & 1] = total
            size += 1
    return size
