"""Catalogue: titles, tags and availability of items from item events."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from flows.messages import ItemEvent

MAX_ITEMS: Final = 200_000
"""Largest number of items with title and tags. Beyond it the one with the oldest event is dropped."""
MAX_TITLE: Final = 300
"""Largest length of a title in characters. A longer one is cut."""
MAX_TAGS: Final = 20
"""Largest number of tags of an item."""


class Catalogue:
    """Titles and tags of items.

    >>> catalogue = Catalogue()
    >>> catalogue.learn(ItemEvent("i9", 0.0, None, {"title": "Green tea", "tags": ["tea"]}))
    >>> catalogue.title("i9"), catalogue.title("i8"), catalogue.accepts(["tea"])("i9")
    ('Green tea', None, True)
    """

    def __init__(self) -> None:
        self._items: OrderedDict[str, tuple[str | None, frozenset[str]]] = OrderedDict()
        self._hidden: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def learn(self, event: ItemEvent) -> None:
        """Note an item event."""
        if event.available is not None:
            self._hidden.pop(event.item, None)
            if not event.available:
                self._hidden[event.item] = None
            if len(self._hidden) > MAX_ITEMS:
                self._hidden.popitem(last=False)
        if event.features is None:
            return
        title, tags = event.features.get("title"), event.features.get("tags")
        known_title, known_tags = self._items.pop(event.item, (None, frozenset[str]()))
        if isinstance(title, str):
            known_title = title[:MAX_TITLE]
        if isinstance(tags, str):
            tags = [tags]
        if isinstance(tags, list):
            known_tags = frozenset(tag for tag in tags[:MAX_TAGS] if isinstance(tag, str))
        self._items[event.item] = (known_title, known_tags)
        if len(self._items) > MAX_ITEMS:
            self._items.popitem(last=False)

    def title(self, item: str) -> str | None:
        """Return an item's title, if it has one."""
        found = self._items.get(item)
        return None if found is None else found[0]

    def tags(self, item: str) -> list[str]:
        """Return an item's tags in alphabetical order."""
        found = self._items.get(item)
        return [] if found is None else sorted(found[1])

    def is_available(self, item: str) -> bool:
        """Say whether an item may be shown: unless an item event said otherwise."""
        return item not in self._hidden

    def accepts(self, tags: Sequence[str]) -> Callable[[str], bool]:
        """Return a function that says whether an item has one of these tags."""
        wanted = frozenset(tags)

        def has_one(item: str) -> bool:
            found = self._items.get(item)
            return found is not None and not wanted.isdisjoint(found[1])

        return has_one
