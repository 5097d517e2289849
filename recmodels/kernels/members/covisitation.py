"""Directed item-to-item co-visitation: which items followed each item, in rows of bounded length.

When a user interacts with j, each of the user's recent items h at distance p = 0, 1, 2 … adds decay^p to the pair
(h, j). A full row drops its weakest entry. This is item-to-item collaborative filtering with a direction. A list
weights the user's recent items in three ways. The first counts the last item alone, the second halves with distance,
and the
third decays slowly:

    x(j) = sum over p of g^p * weight(h_p, j) / total(h_p), divided by the sum over p of g^p

for g = 0, 0.5 and 0.9. The three weightings are a design of this project. The column is 3 * sqrt(x): it lies between 0
and 3, and small shares remain visible.

Source of item-to-item collaborative filtering: Linden, Smith and York, "Amazon.com recommendations: item-to-item
collaborative filtering", IEEE Internet Computing 7(1), 2003.
"""

from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple

import numpy as np

from recmodels.kernels import ledger
from recmodels.kernels.candidates import EXCLUDED, PLACES
from recmodels.kernels.compile import index, int64, kernel
from recmodels.kernels.layout import Argument, Column, Float32, Int32, Int64, Marks, Rows, Scratch
from recmodels.kernels.member import Member
from recmodels.kernels.prefetch import prefetch, prefetch_long
from recmodels.kernels.shared import CANDIDATES, ITEM_ROWS, Event, Shared, Undone

FAST_DECAY: Final = np.float32(0.5)
SLOW_DECAY: Final = np.float32(0.9)
LARGEST_TOTAL: Final = np.float32(400.0)
"""A row with a larger total is halved, so that old pairs decay even for items with many events."""

MOST_PROPOSED: Final = 512
"""Number of candidates from which rows of pairs propose no others. The rows of the newest items come first. In large
catalogues the rows of twenty items have few entries in common, and most would have hardly a chance."""

MANY_ITEMS: Final = 8_192
"""Number of items from which the processor's nearest cache does not hold what is needed of each."""

SMALLEST_GAIN: Final = np.float32(1e-12)
"""A smaller gain makes no entry: it would not survive a division in single precision."""

LARGEST_BITS: Final = np.int32(0x7FFFFFFF)
"""The largest integer of 32 bits."""

SMALLEST_LEFT: Final = np.float32(1e-4)
"""Of a pair from which something is taken, a smaller share of it is rounding."""


class Followers(NamedTuple):
    """A row for each item: the items that followed it."""

    item: Annotated[Int32, Column("row_length", holds="items")]
    """[items, row_length] the followers."""
    weight: Annotated[Float32, Column("row_length", beside="item")]
    """[items, row_length] how often each followed, decayed by distance."""
    size: Annotated[Int32, Column(counts="item")]
    """[items] number of entries of the row."""
    total: Annotated[Float32, Column()]
    """[items] sum of all weights ever added, including those of dropped entries."""
    dirty: Marks


class CovisitationState(NamedTuple):
    """The followers of each item, and the sums for the present user."""

    items: Annotated[Followers, Rows("items", key="covisitation")]
    sums: Annotated[Float32, Scratch(CANDIDATES + 1, 2)]
    """[CANDIDATES + 1, 2] sums of each candidate with `FAST_DECAY` and with `SLOW_DECAY`. The last row is for
    excluded items, and is never read."""
    summed: Annotated[Int64, Scratch(1)]
    """[1] number of places of the candidate set that have sums."""
    decay: Annotated[float, Argument("learn_decay")]
    """Factor by which each older recent item learns less of the new one."""
    column: Annotated[int, Argument("column")]


@kernel
def propose(covisitation: CovisitationState, shared: Shared, user: int) -> None:
    """Propose the followers of the user's recent items, and sum up their weights."""
    covisitation.summed[0] = propose_rows(
        covisitation.items, covisitation.sums, shared, shared.users.recent[user], int64(shared.users.recent.shape[1])
    )


@kernel
def propose_rows(table: Followers, sums: Float32, shared: Shared, recent: Int32, most: int) -> int:
    """Propose the entries of the rows of recent items, and sum up their weights in the same walk.

    Args:
        table: The rows.
        sums: [CANDIDATES + 1, 2] out: sums of each candidate with `FAST_DECAY` and with `SLOW_DECAY`.
        shared: The shared state.
        recent: [recent] the user's recent items.
        most: Number of recent items whose rows are walked.

    Returns:
        The number of candidates that have sums.
    """
    candidates, hidden = shared.candidates, shared.items.hidden
    places, base, found = candidates.slot, candidates.epoch[0] * PLACES, candidates.item
    size, room = candidates.size[0], min(candidates.size[1], MOST_PROPOSED)
    for s in range(size):
        sums[s, 0] = 0.0
        sums[s, 1] = 0.0
    fast, slow = np.float32(1.0), np.float32(1.0)
    is_large = shared.counters[ITEM_ROWS] > MANY_ITEMS
    load_rows(table, recent, most)
    for p in range(most):
        row = recent[p]
        if row == 0:
            break
        if is_large and p + 1 < most:
            load_slots(table, shared, int64(recent[p + 1]))
        if table.total[row] > 0:
            share = np.float32(1.0) / table.total[row]
            fast_share, slow_share = fast * share, slow * share
            entry, weight = table.item[row], table.weight[row]
            for k in range(table.size[row]):
                item = index(entry[k])
                place = places[item] - base
                if place < 0:
                    place = EXCLUDED
                    if hidden[item] == 0 and size < room:
                        place = size
                        found[place] = item
                        sums[place, 0] = 0.0
                        sums[place, 1] = 0.0
                        size += 1
                        places[item] = base + place
                s = index(place)
                sums[s, 0] += fast_share * weight[k]
                sums[s, 1] += slow_share * weight[k]
        fast *= FAST_DECAY
        slow *= SLOW_DECAY
    candidates.size[0] = size
    return size


@kernel
def load_rows(table: Followers, recent: Int32, most: int) -> None:
    """Start to load the rows of the first `most` recent items."""
    for p in range(most):
        prefetch(table.size, recent[p])
        prefetch(table.total, recent[p])
        prefetch_long(table.item, recent[p])
        prefetch_long(table.weight, recent[p])


@kernel
def load_slots(table: Followers, shared: Shared, row: int) -> None:
    """Start to load what `propose_rows` needs of the entries of a row."""
    entry, slot, hidden = table.item[row], shared.candidates.slot, shared.items.hidden
    for k in range(table.size[row]):
        prefetch(slot, entry[k])
        prefetch(hidden, entry[k])


@kernel
def score(covisitation: CovisitationState, shared: Shared, user: int) -> None:
    """Turn the sums into columns."""
    table, candidates, recent = covisitation.items, shared.candidates, shared.users.recent
    fast, slow = np.float32(1.0), np.float32(1.0)
    fast_sum, slow_sum = np.float32(0.0), np.float32(0.0)
    for p in range(recent.shape[1]):
        if recent[user, p] == 0:
            break
        fast_sum += fast
        slow_sum += slow
        fast *= FAST_DECAY
        slow *= SLOW_DECAY
    fast_part, slow_part = (
        np.float32(9.0) / max(fast_sum, np.float32(1.0)),
        np.float32(9.0) / max(slow_sum, np.float32(1.0)),
    )
    first, size, sums, summed = covisitation.column, candidates.size[0], covisitation.sums, covisitation.summed[0]
    last, few, many = candidates.column[first], candidates.column[first + 1], candidates.column[first + 2]
    last[:size] = 0.0
    few[summed:size] = 0.0
    many[summed:size] = 0.0
    for s in range(summed):
        few[s] = np.sqrt(fast_part * sums[s, 0])
        many[s] = np.sqrt(slow_part * sums[s, 1])
    row = recent[user, 0]
    if table.total[row] > 0:
        share = np.float32(9.0) / table.total[row]
        places, base = candidates.slot, candidates.epoch[0] * PLACES
        for k in range(table.size[row]):
            s = places[table.item[row, k]] - base
            if 0 <= s < EXCLUDED:
                last[s] = np.sqrt(share * table.weight[row, k])


@kernel
def learn(covisitation: CovisitationState, shared: Shared, event: Event) -> None:
    """Note for each of the user's recent items that the event's item followed it."""
    recent, gain = shared.users.recent, np.float32(event.reward)
    for p in range(recent.shape[1]):
        row = recent[event.user, p]
        if row == 0 or gain < SMALLEST_GAIN:
            break
        if row != event.item:
            add(covisitation.items, row, event.item, gain)
        gain *= np.float32(covisitation.decay)


@kernel
def count(covisitation: CovisitationState, shared: Shared, event: Event, recent: Int32) -> None:
    """Note for each recent item of an interaction in another shard that the item followed it."""
    gain = np.float32(event.reward)
    for p in range(recent.shape[0]):
        if gain < SMALLEST_GAIN:
            break
        if recent[p] > 0 and recent[p] != event.item:
            add(covisitation.items, recent[p], event.item, gain)
        gain *= np.float32(covisitation.decay)


@kernel
def add(table: Followers, row: int, item: int, gain: np.float32) -> None:
    """Add to the weight of one pair. A full row drops its weakest entry.

    Args:
        table: Rows of followers.
        row: Row of the first item.
        item: Row of the item that followed it.
        gain: Weight to add.
    """
    table.dirty[row] = 1
    follower, weight = table.item[row], table.weight[row]
    size = table.size[row]
    if table.total[row] > LARGEST_TOTAL:
        table.total[row] *= np.float32(0.5)
        for k in range(size):
            weight[k] *= np.float32(0.5)
    table.total[row] += gain
    place = place_of(follower, int64(size), np.int32(item))
    if place >= 0:
        weight[place] += gain
        return
    place = int64(size)
    if size < follower.shape[0]:
        table.size[row] = size + 1
    else:
        place = weakest(weight)
    follower[place] = item
    weight[place] = gain


@kernel
def place_of(follower: Int32, size: int, item: np.int32) -> int:
    """Return the place of an item among the first `size` of a row, which holds it once, or -1.

    It looks at all of them, in SIMD lanes. That takes an eighth of the time of a loop that ends at the item.
    """
    found = np.int32(0)
    for k in range(size):
        found = max(found, np.int32(k + 1) if follower[k] == item else np.int32(0))
    return int64(found) - 1


@kernel
def weakest(weight: Float32) -> int:
    """Return the place of the lowest weight, the first of equal ones, as `np.argmin` does.

    Weights are above 0, so their bits are in their order, and are compared as integers, in SIMD lanes.
    """
    highest = np.int32(0)
    for k in range(weight.shape[0]):
        highest = max(highest, np.int32(LARGEST_BITS - np.float32(weight[k]).view(np.int32)))
    first = np.int32(0)
    for k in range(weight.shape[0]):
        is_lowest = np.int32(LARGEST_BITS - np.float32(weight[k]).view(np.int32)) == highest
        first = max(first, np.int32(weight.shape[0] - k) if is_lowest else np.int32(0))
    return weight.shape[0] - int64(first)


@kernel
def take_back(covisitation: CovisitationState, shared: Shared, undone: Undone) -> None:
    """Undo the pairs of an interaction, and have the user's later ones pair with what they find without it."""
    changes, book, user = shared.changes, shared.ledger, undone.user
    for place in range(undone.place, -1, -1):
        if book.reward[user, place] > 0.0:
            count = ledger.changed_pairs(shared, user, int64(place), undone.place, covisitation.decay, SMALLEST_GAIN)
            if count < 0:
                return
            for k in range(count):
                row, change = changes.item[k >> 1, k & 1], changes.change[k >> 1, k & 1]
                move(covisitation.items, int64(row), int64(book.item[user, place]), change)


@kernel
def move(table: Followers, row: int, item: int, change: np.float32) -> None:
    """Change the weight of one pair. A pair without weight goes; an entry that had to go takes nothing with it."""
    if change == 0.0:
        return
    table.dirty[row] = 1
    follower, weight, size = table.item[row], table.weight[row], int64(table.size[row])
    place = int64(0)
    while place < size and follower[place] != item:
        place += 1
    if change > 0.0:
        if place < size or size < follower.shape[0]:
            add(table, row, item, change)
        return
    if place < size:
        change = max(change, -weight[place])
        weight[place] += change
        table.total[row] += change
        if weight[place] <= SMALLEST_LEFT * -change:
            for k in range(place, size):
                follower[k] = follower[k + 1] if k + 1 < size else 0
                weight[k] = weight[k + 1] if k + 1 < size else np.float32(0.0)
            size -= 1
            table.size[row] = size
    else:
        table.total[row] += change
    known = np.float32(0.0)
    for k in range(size):
        known += weight[k]
    table.total[row] = max(table.total[row], known) if size > 0 else np.float32(0.0)


def check(covisitation: CovisitationState, shared: Shared, live: Mapping[str, set[int]]) -> None:
    """Raise AssertionError unless sizes and totals of rows are right, and no item follows itself."""
    check_rows(covisitation.items, live["items"])


def check_rows(table: Followers, live: set[int]) -> None:
    """Raise AssertionError if a row is inconsistent. `live` has the rows of items in use."""
    for row in live:
        size = int(table.size[row])
        assert np.count_nonzero(table.item[row]) == size
        assert row not in table.item[row, :size]
        assert (table.weight[row, :size] > 0.0).all()
        assert table.weight[row].sum() <= table.total[row] * 1.001


MEMBER: Final = Member(
    name="covisitation",
    state=CovisitationState,
    columns=("followed the last item", "followed the last few", "followed the recent"),
    says="how often the item followed the user's last item, last few and last twenty",
    offers="what followed any of these, 64 of each",
    weights=(0.3, 0.3, 0.3),
    turn=-1,
    propose=propose,
    score=score,
    learn=learn,
    count=count,
    take_back=take_back,
    check=check,
)
