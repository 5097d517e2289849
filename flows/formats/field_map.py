"""Map of fields: names or dotted paths of an event's fields in a record."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from flows.errors import UsageError

FIELDS: Final = (
    *("user", "item", "timestamp", "event", "value", "id", "session", "context", "list"),
    *("kind", "available", "features", "request"),
)
"""The fields of all kinds of event."""
REQUIRED: Final = ("user", "item", "timestamp")
"""The fields of an interaction that have no default."""


def check_fields(fields: Mapping[str, str], name: str = "--map") -> None:
    """Check a mapping from fields to paths. An empty path turns a field off.

    Args:
        fields: Field to path.
        name: How the setting is called, for the message.

    Raises:
        UsageError: A field is unknown, or a required one is turned off.
    """
    for field, path in fields.items():
        if field not in FIELDS:
            raise UsageError(
                f"{name} {field}={path}: expected one of the fields {', '.join(FIELDS)}; found {field!r}. "
                "Write the field first, then its name in the data."
            )
        if not path and field in REQUIRED:
            raise UsageError(f"{name} {field}=: expected where the field {field} stands; found nothing. Name it.")


def paths_of(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the path of each field that is read: its own name where `fields` says nothing.

    A field whose name another field takes is not read under it.

    >>> paths_of({"user": "actor.id", "event": "kind", "id": ""})["event"]
    'kind'
    >>> "id" in paths_of({"id": ""}), "kind" in paths_of({"event": "kind"})
    (False, False)
    """
    taken = set(fields.values())
    own = {field: field for field in FIELDS if field not in fields and field not in taken}
    return own | {field: path for field, path in fields.items() if path}


def picker(path: str) -> Callable[[Any], Any]:
    """Return a function that reads the value at a path of a decoded JSON object, or None if there is no value.

    A key that is written with dots comes before a path. A whole number is a place in a list.

    >>> pick = picker("user.ids.0")
    >>> pick({"user": {"ids": ["u7", "u8"]}}), pick({"user.ids.0": "u9"}), pick({"user": "u1"})
    ('u7', 'u9', None)
    """
    if "." not in path:
        return lambda record: record.get(path)
    keys = path.split(".")

    def pick(record: Any) -> Any:
        if path in record:
            return record[path]
        for key in keys:
            if isinstance(record, dict):
                record = record.get(key)
            elif isinstance(record, list) and key.isdecimal() and int(key) < len(record):
                record = record[int(key)]
            else:
                return None
        return record

    return pick
