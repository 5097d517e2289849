"""Histories: the items of each user, as a linked list of cells, the newest first.

Every model has them. They decide whether an event is a repeat. Where repeats are excluded, they exclude the user's
items from the list.
"""

from typing import Final

import numpy as np

from recmodels.kernels import candidates as candidate_set
from recmodels.kernels import ledger
from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.layout import Marks
from recmodels.kernels.shared import CELLS, FREE_CELL, FREE_CELLS, Shared

BLOCK: Final = 16
"""Number of cells that a user with at least as many items gets at once, while the table is less than half full. They
lie side by side, so a long history takes a tenth of the cache lines. A walk along a history waits for each in turn."""

SMALLEST_LEFT: Final = np.float32(1e-3)
"""Share of a reward that must be left of a count for there to be another interaction behind it."""


@kernel
def exclude(shared: Shared, user: int) -> None:
    """Exclude every item of the user's history from the candidate set."""
    cell = shared.users.newest[user]
    while cell > 0:
        candidate_set.exclude(shared.candidates, int64(shared.history.item[cell]))
        cell = shared.history.next[cell]


@kernel
def holds(shared: Shared, user: int, item: int) -> bool:
    """Say whether an item is in the user's history."""
    cell = shared.users.newest[user]
    while cell > 0:
        if shared.history.item[cell] == item:
            return True
        cell = shared.history.next[cell]
    return False


@kernel
def learn(shared: Shared, user: int, item: int, reward: float) -> None:
    """Add the reward to the pair's sum, and make the item the user's newest. Beyond `max_history` the oldest is
    removed.

    A negative reward lowers the sum of a known pair, at least to 0, and moves nothing. It does not add an item, so an
    item that was only shown can still be recommended. A reward of 0 adds the item and changes nothing else.

    Args:
        shared: The shared state.
        user, item: Rows.
        reward: The reward.
    """
    history, users = shared.history, shared.users
    before, cell, length = 0, users.newest[user], 0
    while cell > 0 and history.item[cell] != item:
        length += 1
        if length >= shared.options.max_history:
            break
        before, cell = cell, history.next[cell]
    if cell > 0 and history.item[cell] == item:
        history.amount[cell] = max(history.amount[cell] + np.float32(reward), np.float32(0.0))
        history.dirty[cell] = 1
        if before == 0 or reward <= 0.0:
            return
    elif reward < 0.0:
        return
    elif cell == 0:
        cell, before = new_cell(shared, user, length), 0
        if cell == 0:
            return
        history.amount[cell] = np.float32(reward)
    else:
        history.amount[cell] = np.float32(reward)
    if before > 0:
        history.next[before] = history.next[cell]
        history.dirty[before] = 1
    history.item[cell] = item
    if users.newest[user] != cell:
        history.next[cell] = users.newest[user]
    users.newest[user] = cell
    users.dirty[user] = 1
    history.dirty[cell] = 1


@kernel
def take_back(shared: Shared, user: int, item: int, reward: np.float32) -> None:
    """Take an interaction out of a pair's count, which the ledger has no more. The pair goes with its last one, else to
    the place that the others give it."""
    history, users = shared.history, shared.users
    before, cell = 0, users.newest[user]
    while cell > 0 and history.item[cell] != item:
        before, cell = cell, history.next[cell]
    if cell == 0:
        return
    history.amount[cell] = max(history.amount[cell] - reward, np.float32(0.0))
    history.dirty[cell] = 1
    users.dirty[user] = 1
    number = ledger.newest_number(shared.ledger, user, item)
    is_left = number > 0
    if not is_left and ledger.positive(shared.ledger, user) < users.events[user]:
        is_left = history.amount[cell] > SMALLEST_LEFT * reward
    if before == 0:
        users.newest[user] = history.next[cell]
    else:
        history.next[before] = history.next[cell]
        history.dirty[before] = 1
    if not is_left:
        free(shared, int64(cell))
        return
    before, following = 0, users.newest[user]
    while following > 0 and ledger.newest_number(shared.ledger, user, int64(history.item[following])) > number:
        before, following = following, history.next[following]
    history.next[cell] = following
    if before == 0:
        users.newest[user] = cell
    else:
        history.next[before] = cell
        history.dirty[before] = 1


@kernel
def new_cell(shared: Shared, user: int, length: int) -> int:
    """Return a spare cell of the user, else one of the free list, else the first unused one; 0 if there is none.

    Args:
        shared: The shared state.
        user: Row of the user.
        length: Number of the user's items. With `BLOCK` of them or more, the user may get spare cells.
    """
    counters, history, spare = shared.counters, shared.history, shared.users.spare
    may_reserve = BLOCK <= length <= shared.options.max_history - BLOCK
    if may_reserve and spare[user] == 0 and counters[CELLS] + BLOCK <= history.item.shape[0] // 2:
        first = counters[CELLS] + 1
        for cell in range(first, first + BLOCK):
            history.next[cell] = cell + 1 if cell + 1 < first + BLOCK else 0
            history.dirty[cell] = 1
        counters[CELLS] += BLOCK
        spare[user] = first
    cell = int64(spare[user])
    if cell > 0:
        spare[user] = history.next[cell]
        return cell
    cell = counters[FREE_CELL]
    if cell > 0:
        counters[FREE_CELL] = history.next[cell]
        counters[FREE_CELLS] -= 1
        return cell
    if counters[CELLS] + 1 >= history.item.shape[0]:
        return 0
    counters[CELLS] += 1
    return counters[CELLS]


@kernel
def free(shared: Shared, cell: int) -> None:
    """Put a cell on the free list."""
    counters, history = shared.counters, shared.history
    history.item[cell] = 0
    history.amount[cell] = 0.0
    history.next[cell] = counters[FREE_CELL]
    history.dirty[cell] = 1
    counters[FREE_CELL] = cell
    counters[FREE_CELLS] += 1


@kernel
def forget(shared: Shared, user: int) -> None:
    """Free every cell of a user."""
    users = shared.users
    for first in (users.newest[user], users.spare[user]):
        cell = first
        while cell > 0:
            following = shared.history.next[cell]
            free(shared, cell)
            cell = following
    users.newest[user] = 0
    users.spare[user] = 0
    users.dirty[user] = 1


@kernel
def drop(shared: Shared, gone: Marks, n_users: int) -> None:
    """Remove items from the histories of the first `n_users` users. `gone` [items] has a 1 for each removed item."""
    history, users = shared.history, shared.users
    for user in range(1, n_users):
        before, cell = 0, users.newest[user]
        while cell > 0:
            following = history.next[cell]
            if gone[history.item[cell]] == 0:
                before = cell
            else:
                if before == 0:
                    users.newest[user] = following
                    users.dirty[user] = 1
                else:
                    history.next[before] = following
                    history.dirty[before] = 1
                free(shared, cell)
            cell = following
