"""Keeps the lists of a topic of items: related items by item, or trending items by tag."""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from flows.kafka.errors import Config
from flows.kafka.follower import Bounds, Follower
from flows.serve.lists import ListedItem

logger = logging.getLogger(__name__)

MAX_LISTS: Final = 500_000
"""Most lists that are kept. The one that changed longest ago is forgotten."""


class _Message(msgspec.Struct, gc=False):
    items: list[ListedItem]


_decode: Final = msgspec.json.Decoder(_Message).decode


class ItemLists:
    """Follows a topic of items into memory. A restart reads the whole topic, which is compacted.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
        topic: The topic.

    Attributes:
        unreadable: Messages that are no lists.
    """

    def __init__(self, config: Config, topic: str) -> None:
        self.unreadable = 0
        self._lists: OrderedDict[str, bytes] = OrderedDict()
        self._identity = ""
        self.follower = Follower(config, topic, self._start, self._take)

    def __len__(self) -> int:
        return len(self._lists)

    def find(self, key: str) -> list[ListedItem]:
        """Return the items of a list, the best first. Empty where there is none."""
        value = self._lists.get(key)
        return [] if value is None else _decode(value).items

    def _start(self, identity: str, bounds: Mapping[int, Bounds]) -> Mapping[int, int]:
        """Go on where the reader stands; begin anew where the topic is another, or was cut off before that."""
        known = self.follower.positions
        if identity != self._identity or not all(
            number in bounds and bounds[number].low <= position <= bounds[number].high
            for number, position in known.items()
        ):
            self._lists.clear()
            known = {}
        self._identity = identity
        return {number: known.get(number, each.low) for number, each in bounds.items()}

    def _take(self, messages: Sequence[Any]) -> None:
        for message in messages:
            key, value = message.key(), message.value()
            try:
                name = "" if key is None else key.decode()
                if value is not None:
                    _decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.unreadable += 1
                continue
            self._lists.pop(name, None)
            if value is not None:
                self._lists[name] = value
                if len(self._lists) > MAX_LISTS:
                    self._lists.popitem(last=False)
