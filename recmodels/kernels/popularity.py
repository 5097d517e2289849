"""Time-decayed popularity at several half-lives, measured in events or in seconds of the events' time.

A count that halves every h events is stored as its level, log2(count) + now / h. The level of an item stands still
until the item is touched, so items keep their order and nothing has to be decayed: the top items of each half-life
are exact, and an event costs a few comparisons. A half-life without end (decay 0) counts all events. Of two items of
equal level the one that was seen first comes first, as in every list.

An item's column is its level minus that of the most popular item: log2 of the ratio of their counts.
"""

from typing import Final

import numpy as np

from recmodels.kernels import candidates as candidate_set
from recmodels.kernels.candidates import HALF_LIVES, POPULAR
from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.prefetch import AHEAD, prefetch
from recmodels.kernels.shared import Candidates, Items
from recmodels.kernels.state import Popularity

FLOOR: Final = np.float32(-14.0)
"""Lowest value of a column: an item 16,000 times rarer than the first is as good as unheard of."""
CEILING: Final = -FLOOR
"""Highest: an announced item stands above the first where nobody has touched any that is shown for long."""
LATEST: Final = 1e11
"""Unix seconds, some 3,000 years ahead: a time beyond is none, or one in milliseconds, and does not move the clock."""


@kernel
def propose(popularity: Popularity, items: Items, candidates: Candidates) -> None:
    """Add the top items of every half-life."""
    for h in range(popularity.top.shape[0]):
        candidate_set.add(candidates, items, popularity.top[h], int64(popularity.size[h]))


@kernel
def score(popularity: Popularity, items: Items, candidates: Candidates) -> None:
    """Fill the columns of popularity."""
    size = candidates.size[0]
    for s in range(size):
        item = candidates.item[s]
        if s + AHEAD < size:
            prefetch(popularity.level, candidates.item[s + AHEAD])
            prefetch(items.first_seen, candidates.item[s + AHEAD])
        if items.first_seen[item] > 0:
            for h in range(HALF_LIVES):
                below = popularity.level[item, h] - popularity.level[popularity.top[h, 0], h]
                candidates.column[POPULAR + h, s] = min(max(np.float32(below), FLOOR), CEILING)
        else:
            for h in range(HALF_LIVES):
                candidates.column[POPULAR + h, s] = FLOOR


@kernel
def learn(popularity: Popularity, items: Items, item: int, reward: float, now: float, is_new: bool) -> None:
    """Count an interaction of weight `reward` that happens at `now`, which is as of `moment`."""
    popularity.dirty[item] = 1
    gain = np.log2(reward)
    for h in range(popularity.top.shape[0]):
        added = gain + now * popularity.decay[h]
        level = popularity.level[item, h]
        if is_new:
            level = added
        elif level > added:
            level += np.log2(1.0 + 2.0 ** (added - level))
        else:
            level = added + np.log2(1.0 + 2.0 ** (level - added))
        popularity.level[item, h] = level
        # A hidden item keeps its place in order but gets none, so that hidden items cannot crowd out the others.
        if items.hidden[item] == 0 or popularity.rank[item, h] > 0:
            rise(popularity, items, item, h)


@kernel
def moment(popularity: Popularity, number: int, by_time: bool) -> float:
    """Return when an event is, as half-lives count: its number, or the newest time of interactions so far."""
    return popularity.clock[0] if by_time else float(number)


@kernel
def is_above(popularity: Popularity, items: Items, a: int, b: int, h: int) -> bool:
    """Say whether item `a` comes before item `b`."""
    if popularity.level[a, h] != popularity.level[b, h]:
        return popularity.level[a, h] > popularity.level[b, h]
    return items.first_seen[a] < items.first_seen[b]


@kernel
def announce(popularity: Popularity, item: int, now: float) -> None:
    """Begin the row of an item that nobody has touched: as one interaction at `now` would.

    It has no place among the top items, lest many announcements at once drive out what is popular.
    """
    popularity.dirty[item] = 1
    for h in range(popularity.top.shape[0]):
        popularity.level[item, h] = now * popularity.decay[h]


@kernel
def show(popularity: Popularity, items: Items, item: int) -> None:
    """Give an item that has become available its place among the top items, if anybody has touched it."""
    if is_touched(items, item):
        for h in range(popularity.top.shape[0]):
            rise(popularity, items, item, h)


@kernel
def is_touched(items: Items, item: int) -> bool:
    """Say whether an interaction has spoken for the item, rather than an announcement alone."""
    return items.first_seen[item] > 0 and items.newness[item] < 1.0


@kernel
def rise(popularity: Popularity, items: Items, item: int, h: int) -> None:
    """Move an item whose level has grown to its place among the top items."""
    top = popularity.top[h]
    place = popularity.rank[item, h] - 1
    if place < 0:
        if popularity.size[h] < top.shape[0]:
            place = popularity.size[h]
            popularity.size[h] += 1
        elif is_above(popularity, items, item, top[-1], h):
            place = top.shape[0] - 1
            popularity.rank[top[place], h] = 0
            popularity.dirty[top[place]] = 1
        else:
            return
    while place > 0 and is_above(popularity, items, item, top[place - 1], h):
        other = top[place - 1]
        top[place] = other
        popularity.rank[other, h] = place + 1
        popularity.dirty[other] = 1
        place -= 1
    top[place] = item
    popularity.rank[item, h] = place + 1
    popularity.dirty[item] = 1


@kernel
def rebuild(popularity: Popularity, items: Items, used: int) -> None:
    """Find the top items anew among the first `used` rows, leaving out those that are not available."""
    for h in range(popularity.top.shape[0]):
        popularity.size[h] = 0
        popularity.top[h] = 0
        for item in range(1, used):
            if popularity.rank[item, h] > 0:
                popularity.rank[item, h] = 0
                popularity.dirty[item] = 1
        for item in range(1, used):
            if is_touched(items, item) and items.hidden[item] == 0:
                rise(popularity, items, item, h)
