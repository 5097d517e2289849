"""Personal history as a member: the user's own items, by count and recency.

It proposes items again where repeats are allowed. Where they are not, `recmodels.kernels.history` excludes them for
every model. An item in the history has three columns: log(1 + amount), 1 / sqrt(1 + rank), and 1. The newest item has
rank 0.
"""

from typing import Annotated, Final, NamedTuple

import numpy as np

from recmodels.kernels import candidates as candidate_set
from recmodels.kernels.candidates import EXCLUDED, PLACES
from recmodels.kernels.compile import index, int64, kernel
from recmodels.kernels.layout import Argument, Float32, Int32, Int64, Scratch
from recmodels.kernels.member import Member
from recmodels.kernels.prefetch import prefetch
from recmodels.kernels.shared import Shared

PROPOSED_ITEMS: Final = 512
"""Number of the newest items that are proposed again."""

RECENCY: Final = (1.0 / np.sqrt(1.0 + np.arange(PROPOSED_ITEMS))).astype(np.float32)
"""[PROPOSED_ITEMS] column of the item at each rank."""


class HistoryState(NamedTuple):
    """The newest items of the present user. The histories themselves are shared."""

    item: Annotated[Int32, Scratch(PROPOSED_ITEMS)]
    """[PROPOSED_ITEMS] the items, the newest first."""
    amount: Annotated[Float32, Scratch(PROPOSED_ITEMS)]
    """[PROPOSED_ITEMS] sum of the rewards of each."""
    size: Annotated[Int64, Scratch(1)]
    """[1] number of these items."""
    column: Annotated[int, Argument("column")]


@kernel
def propose(own: HistoryState, shared: Shared, user: int) -> None:
    """Add the newest items of the user's history, unless repeats are excluded."""
    size, items = copy_newest(own, shared, user), shared.items
    own.size[0] = size
    if shared.options.exclude_seen:
        return
    for p in range(size):
        if items.first_seen[index(own.item[p])] > 0:
            candidate_set.add_one(shared.candidates, items, int64(own.item[p]))


@kernel
def copy_newest(own: HistoryState, shared: Shared, user: int) -> int:
    """Copy the newest items with their rewards out of their list, start to load what is needed of them, and return
    their number."""
    history, slot, items = shared.history, shared.candidates.slot, shared.items
    cell, size = int64(shared.users.newest[user]), int64(0)
    while cell > 0 and size < PROPOSED_ITEMS:
        own.item[size] = history.item[cell]
        own.amount[size] = history.amount[cell]
        prefetch(slot, own.item[size])
        prefetch(items.first_seen, own.item[size])
        cell = int64(history.next[cell])
        size += 1
    return size


@kernel
def score(own: HistoryState, shared: Shared, user: int) -> None:
    """Fill the columns."""
    candidates, first = shared.candidates, own.column
    size, slot, base = candidates.size[0], candidates.slot, candidates.epoch[0] * PLACES
    amounts, recency, known = candidates.column[first], candidates.column[first + 1], candidates.column[first + 2]
    amounts[:size] = 0.0
    recency[:size] = 0.0
    known[:size] = 0.0
    amount, log = np.float32(0.0), np.float32(0.0)
    for p in range(own.size[0]):
        s = slot[index(own.item[p])] - base
        if 0 <= s < EXCLUDED:
            if own.amount[p] != amount:  # most amounts are equal
                amount = own.amount[p]
                log = np.float32(np.log(1.0 + amount))
            amounts[s] = log
            recency[s] = RECENCY[p]
            known[s] = 1.0


MEMBER: Final = Member(
    name="history",
    state=HistoryState,
    columns=("had often", "had lately", "had before"),
    says="whether, how often and how lately the user had the item",
    offers="the user's last 512 items; with repeats excluded it removes them instead",
    propose=propose,
    score=score,
)
