"""Time-decayed popularity at several half-lives, measured in events or in seconds of event time.

A count that halves every h events is stored as its level, log2(count) + now / h. The level of an item changes only with
the item's own events, so the order of the others stays and nothing has to be decayed. The top items of each half-life
are exact, and an event takes a few comparisons. An infinite half-life (decay 0) counts all events. Ties keep the
first-seen order.

An item's column is its level minus that of the most popular item: log2 of the ratio of their counts.
"""

from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple

import numpy as np

from recmodels.kernels import candidates as candidate_set
from recmodels.kernels.compile import index, int64, kernel
from recmodels.kernels.layout import Argument, Column, Float64, Int32, Marks, Rows, Stored
from recmodels.kernels.levels import less
from recmodels.kernels.member import Member
from recmodels.kernels.prefetch import PREFETCH_DISTANCE, prefetch
from recmodels.kernels.shared import EVENTS, ITEM_ROWS, Event, Items, Shared, Undone

HALF_LIVES: Final = 5
"""Number of half-lives."""
TOP_ITEMS: Final = 100
"""Number of items that each half-life proposes."""
LARGEST_HIDDEN_SHARE: Final = 0.25
"""Share of the top items of a half-life that may be unavailable before the top items are rebuilt."""
FLOOR: Final = np.float32(-14.0)
"""Lowest value of a column: that of an item 16,000 times rarer than the first."""
CEILING: Final = -FLOOR
"""Highest value. An announced item is above the first if no available item had an event for a long time."""
LATEST_TIME: Final = 1e11
"""Unix seconds, about 3,000 years ahead. A later time is wrong or in milliseconds, and does not move the clock."""


class Levels(NamedTuple):
    """A row for each item."""

    level: Annotated[Float64, Column(HALF_LIVES, is_packed=True)]
    """[items, HALF_LIVES] log2 of the decayed count, plus the time of decay: it changes only with the item's events."""
    rank: Annotated[Int32, Column(HALF_LIVES)]
    """[items, HALF_LIVES] the item's rank among the top items, from 1. 0: it is not among them."""
    dirty: Marks


class PopularityState(NamedTuple):
    """Levels of items, and the top items of each half-life."""

    items: Annotated[Levels, Rows("items", key="popularity")]
    top: Annotated[Int32, Stored(HALF_LIVES, TOP_ITEMS, holds="items")]
    """[HALF_LIVES, TOP_ITEMS] the items of the highest level, in falling order."""
    size: Annotated[Int32, Stored(HALF_LIVES)]
    """[HALF_LIVES] number of items that `top` holds."""
    clock: Annotated[Float64, Stored(1)]
    """[1] Unix seconds of the newest interaction with a positive reward, 0 at first."""
    decay: Annotated[Float64, Argument("decay")]
    """[HALF_LIVES] 1 / half-life, in events or seconds. 0: never decays."""
    by_time: Annotated[bool, Argument("by_time")]
    """Half-lives are in seconds, not in events."""
    column: Annotated[int, Argument("column")]


@kernel
def propose(popularity: PopularityState, shared: Shared, user: int) -> None:
    """Add the top items of every half-life."""
    for h in range(popularity.top.shape[0]):
        candidate_set.add(shared.candidates, shared.items, popularity.top[h], int64(popularity.size[h]))


@kernel
def score(popularity: PopularityState, shared: Shared, user: int) -> None:
    """Fill the columns."""
    candidates, items, level, first = shared.candidates, shared.items, popularity.items.level, popularity.column
    size, column, top = candidates.size[0], candidates.column, popularity.top
    best = (level[top[0, 0], 0], level[top[1, 0], 1], level[top[2, 0], 2], level[top[3, 0], 3], level[top[4, 0], 4])
    for s in range(size):
        item = index(candidates.item[s])
        if s + PREFETCH_DISTANCE < size:
            prefetch(level, candidates.item[s + PREFETCH_DISTANCE])
            prefetch(items.first_seen, candidates.item[s + PREFETCH_DISTANCE])
        if items.first_seen[item] > 0:
            for h in range(HALF_LIVES):
                column[first + h, s] = min(max(np.float32(level[item, h] - best[h]), FLOOR), CEILING)
        else:
            for h in range(HALF_LIVES):
                column[first + h, s] = FLOOR


@kernel
def learn(popularity: PopularityState, shared: Shared, event: Event) -> None:
    """Count an interaction with the weight of its reward."""
    if event.time <= LATEST_TIME:
        popularity.clock[0] = max(popularity.clock[0], event.time)
    if popularity.by_time and shared.options.keeps_journal:
        add(popularity, shared, event, counted_at(popularity, event.time))
    else:
        add(popularity, shared, event, moment(popularity, event.number))


@kernel
def counted_at(popularity: PopularityState, time: float) -> float:
    """Return the time at which all shards count an interaction: its own, or the newest so far if that is unknown.

    Another shard may be ahead, and have moved the clock. One process counts at the newest time so far.
    """
    return time if 0.0 < time < popularity.clock[0] else popularity.clock[0]


@kernel
def count(popularity: PopularityState, shared: Shared, event: Event, recent: Int32) -> None:
    """Count an interaction of another shard, at the time when it was there."""
    popularity.clock[0] = max(popularity.clock[0], event.time)
    add(popularity, shared, event, event.time if popularity.by_time else float(event.number))


@kernel
def add(popularity: PopularityState, shared: Shared, event: Event, now: float) -> None:
    """Count an interaction at a time in the unit of the half-lives."""
    item, items, table = event.item, shared.items, popularity.items
    gain = np.log2(event.reward)
    is_untouched = event.is_new or items.newness[item] == 1.0
    table.dirty[item] = 1
    for h in range(popularity.top.shape[0]):
        added = gain + now * popularity.decay[h]
        level = table.level[item, h]
        if is_untouched:
            level = added
        elif level > added:
            level += np.log2(1.0 + 2.0 ** (added - level))
        else:
            level = added + np.log2(1.0 + 2.0 ** (level - added))
        table.level[item, h] = level
        # A hidden item keeps its rank but gets no new one, so that hidden items cannot crowd out the others.
        if items.hidden[item] == 0 or table.rank[item, h] > 0:
            rise(popularity, items, item, h)


@kernel
def moment(popularity: PopularityState, number: int) -> float:
    """Return the time of event `number` in the unit of the half-lives: its number, or the newest time so far."""
    return popularity.clock[0] if popularity.by_time else float(number)


@kernel
def take_back(popularity: PopularityState, shared: Shared, undone: Undone) -> None:
    """Count an interaction no more. An item without any other leaves the top items."""
    item, table = undone.item, popularity.items
    table.dirty[item] = 1
    gain = np.log2(undone.reward)
    at = min(undone.time, popularity.clock[0]) if popularity.by_time else float(undone.number)
    now = moment(popularity, int64(shared.counters[EVENTS]))
    for h in range(popularity.top.shape[0]):
        level = less(table.level[item, h], gain + at * popularity.decay[h])
        table.level[item, h] = now * popularity.decay[h] if undone.is_last else level
        if table.rank[item, h] > 0:
            sink(popularity, shared, item, h, undone.is_last)


@kernel
def begin(popularity: PopularityState, shared: Shared, item: int) -> None:
    """Give an announced item without interactions the level of one interaction now.

    It does not enter the top items, so that many announcements at once cannot displace the popular items.
    """
    if shared.items.newness[item] == 0.0:
        return
    now = moment(popularity, shared.counters[EVENTS])
    popularity.items.dirty[item] = 1
    for h in range(popularity.top.shape[0]):
        popularity.items.level[item, h] = now * popularity.decay[h]


@kernel
def show(popularity: PopularityState, shared: Shared, item: int) -> None:
    """Give an available item its rank among the top items, if it has interactions."""
    if is_touched(shared.items, item):
        for h in range(popularity.top.shape[0]):
            rise(popularity, shared.items, item, h)


@kernel
def hide(popularity: PopularityState, shared: Shared, item: int) -> None:
    """Rebuild the top items once the unavailable ones are more than `LARGEST_HIDDEN_SHARE` of them."""
    hidden = shared.items.hidden
    most = 0
    for h in range(popularity.top.shape[0]):
        count = 0
        for place in range(popularity.size[h]):
            count += hidden[popularity.top[h, place]]
        most = max(most, count)
    if most > LARGEST_HIDDEN_SHARE * popularity.top.shape[1]:
        rebuild(popularity, shared, hidden)


@kernel
def drop_items(popularity: PopularityState, shared: Shared, gone: Marks) -> None:
    """Rebuild the top items if some of them are `gone` [items]."""
    for item in range(gone.shape[0]):
        if gone[item] > 0 and popularity.items.rank[item].any():
            rebuild(popularity, shared, gone)
            return


@kernel
def is_touched(items: Items, item: int) -> bool:
    """Say whether an item has interactions, and not only an announcement."""
    return items.first_seen[item] > 0 and items.newness[item] < 1.0


@kernel
def is_above(popularity: PopularityState, items: Items, a: int, b: int, h: int) -> bool:
    """Say whether item `a` comes before item `b`."""
    level = popularity.items.level
    if level[a, h] != level[b, h]:
        return level[a, h] > level[b, h]
    return items.first_seen[a] < items.first_seen[b]


@kernel
def rise(popularity: PopularityState, items: Items, item: int, h: int) -> None:
    """Move an item whose level has grown to its rank among the top items."""
    top, table = popularity.top[h], popularity.items
    place = table.rank[item, h] - 1
    if place < 0:
        if popularity.size[h] < top.shape[0]:
            place = popularity.size[h]
            popularity.size[h] += 1
        elif is_above(popularity, items, item, int64(top[-1]), h):
            place = top.shape[0] - 1
            table.rank[top[place], h] = 0
            table.dirty[top[place]] = 1
        else:
            return
    while place > 0 and is_above(popularity, items, item, int64(top[place - 1]), h):
        other = top[place - 1]
        top[place] = other
        table.rank[other, h] = place + 1
        table.dirty[other] = 1
        place -= 1
    top[place] = item
    table.rank[item, h] = place + 1
    table.dirty[item] = 1


@kernel
def sink(popularity: PopularityState, shared: Shared, item: int, h: int, leaves: bool) -> None:
    """Move an item whose level has fallen to its place among the top items, or have another take its place there."""
    items, top, table = shared.items, popularity.top[h], popularity.items
    was_full = popularity.size[h] == top.shape[0]
    size = int64(popularity.size[h] - 1)
    for place in range(int64(table.rank[item, h] - 1), size):
        top[place] = top[place + 1]
        table.rank[top[place], h] = place + 1
        table.dirty[top[place]] = 1
    top[size] = 0
    popularity.size[h] = size
    table.rank[item, h] = 0
    best = int64(0) if leaves or items.hidden[item] > 0 else int64(item)
    if was_full and not (best > 0 and is_above(popularity, items, best, int64(top[size - 1]), h)):
        for other in range(1, shared.counters[ITEM_ROWS]):
            is_free = table.rank[other, h] == 0 and items.hidden[other] == 0 and other != item
            if is_free and is_touched(items, other):
                best = other if best == 0 or is_above(popularity, items, other, best, h) else best
    if best > 0:
        rise(popularity, items, best, h)


@kernel
def rebuild(popularity: PopularityState, shared: Shared, barred: Marks) -> None:
    """Rebuild the top items without unavailable ones and those with a 1 in `barred` [items]."""
    items, table, rows = shared.items, popularity.items, shared.counters[ITEM_ROWS]
    for h in range(popularity.top.shape[0]):
        popularity.size[h] = 0
        popularity.top[h] = 0
        for item in range(1, rows):
            if table.rank[item, h] > 0:
                table.rank[item, h] = 0
                table.dirty[item] = 1
        for item in range(1, rows):
            if is_touched(items, item) and items.hidden[item] == 0 and barred[item] == 0:
                rise(popularity, items, item, h)


def check(popularity: PopularityState, shared: Shared, live: Mapping[str, set[int]]) -> None:
    """Raise AssertionError unless the top items equal those of a full sort and agree with the ranks."""
    table, items = popularity.items, shared.items
    touched = [row for row in live["items"] if items.first_seen[row] > 0 and items.newness[row] < 1.0]
    for h in range(popularity.top.shape[0]):
        size = int(popularity.size[h])
        top = popularity.top[h, :size].tolist()
        assert np.count_nonzero(popularity.top[h]) == size
        assert [int(table.rank[row, h]) for row in top] == list(range(1, size + 1))
        assert np.count_nonzero(table.rank[:, h]) == size, "an item that is not in the list has a rank in it"
        order = sorted(touched, key=lambda row: (-table.level[row, h], items.first_seen[row]))
        assert top == [row for row in order if row in set(top)], f"the list of half-life {h} is not in order"
        shown = [row for row in order if not items.hidden[row]]
        shown_top = [row for row in top if not items.hidden[row]]
        assert shown_top == shown[: len(shown_top)], f"the list of half-life {h} lacks an item"
        assert size == TOP_ITEMS or len(shown_top) == len(shown), f"half-life {h} has room, and lacks an item"


MEMBER: Final = Member(
    name="popularity",
    state=PopularityState,
    columns=tuple(f"popular, half-life {{half_lives[{h}]:g}}{{unit}}" for h in range(HALF_LIVES)),
    says="log2 of the item's recent count over that of the most popular item, at each of five half-lives",
    offers="the 100 most popular of each half-life",
    weights=(0.2,) * HALF_LIVES,
    propose=propose,
    score=score,
    learn=learn,
    count=count,
    take_back=take_back,
    begin=begin,
    show=show,
    hide=hide,
    drop_items=drop_items,
    check=check,
)
