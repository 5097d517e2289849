"""Personal history: which items a user has interacted with, how often and how recently.

It proposes items again where repeats are allowed, and keeps them out where they are not. The columns of an item in
the history are log(1 + amount), 1 / sqrt(1 + place) with the newest at place 0, and 1.
"""

from typing import Final

import numpy as np

from recmodels.kernels import candidates as candidate_set
from recmodels.kernels.candidates import PERSONAL
from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.layout import Int64
from recmodels.kernels.shared import CELLS, FREE_CELL, FREE_CELLS, Candidates, History, Items, Users

PROPOSED: Final = 512
"""So many of the newest items are proposed again."""


@kernel
def exclude(history: History, users: Users, user: int, candidates: Candidates) -> None:
    """Bar every item of the user's history from the candidate set."""
    cell = users.newest[user]
    while cell > 0:
        candidate_set.bar(candidates, int64(history.item[cell]))
        cell = history.next[cell]


@kernel
def propose(history: History, users: Users, items: Items, user: int, candidates: Candidates) -> None:
    """Add the newest items of the user's history, and fill the columns."""
    cell = users.newest[user]
    place = 0
    while cell > 0 and place < PROPOSED:
        if items.first_seen[history.item[cell]] > 0:
            candidate_set.add_one(candidates, items, int64(history.item[cell]))
        cell = history.next[cell]
        place += 1


@kernel
def score(history: History, users: Users, user: int, candidates: Candidates) -> None:
    """Fill the columns."""
    size = candidates.size[0]
    amounts, recency, known = (
        candidates.column[PERSONAL],
        candidates.column[PERSONAL + 1],
        candidates.column[PERSONAL + 2],
    )
    amounts[:size] = 0.0
    recency[:size] = 0.0
    known[:size] = 0.0
    cell = users.newest[user]
    place = 0
    while cell > 0 and place < PROPOSED:
        s = candidate_set.place_of(candidates, int64(history.item[cell]))
        if s >= 0:
            amounts[s] = np.log(1.0 + history.amount[cell])
            recency[s] = 1.0 / np.sqrt(1.0 + place)
            known[s] = 1.0
        cell = history.next[cell]
        place += 1


@kernel
def learn(history: History, counters: Int64, users: Users, user: int, item: int, reward: float, longest: int) -> None:
    """Add to the count of a pair and make it the user's newest. The oldest goes where there are too many.

    A negative reward takes from the count, to 0 at most, moves nothing, and makes no item known that is not: what was
    only shown can still be recommended. One of 0 makes it known, and says nothing else.
    """
    before, cell, length = 0, users.newest[user], 0
    while cell > 0 and history.item[cell] != item:
        length += 1
        if length >= longest:
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
        cell, before = new_cell(counters, history), 0
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
def new_cell(counters: Int64, history: History) -> int:
    """Take a cell from the free list, else the first never used; 0 if there is none."""
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
def free(history: History, counters: Int64, cell: int) -> None:
    """Put a cell on the free list."""
    history.item[cell] = 0
    history.amount[cell] = 0.0
    history.next[cell] = counters[FREE_CELL]
    history.dirty[cell] = 1
    counters[FREE_CELL] = cell
    counters[FREE_CELLS] += 1


@kernel
def forget(history: History, counters: Int64, users: Users, user: int) -> None:
    """Free every cell of a user."""
    cell = users.newest[user]
    while cell > 0:
        following = history.next[cell]
        free(history, counters, cell)
        cell = following
    users.newest[user] = 0
    users.dirty[user] = 1


@kernel
def drop(history: History, counters: Int64, users: Users, gone: np.ndarray, used: int) -> None:
    """Take items out of every user's history and recent items. `gone` has a 1 for each of them."""
    for user in range(1, used):
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
                free(history, counters, cell)
            cell = following
        kept = 0
        for p in range(users.recent.shape[1]):
            item = users.recent[user, p]
            if item > 0 and gone[item] == 0:
                users.recent[user, kept] = item
                kept += 1
        if kept < users.recent.shape[1] and users.recent[user, kept] > 0:
            users.recent[user, kept:] = 0
            users.dirty[user] = 1
