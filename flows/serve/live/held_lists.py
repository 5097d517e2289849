"""Lists of active users just before an event, to count hits."""

from collections import OrderedDict
from typing import Final

from flows.serve.lists import UserList

MAX_USERS: Final = 20_000
"""Largest number of users whose lists are known. Beyond it the oldest list is dropped."""


class HeldLists:
    """Keeps the two newest lists of each user, since an event and its list may arrive in either order.

    >>> held = HeldLists()
    >>> held.note("u1", UserList("u1", [], 1.0, "events/0/5"))
    >>> held.note("u1", UserList("u1", [], 2.0, "events/0/9"))
    >>> held.before("u1", "events/0/9").source, held.before("u1", "events/0/5"), held.is_known("u2")
    ('events/0/5', None, False)
    """

    def __init__(self) -> None:
        self._lists: OrderedDict[str, tuple[UserList | None, UserList | None]] = OrderedDict()

    def note(self, user: str, found: UserList | None) -> None:
        """Note a list from the topic. None: it was withdrawn."""
        _, newest = self._lists.pop(user, (None, None))
        self._lists[user] = (newest, found)
        if len(self._lists) > MAX_USERS:
            self._lists.popitem(last=False)

    def is_known(self, user: str) -> bool:
        """Say whether a list of the user is known."""
        return user in self._lists

    def before(self, user: str, source: str) -> UserList | None:
        """Return the newest list of a user that answers an event before the one at `source`."""
        for found in reversed(self._lists.get(user, (None, None))):
            if found is not None and is_before(found.source, source):
                return found
        return None


def is_before(first: str, second: str) -> bool:
    """Say whether a position comes before another; those of different partitions are not compared: yes.

    >>> is_before("events/0/9", "events/0/10"), is_before("events/0/10", "events/0/10")
    (True, False)
    """
    one, _, offset = first.rpartition("/")
    other, _, limit = second.rpartition("/")
    return one != other or not offset.isdigit() or not limit.isdigit() or int(offset) < int(limit)
