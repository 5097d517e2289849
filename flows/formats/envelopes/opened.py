"""Opened envelope: its content and its attributes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from flows.messages import Raw

DELETED: Final = "delete"
"""Why the deletion of a row of a table is passed over, unless it is the row of an item."""


@dataclass
class Opened:
    """The record in an envelope."""

    record: Any
    """The decoded JSON of the event."""
    said: dict[str, Any] = field(default_factory=dict)
    """Fields of the event that the envelope says. They count where the record has no such field."""
    is_deleted: bool = False
    """The record is a row of a table that was deleted."""


Envelope: TypeAlias = Callable[[Any, Raw], Opened]
"""Opens the decoded JSON of a record; the record itself has its headers. Raises `RejectError`."""


def iso_of(milliseconds: float) -> str:
    """Return Unix milliseconds as ISO 8601, which is read alike whatever unit numbers have.

    >>> iso_of(1382021321500)
    '2013-10-17T14:48:41.500000+00:00'
    """
    return datetime.fromtimestamp(milliseconds / 1000.0, UTC).isoformat(timespec="microseconds")
