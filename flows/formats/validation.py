"""What each field of an event must be, and the fixed phrases that say which rule a record breaks.

Both wire formats (JSON in `flows.formats.json_events`, CSV in `flows.formats.csv_events`) check their fields here, so
that the same event is taken or refused alike in either.
"""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Any, Final, TypeAlias

from flows.messages import Interaction, Raw

MAX_ID_BYTES: Final = 1_024
"""Longest id, event type or session, in bytes of UTF-8."""

SURELY_SHORT: Final = MAX_ID_BYTES // 4
"""So many characters are at most `MAX_ID_BYTES`."""

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""Longest record that is looked into at all."""

MAX_DEPTH: Final = 32
"""How deep `context` and `features` may nest: pickling them for recovery must not exhaust the stack."""

END_OF_TIME: Final = 4_133_980_800.0
"""2101-01-01T00:00Z in Unix seconds. A timestamp in milliseconds lies beyond it."""

Naming: TypeAlias = Callable[[Raw], str]
"""How a reject names its record: `topic/partition/offset` for Kafka, `events.csv.gz:4713` for a file."""


class Reason(StrEnum):
    """Why a record was rejected."""

    EMPTY_RECORD = "empty record"
    RECORD_TOO_LONG = "record too long"
    NOT_UTF8 = "not UTF-8"
    NOT_JSON = "not JSON"
    NOT_AN_OBJECT = "not an object"
    TOO_DEEP = "nested too deep"
    MALFORMED_ROW = "malformed row"
    UNKNOWN_KIND = "unknown kind"
    MISSING_FIELD = "missing field"
    WRONG_TYPE = "wrong type"
    EMPTY_ID = "empty id"
    TOO_LONG = "too long"
    NUL = "NUL character"
    NOT_FINITE = "not finite"
    NOT_A_TIME = "not a time"
    TIME_OUT_OF_RANGE = "timestamp out of range"


class RejectError(Exception):
    """A rule was broken: `reason`, and the `field` at fault or an empty string."""

    def __init__(self, reason: Reason, field: str = "") -> None:
        super().__init__(reason, field)
        self.reason = reason
        self.field = field


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


def seconds(timestamp: float | str) -> float:
    """Unix seconds of a number, or of ISO 8601 text with an offset; from 1970 to the end of the year 2100.

    >>> seconds("2013-10-17T16:48:41.5+02:00")
    1382021321.5
    """
    if isinstance(timestamp, str):
        try:
            moment = datetime.fromisoformat(timestamp)
        except ValueError:
            raise RejectError(Reason.NOT_A_TIME, "timestamp") from None
        if moment.tzinfo is None:  # a local time means another moment on each machine
            raise RejectError(Reason.NOT_A_TIME, "timestamp")
        timestamp = moment.timestamp()
    if 0.0 <= timestamp < END_OF_TIME:
        return timestamp
    raise RejectError(Reason.TIME_OUT_OF_RANGE if isfinite(timestamp) else Reason.NOT_FINITE, "timestamp")


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
    timestamp: float | str,
    event: str | None,
    value: float | None,
    id: str | None,
    session: str | None,
    context: dict[str, Any] | None,
) -> Interaction:
    """Build an interaction from checked fields, or raise `RejectError`. None or empty text: not given."""
    # The conditions before the calls only spare the calls: this runs for every event.
    if not 0 < len(user) <= SURELY_SHORT or "\0" in user:
        check_id(user, "user")
    if not 0 < len(item) <= SURELY_SHORT or "\0" in item:
        check_id(item, "item")
    if isinstance(timestamp, str) or not 0.0 <= timestamp < END_OF_TIME:
        timestamp = seconds(timestamp)
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
        raw.source,
        arrived,
        has_value,
    )
