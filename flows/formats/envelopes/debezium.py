"""Debezium change events: the row of a table after an insert or an update, or before a delete.

Source: https://debezium.io/documentation/reference/stable/connectors/postgresql.html, "Data change events".
"""

from typing import Any, Final

from flows.formats.envelopes.opened import Opened, iso_of
from flows.formats.reasons import Reason, RejectError
from flows.messages import Raw

_ROWS: Final = {"c": "after", "u": "after", "r": "after", "d": "before"}
"""Which row counts, by operation: create, update, read (of a snapshot), delete."""
_MOST_TIME: Final = 4_133_980_800_000
"""2101-01-01T00:00Z in Unix milliseconds."""
_MESSAGES: Final = ("m", "t")
"""Operations that are no rows: logical messages, and the truncation of a table."""


def open_change_event(record: Any, raw: Raw) -> Opened:
    """Return the row of a change event, with the time of the change as `timestamp`.

    Raises:
        RejectError: The record is no change event, or holds no row.

    >>> change = {"op": "u", "before": None, "after": {"id": 9, "price": 50}, "ts_ms": 1382021321500}
    >>> open_change_event({"schema": {}, "payload": change}, Raw("shop.items", 0, 7, b""))
    Opened(record={'id': 9, 'price': 50}, said={'timestamp': '2013-10-17T14:48:41.500000+00:00'}, is_deleted=False)
    """
    change = record.get("payload") if isinstance(record, dict) and "schema" in record else record
    if not isinstance(change, dict) or "op" not in change:
        raise RejectError(Reason.NO_ENVELOPE, "op")
    operation = change["op"]
    if not isinstance(operation, str) or operation not in _ROWS:
        raise RejectError(Reason.UNKNOWN_KIND if operation in _MESSAGES else Reason.NO_ENVELOPE, "op")
    row = change.get(_ROWS[operation])
    if not isinstance(row, dict):
        raise RejectError(Reason.MISSING_FIELD, _ROWS[operation])
    source = change.get("source")
    moment = source.get("ts_ms") if isinstance(source, dict) else None
    moment = moment or change.get("ts_ms")
    said = {"timestamp": iso_of(moment)} if isinstance(moment, int | float) and 0 <= moment < _MOST_TIME else {}
    return Opened(row, said, operation == "d")
