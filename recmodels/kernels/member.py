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
        says: What its columns say, in one line for the table in `docs/models.md`.
        offers: What it proposes, likewise.
        weights: The weight of each column before anything is learned; left out: 0.
        turn: Members propose by rising turn, and in one turn in the order of `MEMBERS`. The first have room for all.
        needs_shares: `learn` reads the softmax of the candidates' scores, if the event's item is a candidate.
        propose: `(own, shared, user)` adds candidates to the user's set.
        score: `(own, shared, user)` fills the member's columns for all candidates.
        learn: `(own, shared, event)` learns an interaction with a positive reward (`recmodels.kernels.shared.Event`).
        describe: `(own, shared, item, tags)` learns the tags of an item, which take the place of those it had. The
            item has its row and its `newness` already.
        begin: `(own, shared, item)` begins the row of an item that nobody has touched so far and that has just been
            announced (then its `newness` is 1) or is about to be interacted with.
        show: `(own, shared, item)` learns that an item has become available.
        hide: `(own, shared, item)` learns that an item has become unavailable.
        drop_items: `(own, shared, gone)` learns that items are given up. `gone` has a 1 for each of them, over the rows
            of items given out. Afterwards their rows are emptied, and they are taken out of each array that `holds`
            items: so it is only for what else refers to them.
        drop_tags: `(own, shared, gone)` likewise for tags.
        check: `(own, shared, live)` raises AssertionError where its state contradicts itself: for tests, and in Python.
            `live` has the rows that somebody has, of "users", "items" and "tags". What the layout says, that entries
            have no gaps and refer to live rows, is checked without it.
    """

    name: str
    state: type
    columns: tuple[str, ...]
    says: str
    offers: str = "nothing"
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
    drop_items: Callable[[Any, Any, Any], None] | None = None
    drop_tags: Callable[[Any, Any, Any], None] | None = None
    check: Callable[[Any, Any, Mapping[str, set[int]]], None] | None = None
