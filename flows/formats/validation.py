"""Validation of the fields of an event.

Both wire formats (JSON in `flows.formats.json_events`, CSV in `flows.formats.csv_events`) check their fields here, so
that the same event is taken or refused alike in either.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any, Final, TypeAlias

from flows.formats.reasons import Reason, RejectError
from flows.formats.times import END_OF_TIME
from flows.messages import Interaction, Raw

__all__ = ["END_OF_TIME", "Reason", "RejectError", "check_depth", "check_id", "interaction", "position"]

MAX_ID_BYTES: Final = 1_024
"""Longest id, event type or session, in bytes of UTF-8."""

SURELY_SHORT: Final = MAX_ID_BYTES // 4
"""A text of this number of characters has at most `MAX_ID_BYTES` bytes."""

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""Longest record that is looked into at all."""

MAX_DEPTH: Final = 32
"""How deep `context` and `features` may nest: pickling them for recovery must not exhaust the stack."""

Naming: TypeAlias = Callable[[Raw], str]
"""How a reject names its record: `topic/partition/offset` for Kafka, `events.csv.gz:4713` for a file."""


def position(raw: Raw) -> str:
    """Name a record `topic/partition/offset`."""
    return raw.source


def check_id(text: str, field: str) -> None:
    """Raise `RejectError` unless `text` may be an id: not empty, at most `MAX_ID_BYTES`, no NUL character.

    NUL is refused because NumPy and C drop it at a string's end, which would make two users one.
    """
    if not text:
        raise RejectError(Reason.EMPTY_ID, field)
    if len(text) > SURELY_SHORT and len(text.encode()) > MAX_ID_BYTES:
        raise RejectError(Reason.TOO_LONG, field)
    if "\0" in text:
        raise RejectError(Reason.NUL, field)


def check_depth(nested: dict[str, Any], field: str) -> None:
    """Raise `RejectError` if `nested` nests deeper than `MAX_DEPTH`."""
    level: list[Any] = [nested]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise RejectError(Reason.TOO_DEEP, field)


def interaction(
    raw: Raw,
    arrived: float,
    user: str,
    item: str,
    timestamp: float,
    event: str | None,
    value: float | None,
    id: str | None,
    session: str | None,
    context: dict[str, Any] | None,
    source_list: object = None,
) -> Interaction:
    """Build an interaction of checked fields, or raise `RejectError`. None or empty text: not given.

    `timestamp` is in Unix seconds. A `source_list` that is no text, or too long, counts as not given.
    """
    # The conditions before the calls only spare the calls: this runs for every event.
    if not 0 < len(user) <= SURELY_SHORT or "\0" in user:
        check_id(user, "user")
    if not 0 < len(item) <= SURELY_SHORT or "\0" in item:
        check_id(item, "item")
    if not 0.0 <= timestamp < END_OF_TIME:
        raise RejectError(Reason.TIME_OUT_OF_RANGE if isfinite(timestamp) else Reason.NOT_FINITE, "timestamp")
    if event and (len(event) > SURELY_SHORT or "\0" in event):
        check_id(event, "event")
    has_value = value is not None
    if value is None:
        value = 1.0
    elif not isfinite(value):
        raise RejectError(Reason.NOT_FINITE, "value")
    if id:
        check_id(id, "id")
    if session:
        check_id(session, "session")
    if context is not None:
        check_depth(context, "context")
    return Interaction(
        user,
        item,
        timestamp,
        event or "interaction",
        value,
        id or None,
        session or None,
        context,
        raw.at,
        arrived,
        has_value,
        False,
        source_list if isinstance(source_list, str) and 0 < len(source_list) <= SURELY_SHORT else None,
    )
