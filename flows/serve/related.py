"""Which items go with an item: what users took before and after it.

Each event links its item with the user's last items, in both directions, by less the further apart they are. The links
are functions of the input topic alone: no model takes part, so a server computes them from what it reads.
"""

from collections import OrderedDict, deque
from heapq import nsmallest
from typing import Final, NamedTuple

MAX_ITEMS: Final = 50_000
"""Most items with links; the one that was taken longest ago is forgotten."""
MAX_LINKS: Final = 100
"""Most links of an item; the weakest go when there are twice as many."""
MAX_USERS: Final = 50_000
"""Most users whose last items are known; the one who has been away longest is forgotten."""
DEPTH: Final = 3
"""Last items of a user that an event is linked with."""
BACKWARD: Final = 0.5
"""Weight of the link to an earlier item, against 1 for the link to a later one."""


class Related(NamedTuple):
    """An item that goes with another."""

    item: str
    score: float


class RelatedItems:
    """Links items by the order in which users take them.

    >>> related = RelatedItems()
    >>> for user in ("ann", "bob", "cid"):
    ...     related.add(user, "tea")
    ...     related.add(user, "cup")
    >>> related.add("ann", "jam")
    >>> [each.item for each in related.of("tea", 2)], [each.item for each in related.of("cup", 1)]
    (['cup', 'jam'], ['tea'])
    """

    def __init__(self) -> None:
        self._items: OrderedDict[str, dict[str, float]] = OrderedDict()
        self._last: OrderedDict[str, deque[str]] = OrderedDict()

    def add(self, user: str, item: str) -> None:
        """Take note that a user took an item."""
        own = self._touch(item)
        last = self._last.pop(user, None)
        if last is None:
            last = deque(maxlen=DEPTH)
        for distance, before in enumerate(reversed(last), start=1):
            if before != item:
                _link(self._touch(before), item, 1.0 / distance)
                _link(own, before, BACKWARD / distance)
        if item in last:
            last.remove(item)
        last.append(item)
        self._last[user] = last
        if len(self._last) > MAX_USERS:
            self._last.popitem(last=False)

    def forget(self, user: str) -> None:
        """Keep nothing of a user. What the user took stays in the sums over all users."""
        self._last.pop(user, None)

    def of(self, item: str, n: int) -> list[Related]:
        """Return the items that go best with an item, the best first.

        Args:
            item: The item.
            n: Most items.
        """
        found = self._items.get(item)
        if found is None:
            return []
        best = nsmallest(n, found.items(), key=lambda link: (-link[1], link[0]))
        return [Related(other, round(weight, 6)) for other, weight in best]

    def _touch(self, item: str) -> dict[str, float]:
        found = self._items.pop(item, {})
        self._items[item] = found
        if len(self._items) > MAX_ITEMS:
            self._items.popitem(last=False)
        return found


def _link(links: dict[str, float], item: str, weight: float) -> None:
    links[item] = links.get(item, 0.0) + weight
    if len(links) > 2 * MAX_LINKS:
        for weakest in sorted(links, key=lambda other: (links[other], other))[:MAX_LINKS]:
            if weakest != item:  # a new link must have its chance
                del links[weakest]
