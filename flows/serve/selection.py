"""Selection of a user's list: the user's own, the fallback list, or both merged."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Literal, TypeAlias

import msgspec

from flows.serve.lists import ListedItem, UserList

Kind: TypeAlias = Literal["own", "fallback", "merged", "none"]


class Selection(msgspec.Struct, gc=False, omit_defaults=True):
    """The answer to a look-up."""

    user: str
    kind: Kind
    """`own`: the user's list. `fallback`: the list for everybody. `merged`: both, alternating. `none`: there is no
    list yet."""
    items: list[ListedItem]
    source: str = ""
    """Position of the event that the list answers. Send it back as `list` with impressions and clicks."""
    model: str = ""
    event_time: float | None = None
    """Time of the event that the list answers, in Unix seconds."""
    age: float | None = None
    """Seconds between the list's event and the newest event that any list answers."""
    fresh: bool | None = None
    """With `fresh=true`: whether this list was made for this request."""
    fresh_fault: str | None = None
    """With `fresh=true`: why the list is not fresh."""


def select_list(
    user: str,
    own: UserList | None,
    fallback: UserList | None,
    newest: float,
    n: int | None = None,
    exclude: Collection[str] = (),
    accepts: Callable[[str], bool] | None = None,
) -> Selection:
    """Choose the items for a user.

    A user's list ages while others go on. The job learns from which age on the fallback list serves better
    (`stale_after`), and from which age on both lists merged serve better (`merge_after`).

    Args:
        user: The user's id.
        own: The user's list, if there is one.
        fallback: The list for everybody, if there is one.
        newest: Time of the newest event that any list answers, in Unix seconds.
        n: Most items to return. None: all.
        exclude: Items to leave out.
        accepts: Whether an item may be shown. None: all may.

    >>> own = UserList("u1", [ListedItem("a"), ListedItem("b")], 100.0, "events/0/7")
    >>> everybody = UserList("", [ListedItem("x"), ListedItem("a")], 900.0, "events/0/9", "", 600.0, 300.0)
    >>> for newest in (150.0, 500.0, 900.0):
    ...     found = select_list("u1", own, everybody, newest)
    ...     print(found.kind, [each.item for each in found.items], found.age)
    own ['a', 'b'] 50.0
    merged ['a', 'x'] 400.0
    fallback ['x', 'a'] 0.0
    """
    kind, chosen = _choose(own, fallback, newest)
    if chosen is None:
        return Selection(user, "none", [])
    items = chosen.items
    if kind == "merged" and own is not None and fallback is not None:
        items = list(_alternate(own.items, fallback.items))
    if exclude:
        items = [each for each in items if each.item not in exclude]
    if accepts is not None:
        items = [each for each in items if accepts(each.item)]
    age = max(0.0, newest - chosen.event_time)
    return Selection(
        user,
        kind,
        items if n is None else list(islice(items, n)),
        chosen.source,
        chosen.model,
        chosen.event_time,
        age,
    )


def _choose(own: UserList | None, fallback: UserList | None, newest: float) -> tuple[Kind, UserList | None]:
    if own is None:
        return ("none", None) if fallback is None else ("fallback", fallback)
    if fallback is None:
        return "own", own
    age = newest - own.event_time
    if fallback.stale_after is not None and age >= fallback.stale_after:
        return "fallback", fallback
    if fallback.merge_after is not None and age >= fallback.merge_after:
        return "merged", own
    return "own", own


def _alternate(first: Sequence[ListedItem], second: Sequence[ListedItem]) -> Iterator[ListedItem]:
    """Take from both in turn, each item once, up to the longer list's length."""
    seen: set[str] = set()
    left = max(len(first), len(second))
    for each in (item for pair in zip_longest(first, second) for item in pair):
        if each is not None and each.item not in seen and left:
            seen.add(each.item)
            left -= 1
            yield each
