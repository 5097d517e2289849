"""What a message of the output topic holds."""

from typing import Any, Final

import msgspec

from flows.messages import FALLBACK_USER

__all__ = ["FALLBACK_USER", "ListedItem", "UserList", "parse_list"]


class ListedItem(msgspec.Struct, gc=False, omit_defaults=True):
    """One item of a list."""

    item: str
    score: float | None = None
    why: dict[str, Any] | None = None
    """What speaks for the item most, where the job says so."""


class UserList(msgspec.Struct, gc=False):
    """A user's list as the job wrote it; under the empty user the fallback list."""

    user: str
    items: list[ListedItem]
    event_time: float
    source: str
    """Position of the event that the list answers, `topic/partition/offset`."""
    model: str = ""
    stale_after: float | None = None
    """On the fallback list: seconds of age from which it serves better than a user's own list."""
    merge_after: float | None = None
    """On the fallback list: seconds of age from which both lists, merged, serve better than the user's own."""


_decode: Final = msgspec.json.Decoder(UserList).decode


def parse_list(value: bytes) -> UserList | None:
    """Read one message of the output topic; None if it is no list.

    >>> found = parse_list(b'{"user": "u1", "items": [{"item": "i4"}], "event_time": 7, "source": "events/0/1"}')
    >>> found.items[0].item, parse_list(b"[]")
    ('i4', None)
    """
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
