"""Declaration of a member: its state, the names of its columns, and its functions.

Each function of a member is a kernel (`recmodels.kernels.compile.kernel`). Its first two arguments are the member's own
state and what all members share (`recmodels.kernels.shared.Shared`). It may read both, and writes its own state and its
own columns of the candidate set.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Member:
    """Declaration of a member of a fused model.

    Args:
        name: The field of `recmodels.kernels.state.State` that holds its state, and its name for people.
        state: Type of its state, a named tuple with a layout (`recmodels.kernels.layout`). It has a field `column`, the
            number of the member's first column.
        columns: Name of each of its columns of the candidate set, for people. It may refer to arguments of the model in
            the form of `str.format`.
        says: Description of its columns, in one line for the table in `docs/models.md`.
        offers: Description of its candidates, likewise.
        weights: Initial weight of each column. The default is 0.
        turn: Order of proposals: lower turns first, and within a turn the order of `MEMBERS`. The first have most room.
        needs_shares: `learn` reads the softmax of the candidates' scores, if the event's item is a candidate.
        propose: `(own, shared, user)` adds candidates to the user's set.
        score: `(own, shared, user)` fills the member's columns for all candidates.
        learn: `(own, shared, event)` learns an interaction with a positive reward (`recmodels.kernels.shared.Event`).
        count: `(own, shared, event, recent)` learns of an interaction in another shard what it says of items. `recent`
            [recent] has the recent items that it found, with gaps of 0. There is no user and no candidate set.
            Left out: other shards tell the member nothing.
        describe: `(own, shared, item, tags)` replaces the tags of an item. The item has its row and its `newness`
            already.
        begin: `(own, shared, item)` initialises the row of an item before its first interaction, or just after its
            announcement (then its `newness` is 1).
        take_back: `(own, shared, undone)` reverts `learn` for an interaction (`recmodels.kernels.shared.Undone`). Left
            out: what the member learned stays.
        show: `(own, shared, item)` learns that an item has become available.
        hide: `(own, shared, item)` learns that an item has become unavailable.
        drop_items: `(own, shared, gone)` removes other references to items. `gone` [items in use] has a 1 for each of
            them. Afterwards their rows are emptied, and they are removed from each array that `holds` items.
        drop_tags: `(own, shared, gone)` likewise for tags.
        check: `(own, shared, live)` raises AssertionError if the state is inconsistent. It is for tests, in plain
            Python. `live` has the rows in use of "users", "items" and "tags". The declarations of the layout (entries
            without gaps that refer to live rows) are checked without it.
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
    count: Callable[[Any, Any, Any, Any], None] | None = None
    describe: Callable[[Any, Any, int, Any], None] | None = None
    begin: Callable[[Any, Any, int], None] | None = None
    take_back: Callable[[Any, Any, Any], None] | None = None
    show: Callable[[Any, Any, int], None] | None = None
    hide: Callable[[Any, Any, int], None] | None = None
    drop_items: Callable[[Any, Any, Any], None] | None = None
    drop_tags: Callable[[Any, Any, Any], None] | None = None
    check: Callable[[Any, Any, Mapping[str, set[int]]], None] | None = None
