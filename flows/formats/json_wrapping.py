"""An array of records in an object: what an API gives for a page of results."""

import re
from typing import Final, NamedTuple

DEEPEST: Final = 3
"""Objects that may stand around the array."""
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]]', re.DOTALL)
_FIRST: Final = re.compile(rb"\s*\{")


class Wrapped(NamedTuple):
    """Where an array of objects begins."""

    skip: int
    """Bytes before the first object, the bracket of the array included."""
    path: str
    """The fields that lead to it."""


def wrapped_array(head: bytes) -> Wrapped | None:
    """Find the first array of objects that stands in an object; None if there is none.

    Args:
        head: The first bytes of a file, which may end anywhere.

    >>> wrapped_array(b'{"next": null, "data": {"events": [{"user": 1}, {"us')
    Wrapped(skip=35, path='data.events')
    >>> wrapped_array(b'{"user": 1, "tags": ["a"]}') is None
    True
    """
    names: list[bytes] = []
    last, lists = b"", 0
    for token in _TOKEN.finditer(head):
        found = token[0]
        if found == b"{":
            names.append(last)
        elif found == b"}":
            if not names or (len(names) == 1 and not lists):
                return None
            names.pop()
        elif found == b"[":
            if not names:
                return None
            if not lists and len(names) <= DEEPEST and _FIRST.match(head, token.end()):
                path = b".".join(name[1:-1] for name in [*names[1:], last])
                return Wrapped(token.end(), path.decode(errors="replace"))
            lists += 1
        elif found == b"]":
            lists -= 1
        else:
            last = found
    return None
