"""Co-visitation in the reverse direction: which items came before each item.

When a user interacts with j, each of the user's recent items h at distance p = 0, 1, 2 … adds decay^p to the pair
(j, h). So the row of j has the items before it. A list uses the rows of the user's recent items as `covisitation` does:

    x(j) = sum over p of g^p * weight(h_p, j) / total(h_p), divided by the sum over p of g^p

for g = 0.5 and 0.9. The column is 3 * sqrt(x). Pairs that occur in both orders count in both directions, so whole short
sessions of other users count. VMIS-kNN is strong on short sessions for the same reason.

Source of the comparison: Kersbergen, Sprangers and Schelter, "Serenade: low-latency session-based recommendation in
e-commerce at scale", SIGMOD 2022.
"""

from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple

import numpy as np

from recmodels.kernels import ledger
from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.layout import Argument, Float32, Int32, Int64, Rows, Scratch
from recmodels.kernels.member import Member
from recmodels.kernels.members.covisitation import (
    FAST_DECAY,
    SLOW_DECAY,
    SMALLEST_GAIN,
    Followers,
    add,
    check_rows,
    move,
    propose_rows,
)
from recmodels.kernels.prefetch import prefetch_long
from recmodels.kernels.shared import CANDIDATES, Event, Shared, Undone

RECENT_ITEMS: Final = 20
"""Number of a user's recent items whose rows are used."""


class PredecessorsState(NamedTuple):
    """The predecessors of each item."""

    rows: Annotated[Followers, Rows("items", key="predecessors")]
    """A row for each item, in the form of co-visitation's, with the items before it."""
    sums: Annotated[Float32, Scratch(CANDIDATES + 1, 2)]
    """[CANDIDATES + 1, 2] x of each candidate, before the division. The last row is for excluded items."""
    summed: Annotated[Int64, Scratch(1)]
    """[1] number of candidates that have sums."""
    decay: Annotated[float, Argument("learn_decay")]
    """Factor by which the row learns less of each older recent item."""
    column: Annotated[int, Argument("column")]


@kernel
def propose(own: PredecessorsState, shared: Shared, user: int) -> None:
    """Propose the items that came before the user's recent items, and sum up their weights."""
    recent = shared.users.recent[user]
    own.summed[0] = propose_rows(own.rows, own.sums, shared, recent, min(int64(recent.shape[0]), int64(RECENT_ITEMS)))


@kernel
def score(own: PredecessorsState, shared: Shared, user: int) -> None:
    """Turn the sums into columns."""
    candidates, recent, sums, summed = shared.candidates, shared.users.recent[user], own.sums, own.summed[0]
    fast, slow = np.float32(1.0), np.float32(1.0)
    fast_sum, slow_sum = np.float32(0.0), np.float32(0.0)
    for p in range(min(recent.shape[0], RECENT_ITEMS)):
        if recent[p] == 0:
            break
        fast_sum += fast
        slow_sum += slow
        fast *= FAST_DECAY
        slow *= SLOW_DECAY
    fast_part = np.float32(9.0) / max(fast_sum, np.float32(1.0))
    slow_part = np.float32(9.0) / max(slow_sum, np.float32(1.0))
    few, many = candidates.column[own.column], candidates.column[own.column + 1]
    for s in range(summed):
        few[s] = np.sqrt(fast_part * sums[s, 0])
        many[s] = np.sqrt(slow_part * sums[s, 1])
    few[summed : candidates.size[0]] = 0.0
    many[summed : candidates.size[0]] = 0.0


@kernel
def learn(own: PredecessorsState, shared: Shared, event: Event) -> None:
    """Add the user's recent items to the item's row."""
    recent, gain = shared.users.recent[event.user], np.float32(event.reward)
    for p in range(recent.shape[0]):
        if recent[p] == 0 or gain < SMALLEST_GAIN:
            break
        if recent[p] != event.item:
            add(own.rows, event.item, recent[p], gain)
        gain *= np.float32(own.decay)


@kernel
def count(own: PredecessorsState, shared: Shared, event: Event, recent: Int32) -> None:
    """Add the recent items of an interaction in another shard to the item's row."""
    gain = np.float32(event.reward)
    for p in range(recent.shape[0]):
        if gain < SMALLEST_GAIN:
            break
        if recent[p] > 0 and recent[p] != event.item:
            add(own.rows, event.item, recent[p], gain)
        gain *= np.float32(own.decay)


@kernel
def load(own: PredecessorsState, item: int) -> None:
    """Start to load the row of an item."""
    prefetch_long(own.rows.item, item)
    prefetch_long(own.rows.weight, item)


@kernel
def take_back(own: PredecessorsState, shared: Shared, undone: Undone) -> None:
    """Undo the pairs of an interaction, and have the user's later ones pair with what they find without it."""
    changes, book, user = shared.changes, shared.ledger, undone.user
    for place in range(undone.place, -1, -1):
        if book.reward[user, place] > 0.0:
            count = ledger.changed_pairs(shared, user, int64(place), undone.place, own.decay, SMALLEST_GAIN)
            if count < 0:
                return
            for k in range(count):
                other, change = changes.item[k >> 1, k & 1], changes.change[k >> 1, k & 1]
                move(own.rows, int64(book.item[user, place]), int64(other), change)


def check(own: PredecessorsState, shared: Shared, live: Mapping[str, set[int]]) -> None:
    """Raise AssertionError unless sizes and totals of rows are right, and no item precedes itself."""
    check_rows(own.rows, live["items"])


MEMBER: Final = Member(
    name="predecessors",
    state=PredecessorsState,
    columns=("came before the last few", "came before the recent"),
    says="how often the item came before the user's last few items and last twenty",
    offers="what came before any of these, 64 of each",
    turn=-1,
    propose=propose,
    score=score,
    learn=learn,
    count=count,
    take_back=take_back,
    check=check,
)
