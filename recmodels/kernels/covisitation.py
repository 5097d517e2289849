"""Directed item-to-item co-visitation: which items followed each item, in rows of bounded length.

When a user interacts with j, each of the user's recent items h at distance p = 0, 1, 2 … adds decay^p to the pair
(h, j). A full row gives up its weakest entry. For a list, three histories of the user ask the rows: the last item
alone, the last few (halving with distance) and all recent ones (fading slowly):

    x(j) = sum over p of g^p * weight(h_p, j) / total(h_p), divided by the sum over p of g^p

for g = 0, 0.5 and 0.9. The column is 3 * sqrt(x): it lies between 0 and 3, and small shares still tell.
"""

from typing import Final

import numpy as np

from recmodels.kernels import candidates as candidate_set
from recmodels.kernels.candidates import BARRED, FOLLOWS, PLACES
from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.shared import Candidates, Items, Users
from recmodels.kernels.state import Covisitation

SOON: Final = np.float32(0.5)
LATER: Final = np.float32(0.9)
LARGEST_TOTAL: Final = np.float32(400.0)
"""Where a row is halved: it remembers what followed lately, however busy the item is, and old pairs fade."""

SMALLEST_GAIN: Final = np.float32(1e-12)
"""What is less is not worth an entry, and would not survive a division in single precision."""


@kernel
def propose(covisitation: Covisitation, users: Users, items: Items, user: int, candidates: Candidates) -> None:
    """Add the items that followed the user's recent items, and sum up how strongly."""
    sums, places, base = candidates.sums, candidates.place, candidates.stamp[0] * PLACES
    fast, slow = np.float32(1.0), np.float32(1.0)
    for p in range(users.recent.shape[1]):
        row = users.recent[user, p]
        if row == 0:
            break
        if covisitation.total[row] > 0:
            share = np.float32(1.0) / covisitation.total[row]
            fast_share, slow_share = fast * share, slow * share
            follower, weight = covisitation.item[row], covisitation.weight[row]
            candidate_set.add(candidates, items, follower, int64(covisitation.size[row]))
            for k in range(covisitation.size[row]):
                s = places[follower[k]] - base
                sums[s, 0] += fast_share * weight[k]
                sums[s, 1] += slow_share * weight[k]
        fast *= SOON
        slow *= LATER


@kernel
def score(covisitation: Covisitation, users: Users, user: int, candidates: Candidates) -> None:
    """Turn the sums into columns."""
    fast, slow = np.float32(1.0), np.float32(1.0)
    fast_sum, slow_sum = np.float32(0.0), np.float32(0.0)
    for p in range(users.recent.shape[1]):
        if users.recent[user, p] == 0:
            break
        fast_sum += fast
        slow_sum += slow
        fast *= SOON
        slow *= LATER
    fast_part, slow_part = (
        np.float32(9.0) / max(fast_sum, np.float32(1.0)),
        np.float32(9.0) / max(slow_sum, np.float32(1.0)),
    )
    size = candidates.size[0]
    last, few, many = candidates.column[FOLLOWS], candidates.column[FOLLOWS + 1], candidates.column[FOLLOWS + 2]
    last[:size] = 0.0
    for s in range(size):
        few[s] = np.sqrt(fast_part * candidates.sums[s, 0])
        many[s] = np.sqrt(slow_part * candidates.sums[s, 1])
    row = users.recent[user, 0]
    if covisitation.total[row] > 0:
        share = np.float32(9.0) / covisitation.total[row]
        places, base = candidates.place, candidates.stamp[0] * PLACES
        for k in range(covisitation.size[row]):
            s = places[covisitation.item[row, k]] - base
            if 0 <= s < BARRED:
                last[s] = np.sqrt(share * covisitation.weight[row, k])


@kernel
def learn(covisitation: Covisitation, users: Users, user: int, item: int, reward: float, decay: float) -> None:
    """Note for each of the user's recent items that `item` followed it."""
    gain = np.float32(reward)
    for p in range(users.recent.shape[1]):
        row = users.recent[user, p]
        if row == 0 or gain < SMALLEST_GAIN:
            break
        if row != item:
            add(covisitation, row, item, gain)
        gain *= np.float32(decay)


@kernel
def add(covisitation: Covisitation, row: int, item: int, gain: np.float32) -> None:
    """Add to the weight of one pair."""
    covisitation.dirty[row] = 1
    follower, weight = covisitation.item[row], covisitation.weight[row]
    size = covisitation.size[row]
    if covisitation.total[row] > LARGEST_TOTAL:
        covisitation.total[row] *= np.float32(0.5)
        for k in range(size):
            weight[k] *= np.float32(0.5)
    covisitation.total[row] += gain
    for k in range(size):
        if follower[k] == item:
            weight[k] += gain
            return
    place = size
    if size < follower.shape[0]:
        covisitation.size[row] = size + 1
    else:
        place = np.argmin(weight)
    follower[place] = item
    weight[place] = gain


@kernel
def drop(covisitation: Covisitation, gone: np.ndarray, used: int) -> None:
    """Take items out of every row. `gone` has a 1 for each of them."""
    for row in range(used):
        kept = 0
        for k in range(covisitation.size[row]):
            if gone[covisitation.item[row, k]] == 0:
                covisitation.item[row, kept] = covisitation.item[row, k]
                covisitation.weight[row, kept] = covisitation.weight[row, k]
                kept += 1
        if kept < covisitation.size[row]:
            covisitation.item[row, kept:] = 0
            covisitation.weight[row, kept:] = 0.0
            covisitation.size[row] = kept
            covisitation.dirty[row] = 1
