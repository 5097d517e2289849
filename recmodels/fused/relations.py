"""Relations: what each member knows of the items that go with an item, for lists of related items.

They read the tables of the kernels, and write nothing. They run in Python, once for each list, so they are no part of
the compiled code.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recmodels.kernels.members.content import ContentState
from recmodels.kernels.members.covisitation import CovisitationState, Followers
from recmodels.kernels.members.factorization import FactorizationState
from recmodels.kernels.members.popularity import FLOOR, PopularityState
from recmodels.kernels.members.predecessors import PredecessorsState
from recmodels.kernels.shared import TAGGED, Shared

Rows: TypeAlias = NDArray[np.int32]
"""Rows of items [n]."""
Bits: TypeAlias = NDArray[np.float64]
"""How well each of some items goes with an item [n], as a logarithm to base 2."""
Shares: TypeAlias = NDArray[np.float64]
"""Shares of some items [n], from 0 to 1."""

HALF_LIFE: Final = 2
"""Number of the half-life, of the five from 0, that counts what is popular now in lists that belong to no user."""
FLOOR_SHARE: Final = 1e-4
"""Share of an item that no member of co-visitation knows: about that of one event among 10,000."""
POPULARITY: Final = 0.1
"""Weight of popularity. Chosen on events 20,000 to 40,000 of six logs."""
TAGS: Final = 2.0
"""Weight of the tags."""


class Relation(NamedTuple):
    """What a member knows of related items. Its functions take `(own, shared, item, others)`; `others` are sorted."""

    share: Callable[[Any, Shared, int, Rows], Shares] | None = None
    """Returns the share of each of `others` in the events around an item. The shares of the members are added up."""
    score: Callable[[Any, Shared, int, Rows], Bits] | None = None
    """Returns how well each of `others` goes with an item. It is added to the logarithm of the shares."""
    propose: Callable[[Any, Shared, int], Rows] | None = None
    """`(own, shared, item)` returns items that go with an item. None: the member only rates those of others."""


def propose_followers(own: CovisitationState, shared: Shared, item: int) -> Rows:
    """Return the items that followed an item."""
    return own.items.item[item, : own.items.size[item]]


def share_of_followers(own: CovisitationState, shared: Shared, item: int, others: Rows) -> Shares:
    """Return the share with which each of `others` followed."""
    return shares_in_row(own.items, item, others)


def propose_predecessors(own: PredecessorsState, shared: Shared, item: int) -> Rows:
    """Return the items that came before an item."""
    return own.rows.item[item, : own.rows.size[item]]


def share_of_predecessors(own: PredecessorsState, shared: Shared, item: int, others: Rows) -> Shares:
    """Return the share with which each of `others` came before."""
    return shares_in_row(own.rows, item, others)


def shares_in_row(table: Followers, row: int, others: Rows) -> Shares:
    """Return the share of each of `others`, which are sorted, in a row of a table of co-visitation."""
    shares = np.zeros(len(others))
    if len(others) and table.total[row] > 0:
        size = int(table.size[row])
        places = np.searchsorted(others, table.item[row, :size]).clip(max=len(others) - 1)
        is_there = others[places] == table.item[row, :size]
        shares[places[is_there]] = table.weight[row, :size][is_there] / float(table.total[row])
    return shares


def score_factors(own: FactorizationState, shared: Shared, item: int, others: Rows) -> Bits:
    """Return the column of each of `others` for a user who has had the item alone."""
    column = own.items.out[others] @ own.items.history[item] + own.items.bias[others]
    return np.asarray(column, np.float64)


def propose_tagged(own: ContentState, shared: Shared, item: int) -> Rows:
    """Return the items announced last, and those popular lately, with one of the item's tags."""
    tags = own.items.tag[item]
    tags = tags[tags > 0]
    found = np.concatenate([own.tags.newest[tags].ravel(), own.tags.popular[tags].ravel()])
    return found[found > 0]


def score_tags(own: ContentState, shared: Shared, item: int, others: Rows) -> Bits:
    """Return the cosine of the tags of the item and of each of `others`, weighted by rarity."""
    tags = own.items.tag[item]
    tags = tags[tags > 0]
    if not len(tags) or not len(others):
        return np.zeros(len(others))

    def squares(rows: Rows) -> Bits:
        rarity = np.log2(1.0 + float(shared.counters[TAGGED]) / np.maximum(own.tags.carriers[rows], 1))
        return np.where(rows > 0, rarity**2, 0.0)

    theirs = own.items.tag[others]
    common = np.where(np.isin(theirs, tags), squares(theirs), 0.0).sum(axis=1)
    lengths = np.sqrt(squares(theirs).sum(axis=1) * squares(tags).sum())
    return np.asarray(TAGS * common / np.maximum(lengths, 1e-9), np.float64)


def score_popularity(own: PopularityState, shared: Shared, item: int, others: Rows) -> Bits:
    """Return how popular each of `others` is beside the first of them."""
    if not len(others):
        return np.zeros(0)
    level = own.items.level[others, HALF_LIFE]
    return np.asarray(POPULARITY * np.maximum(level - level.max(), float(FLOOR)), np.float64)


RELATIONS: Final[Mapping[str, Relation]] = {
    "popularity": Relation(score=score_popularity),
    "covisitation": Relation(share=share_of_followers, propose=propose_followers),
    "factorization": Relation(score=score_factors),
    "content": Relation(score=score_tags, propose=propose_tagged),
    "predecessors": Relation(share=share_of_predecessors, propose=propose_predecessors),
}
"""By the name of the member. A member that is not named says nothing."""
