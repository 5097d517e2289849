"""A member of a model: what it remembers, what its columns are called, and what it does with an event.

Each function of a member is a kernel (`recmodels.kernels.compile.kernel`). Its first two arguments are the member's own
state and what all members share (`recmodels.kernels.shared.Shared`). It may read both, and writes its own state and its
own columns of the candidate set.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Member:
    """What a model of kernels needs to know of a member.

    Args:
        name: The field of `recmodels.kernels.state.State` that holds its state, and its name for people.
        state: The type of its state, a named tuple whose fields say how long they are (`recmodels.kernels.layout`). It
            has a field `column`, the number of the member's first column.
        columns: The name of each of its columns of the candidate set, as people read it. Arguments of the model can
            stand in it, as of `str.format`.
        weights: The weight of each column before anything is learned; left out: 0.
        turn: Members propose in the order of their turns, and in one turn in the order of `MEMBERS`. The first ones have
            room for all their items.
        needs_shares: Whether `learn` reads the softmax of the candidates' scores, where the event's item is one.
        propose: `(own, shared, user)` adds candidates to the user's set.
        score: `(own, shared, user)` fills the member's columns for all candidates.
        learn: `(own, shared, event)` learns an interaction with a positive reward (`recmodels.kernels.shared.Event`).
        describe: `(own, shared, item, tags)` learns the tags of an item, which take the place of those it had. The
            item has its row and its `newness` already.
        begin: `(own, shared, item)` begins the row of an item that nobody has touched so far and that has just been
            announced (then its `newness` is 1) or is about to be interacted with.
        show: `(own, shared, item)` learns that an item has become available.
        hide: `(own, shared, item)` learns that an item has become unavailable.
        drop_items: `(own, shared, gone, n_tags)` takes items out of its tables before their rows are emptied. `gone`
            has a 1 for each of them, over the rows of items given out.
        drop_tags: `(own, shared, gone, n_items, n_users)` likewise takes tags out.
        check: `(own, shared, live)` raises AssertionError where its state contradicts itself: for tests, and in Python.
            `live` has the rows that somebody has, of "users", "items" and "tags". What the layout says, that entries
            have no gaps and refer to live rows, is checked without it.
    """

    name: str
    state: type
    columns: tuple[str, ...]
    weights: tuple[float, ...] = ()
    turn: int = 0
    needs_shares: bool = False
    propose: Callable[[Any, Any, int], None] | None = None
    score: Callable[[Any, Any, int], None] | None = None
    learn: Callable[[Any, Any, Any], None] | None = None
    describe: Callable[[Any, Any, int, Any], None] | None = None
    begin: Callable[[Any, Any, int], None] | None = None
    show: Callable[[Any, Any, int], None] | None = None
    hide: Callable[[Any, Any, int], None] | None = None
    drop_items: Callable[[Any, Any, Any, int], None] | None = None
    drop_tags: Callable[[Any, Any, Any, int, int], None] | None = None
    check: Callable[[Any, Any, Mapping[str, set[int]]], None] | None = None
