"""Content: what tags say of an item, so that it can be recommended before anybody has touched it.

An item event gives an item its tags (see `recmodels.fused.tags`); from then on it is a candidate. A user's interest
in tags
is the decayed sum of the tags of what the user had. For a user with interest w(t) and an item with tags T the columns
are

    interest = sum over t in T of w(t) * rarity(t), divided by |w * rarity| * sqrt(|T|)
    lift     = mean over t in T of log2(interactions for each carrier of t / for each item with any tag), lately
    newness  = 1 / (1 + interactions) of an item that was announced before the first
    and newness * interest

where rarity(t) = log2(1 + items with any tag / carriers(t)): what everything has tells little.

It proposes the items announced last, and of the user's strongest tags the new items and those popular lately. As long
as no item has tags it does nothing, and its columns are silent.
"""

from typing import Final

import numpy as np

from recmodels.kernels import candidates as candidate_set
from recmodels.kernels.candidates import COLUMNS, CONTENT
from recmodels.kernels.compile import kernel
from recmodels.kernels.state import ANNOUNCED, TAG_ROWS, TAGGED, Candidates, Content, Int32, Int64, Items

ITEM_TAGS: Final = 8
"""Most tags of an item."""
USER_TAGS: Final = 16
"""Most tags of a user's interest."""
NEWEST: Final = 64
"""So many of the items announced last are proposed to everybody, …"""
TAG_NEWEST: Final = 16
"""… so many to whom a tag interests, …"""
TAG_POPULAR: Final = 32
"""… with so many that were popular lately."""
STRONGEST: Final = 4
"""So many of a user's tags propose items."""
FADE: Final = np.float32(0.95)
"""What is left of an interest after another event of the user."""
SMALLEST: Final = np.float32(1e-6)
"""An interest below this is none."""
DECAY: Final = 1.0 / 3_000.0
"""Of popularity within a tag: 1 / half-life in events."""
LARGEST_LIFT: Final = 8.0


@kernel
def is_silent(counters: Int64) -> bool:
    """Say whether no item has had tags so far."""
    return counters[TAG_ROWS] <= 1


@kernel
def propose(content: Content, items: Items, counters: Int64, user: int, candidates: Candidates) -> None:
    """Add the newest items, and new and popular ones of the user's strongest tags."""
    if is_silent(counters):
        return
    candidate_set.add(candidates, items, content.newest, filled(content.newest))
    tags, weights = content.users.tag[user], content.users.weight[user]
    count = filled(tags)
    bound, last = np.float32(np.inf), -1
    for _ in range(min(STRONGEST, count)):
        # The strongest below the one before; of equals the first.
        best = -1
        for k in range(count):
            follows = weights[k] < bound or (weights[k] == bound and k > last)
            if follows and (best < 0 or weights[k] > weights[best]):
                best = k
        bound, last = weights[best], best
        newest, popular = content.tags.newest[tags[best]], content.tags.popular[tags[best]]
        candidate_set.add(candidates, items, newest, filled(newest))
        candidate_set.add(candidates, items, popular, filled(popular))


@kernel
def score(content: Content, items: Items, counters: Int64, user: int, candidates: Candidates) -> None:
    """Fill the columns, or silence them."""
    silent = is_silent(counters)
    candidates.silent[CONTENT:COLUMNS] = silent
    if silent:
        return
    wish, interests = content.wish, content.users
    count = filled(interests.tag[user])
    squares = np.float32(0.0)
    for k in range(count):
        tag = interests.tag[user, k]
        rarity = np.log2(1.0 + counters[TAGGED] / max(content.tags.carriers[tag], 1))
        wish[tag] = interests.weight[user, k] * np.float32(rarity)
        squares += wish[tag] * wish[tag]
    part = np.float32(1.0) / np.sqrt(squares) if squares > 0 else np.float32(0.0)
    interest, lift = candidates.column[CONTENT], candidates.column[CONTENT + 1]
    newness, wanted_new = candidates.column[CONTENT + 2], candidates.column[CONTENT + 3]
    for s in range(candidates.size[0]):
        item = candidates.item[s]
        tags = content.items.tag[item]
        wished, worth, size = np.float32(0.0), 0.0, 0
        while size < tags.shape[0] and tags[size] > 0:
            wished += wish[tags[size]]
            worth += content.tags.worth[tags[size]] - content.worth[0]
            size += 1
        interest[s] = wished * part / np.sqrt(np.float32(max(size, 1)))
        lift[s] = min(max(worth / max(size, 1), -LARGEST_LIFT), LARGEST_LIFT)
        newness[s] = items.newness[item]
        wanted_new[s] = newness[s] * interest[s]
    for k in range(count):
        wish[interests.tag[user, k]] = 0.0


@kernel
def learn(content: Content, items: Items, counters: Int64, user: int, item: int, reward: float, now: int) -> None:
    """Add an item's tags to the user's interest, and the interaction to the popularity of the tags."""
    items.newness[item] /= np.float32(1.0) + items.newness[item]
    count = filled(content.items.tag[item])
    if count == 0:
        return
    added = np.log2(reward) + now * DECAY
    content.worth[0] = sum_of_levels(content.worth[0], added - np.log2(counters[TAGGED]))
    fade(content, user)
    gain = np.float32(reward) / np.sqrt(np.float32(count))
    for k in range(count):
        tag = content.items.tag[item, k]
        want(content, user, tag, gain)
        tags = content.tags
        tags.dirty[tag] = 1
        tags.last_used[tag] = now + counters[ANNOUNCED]
        tags.worth[tag] = sum_of_levels(tags.worth[tag], added - np.log2(tags.carriers[tag]))
        count_popular(content, tag, item, added)


@kernel
def sum_of_levels(a: float, b: float) -> float:
    """Return log2(2^a + 2^b)."""
    higher, lower = max(a, b), min(a, b)
    return higher + np.log2(1.0 + 2.0 ** (lower - higher))


@kernel
def fade(content: Content, user: int) -> None:
    """Let all interests of a user fade, and drop those that are none any more."""
    content.users.dirty[user] = 1
    tags, weights = content.users.tag[user], content.users.weight[user]
    kept = 0
    for k in range(filled(tags)):
        weight = weights[k] * FADE
        if weight >= SMALLEST:
            tags[kept], weights[kept] = tags[k], weight
            kept += 1
    tags[kept:] = 0
    weights[kept:] = 0.0


@kernel
def want(content: Content, user: int, tag: int, gain: np.float32) -> None:
    """Add to a user's interest in a tag; a full row gives up its weakest."""
    tags, weights = content.users.tag[user], content.users.weight[user]
    count = filled(tags)
    for k in range(count):
        if tags[k] == tag:
            weights[k] += gain
            return
    place = count if count < tags.shape[0] else np.argmin(weights)
    tags[place], weights[place] = tag, gain


@kernel
def count_popular(content: Content, tag: int, item: int, added: float) -> None:
    """Count an interaction with an item among the popular of its tag."""
    popular, level = content.tags.popular[tag], content.tags.level[tag]
    count = filled(popular)
    for k in range(count):
        if popular[k] == item:
            level[k] = sum_of_levels(level[k], added)
            return
    place = count if count < popular.shape[0] else np.argmin(level)
    if place == count or added >= level[place]:
        popular[place], level[place] = item, added


@kernel
def filled(row: Int32) -> int:
    """Return how many places of a row hold something. It has no gap."""
    count = 0
    while count < row.shape[0] and row[count] > 0:
        count += 1
    return count


@kernel
def holds(row: Int32, wanted: int) -> bool:
    """Say whether a row holds something."""
    found = False
    for k in range(row.shape[0]):
        found |= row[k] == wanted
    return found
