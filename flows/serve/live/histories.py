"""Recent events by user and by item, from the input topic."""

from collections import Counter, OrderedDict, deque
from typing import Final, NamedTuple

from flows.messages import Interaction

MAX_USERS: Final = 20_000
"""Largest number of users with a history. Beyond it the user who was idle longest is dropped."""
MAX_EVENTS: Final = 50
"""Number of newest events that are kept of a user."""
MAX_ITEMS: Final = 20_000
"""Largest number of items whose newest users are known."""
MAX_TAKERS: Final = 20
"""Number of newest users that are kept of an item."""
WINDOW: Final = 2_000
"""Number of newest events over which items are counted."""


class Past(NamedTuple):
    """One event of a user."""

    user: str
    item: str
    event: str
    time: float
    source: str


class Trend(NamedTuple):
    """An item with many recent events."""

    item: str
    events: int
    """Events of the item among the newest `WINDOW`."""
    before: int
    """Events of the item among the `WINDOW` before."""


class Histories:
    """Keeps the newest events by user and by item.

    >>> histories = Histories()
    >>> for number, item in enumerate(["tea", "jam", "tea"]):
    ...     histories.add(Interaction(f"u{number}", item, float(number)))
    >>> [past.item for past in histories.of_user("u1")], histories.most_taken(1)
    (['jam'], [Trend(item='tea', events=2, before=0)])
    >>> [past.user for past in histories.of_item("tea")]
    ['u2', 'u0']
    """

    def __init__(self) -> None:
        self._users: OrderedDict[str, deque[Past]] = OrderedDict()
        self._items: OrderedDict[str, deque[Past]] = OrderedDict()
        self._newest: deque[str] = deque()
        self._older: deque[str] = deque()
        self._counts: Counter[str] = Counter()
        self._before: Counter[str] = Counter()

    def add(self, event: Interaction) -> None:
        """Take note of an event."""
        past = Past(event.user, event.item, event.event, event.timestamp, event.source)
        _append(self._users, event.user, past, MAX_USERS, MAX_EVENTS)
        _append(self._items, event.item, past, MAX_ITEMS, MAX_TAKERS)
        self._newest.append(event.item)
        self._counts[event.item] += 1
        if len(self._newest) > WINDOW:
            _move(self._newest, self._counts, self._older, self._before)
        if len(self._older) > WINDOW:
            _move(self._older, self._before, None, None)

    def forget(self, user: str) -> None:
        """Keep nothing of a user."""
        self._users.pop(user, None)
        for takers in self._items.values():
            if any(past.user == user for past in takers):
                kept = [past for past in takers if past.user != user]
                takers.clear()
                takers.extend(kept)

    def of_user(self, user: str) -> list[Past]:
        """Return a user's events, the newest first."""
        return list(reversed(self._users.get(user, ())))

    def of_item(self, item: str) -> list[Past]:
        """Return an item's events, the newest first."""
        return list(reversed(self._items.get(item, ())))

    def has_had(self, user: str, item: str) -> bool:
        """Say whether a user had an item lately."""
        return any(past.item == item for past in self._users.get(user, ()))

    def most_taken(self, n: int) -> list[Trend]:
        """Return the items with most events among the newest `WINDOW`."""
        return [Trend(item, count, self._before[item]) for item, count in self._counts.most_common(n)]

    def rising(self, n: int) -> list[Trend]:
        """Return the items that gained most on the `WINDOW` before; of at least three events."""
        if not self._older:
            return []
        scale = len(self._newest) / len(self._older)
        gains = {item: count - scale * self._before[item] for item, count in self._counts.items() if count >= 3}
        best = sorted(gains, key=lambda item: (-gains[item], item))[:n]
        return [Trend(item, self._counts[item], self._before[item]) for item in best if gains[item] > 0]


def _append(known: OrderedDict[str, deque[Past]], key: str, past: Past, most: int, length: int) -> None:
    found = known.pop(key, None)
    if found is None:
        found = deque(maxlen=length)
    found.append(past)
    known[key] = found
    if len(known) > most:
        known.popitem(last=False)


def _move(queue: deque[str], counts: Counter[str], to: deque[str] | None, to_counts: Counter[str] | None) -> None:
    """Let the oldest item of a window go, into the window before if there is one."""
    item = queue.popleft()
    counts[item] -= 1
    if not counts[item]:
        del counts[item]
    if to is not None and to_counts is not None:
        to.append(item)
        to_counts[item] += 1
