"""Personal history as a member: the user's own items, by count and recency.

It proposes items again where repeats are allowed. Where they are not, `recmodels.kernels.history` excludes them for
every model. An item in the history has three columns: log(1 + amount), 1 / sqrt(1 + rank), and 1. The newest item has
rank 0.
"""

from typing import Annotated, Final, NamedTuple

import numpy as np

from recmodels.kernels import candidates as candidate_set
from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.layout import Argument
from recmodels.kernels.member import Member
from recmodels.kernels.shared import Shared

PROPOSED_ITEMS: Final = 512
"""Number of the newest items that are proposed again."""


class HistoryState(NamedTuple):
    """The member has no state of its own, as histories are shared."""

    column: Annotated[int, Argument("column")]


@kernel
def propose(own: HistoryState, shared: Shared, user: int) -> None:
    """Add the newest items of the user's history."""
    if shared.options.exclude_seen:
        return
    history, items = shared.history, shared.items
    cell = shared.users.newest[user]
    place = 0
    while cell > 0 and place < PROPOSED_ITEMS:
        if items.first_seen[history.item[cell]] > 0:
            candidate_set.add_one(shared.candidates, items, int64(history.item[cell]))
        cell = history.next[cell]
        place += 1


@kernel
def score(own: HistoryState, shared: Shared, user: int) -> None:
    """Fill the columns."""
    candidates, history, first = shared.candidates, shared.history, own.column
    size = candidates.size[0]
    amounts, recency, known = candidates.column[first], candidates.column[first + 1], candidates.column[first + 2]
    amounts[:size] = 0.0
    recency[:size] = 0.0
    known[:size] = 0.0
    cell = shared.users.newest[user]
    place = 0
    while cell > 0 and place < PROPOSED_ITEMS:
        s = candidate_set.slot_of(candidates, int64(history.item[cell]))
        if s >= 0:
            amounts[s] = np.log(1.0 + history.amount[cell])
            recency[s] = 1.0 / np.sqrt(1.0 + place)
            known[s] = 1.0
        cell = history.next[cell]
        place += 1


MEMBER: Final = Member(
    name="history",
    state=HistoryState,
    columns=("had often", "had lately", "had before"),
    says="whether, how often and how lately the user had the item",
    offers="the user's last 512 items; with repeats excluded it removes them instead",
    propose=propose,
    score=score,
)
