"""Lists of a fused model that belong to no user: items that go with an item, and items that many take now.

Members propose the items that go with an item, and rate them (`recmodels.fused.relations`). The shares of an item
before and after the other are added up first. Their logarithm and the other members' scores are then added up, too.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from recmodels.fused.memory import Memory
from recmodels.fused.relations import FLOOR_SHARE, HALF_LIFE, RELATIONS
from recmodels.kernels.members.content import POPULARITY_DECAY
from recmodels.kernels.shared import EVENTS


def related(memory: Memory, members: Collection[str], item: str, n: int) -> list[tuple[str, float]]:
    """Return the items that go best with an item, the best first.

    Args:
        memory: Of the model.
        members: Names of the model's members.
        item: Its id.
        n: Number of items.

    Returns:
        Items with their shares: over all items that members propose they add up to 1.
    """
    row = memory.items.row(item)
    if row == 0 or n <= 0:
        return []
    state = memory.state
    used = [(RELATIONS[name], getattr(state, name)) for name in RELATIONS if name in members]
    proposed = [relation.propose(own, state.shared, row) for relation, own in used if relation.propose is not None]
    if not proposed:
        return []
    others = _shown(memory, np.unique(np.concatenate(proposed)))
    others = others[others != row]
    if not len(others):
        return []
    near = sum(relation.share(own, state.shared, row, others) for relation, own in used if relation.share is not None)
    bits = np.log2(FLOOR_SHARE + near)
    for relation, own in used:
        if relation.score is not None:
            bits += relation.score(own, state.shared, row, others)
    shares = np.exp2(bits - bits.max())
    shares /= shares.sum()
    order = np.lexsort((state.shared.items.first_seen[others], -bits))[:n]
    return _named(memory, others[order], shares[order])


def trending(memory: Memory, members: Collection[str], n: int, tag: str) -> list[tuple[str, float]]:
    """Return the items that are most popular now, the first first, with their decayed counts of events.

    Args:
        memory: Of the model.
        members: Names of the model's members.
        n: Number of items.
        tag: Only items with this tag; empty: all items.
    """
    state = memory.state
    if tag:
        row = memory.tags.row(tag)
        if row == 0 or "content" not in members:
            return []
        rows, levels = state.content.tags.popular[row], state.content.tags.level[row]
        levels = levels[rows > 0] - float(state.shared.counters[EVENTS]) * POPULARITY_DECAY
        rows = rows[rows > 0]
    elif "popularity" in members:
        popularity = state.popularity
        rows = popularity.top[HALF_LIFE, : popularity.size[HALF_LIFE]]
        now = float(popularity.clock[0] if popularity.by_time else state.shared.counters[EVENTS])
        levels = popularity.items.level[rows, HALF_LIFE] - now * popularity.decay[HALF_LIFE]
    else:
        return []
    is_shown = np.isin(rows, _shown(memory, rows))
    rows, levels = rows[is_shown], levels[is_shown]
    order = np.lexsort((state.shared.items.first_seen[rows], -levels))[:n]
    return _named(memory, rows[order], np.exp2(levels[order]))


def tags(memory: Memory, item: str) -> list[str]:
    """Return the tags of an item, without the words of its title and its price."""
    rows = memory.state.content.items.tag[memory.items.row(item)] if memory.learns_tags else []
    names = [str(memory.tags.names[row]) for row in rows if row > 0]
    return [name for name in names if not name.startswith(("title:", "price:"))]


def _shown(memory: Memory, rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the rows of items that lists may hold."""
    items = memory.state.shared.items
    shown: NDArray[np.int32] = rows[(items.hidden[rows] == 0) & (items.first_seen[rows] > 0)]
    return shown


def _named(memory: Memory, rows: NDArray[np.int32], scores: NDArray[np.float64]) -> list[tuple[str, float]]:
    names = memory.items.names
    return [(str(names[row]), float(score)) for row, score in zip(rows.tolist(), scores.tolist(), strict=True)]
