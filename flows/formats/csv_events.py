"""Decode one line of a CSV log into an interaction."""

import csv
import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from flows.formats.validation import MAX_RECORD_BYTES, Naming, Reason, RejectError, interaction, position
from flows.messages import Interaction, Raw, Rejected

REQUIRED: Final = ("user", "item", "timestamp")
FIELDS: Final = (*REQUIRED, "event", "value", "id", "session")
"""The fields a CSV log can hold."""

# The csv module takes a quote inside a bare cell, and so the second half of a row with a newline in quotes.
_CELL = r'(?:"(?:[^"]|"")*+"|[^",]*+)'
_WELL_QUOTED = re.compile(f"{_CELL}(?:,{_CELL})*+")


class CsvDecoder:
    """Turns the CSV line in a `Raw` into an `Interaction`, or says why not in a `Rejected`. Never raises.

    One line is one row, without a newline inside it, separated by commas, with quotes as in RFC 4180. An
    empty cell of an optional field means: not given. Cells are taken as they are: spaces belong to an id.

    Args:
        columns: The field each column holds, in the order of the columns: one of `FIELDS`, or any other text
            for a column to pass over. `user`, `item` and `timestamp` must be there.
        name: How rejects name their record.

    >>> decode = CsvDecoder(["user", "item", "timestamp", "title", "value"])
    >>> event = decode(Raw("events", 0, 0, b'u1,i9,1382021321.5,"Hope, and more",4'), arrived=0.0)
    >>> event.user, event.value, event.event, event.source
    ('u1', 4.0, 'interaction', 'events/0/0')
    >>> print(decode(Raw("events", 0, 1, b"u1,i9,yesterday,,4"), arrived=0.0).reason)
    not a time
    """

    def __init__(self, columns: Sequence[str], name: Naming = position) -> None:
        absent = [field for field in REQUIRED if field not in columns]
        if absent:
            raise ValueError(f"expected columns for user, item and timestamp; missing {', '.join(absent)}")
        self.columns = tuple(columns)
        self.name = name
        # A column that is absent reads the empty cell that __call__ puts behind the row's last.
        self._pick = itemgetter(*(columns.index(f) if f in columns else len(columns) for f in FIELDS))

    def __call__(self, raw: Raw, arrived: float) -> Interaction | Rejected:
        """Decode one line. `arrived` is the `time.perf_counter()` that the event will carry."""
        try:
            row = _cells(raw.value)
            if len(row) != len(self.columns):
                raise RejectError(Reason.MALFORMED_ROW)
            row.append("")
            user, item, timestamp, event, value, id, session = self._pick(row)
            return interaction(
                raw,
                arrived,
                user,
                item,
                _seconds(timestamp),
                event,
                _number(value),
                id,
                session,
                None,
            )
        except UnicodeDecodeError:
            fault = RejectError(Reason.NOT_UTF8)
        except csv.Error:
            fault = RejectError(Reason.MALFORMED_ROW)
        except RejectError as found:
            fault = found
        return Rejected(self.name(raw), fault.reason, fault.field, raw.value)


def _cells(line: bytes | None) -> list[str]:
    if not line or line == b"\r":
        raise RejectError(Reason.EMPTY_RECORD)
    if len(line) > MAX_RECORD_BYTES:
        raise RejectError(Reason.RECORD_TOO_LONG)
    text = line.decode()
    if text[-1] == "\r":
        text = text[:-1]
    if '"' not in text:
        return text.split(",")
    if not _WELL_QUOTED.fullmatch(text):
        raise RejectError(Reason.MALFORMED_ROW)
    return next(csv.reader([text], strict=True))


def _number(cell: str) -> float | None:
    if not cell:
        return None
    try:
        if "_" not in cell:  # Python would read 1_000
            return float(cell)
    except ValueError:
        pass
    raise RejectError(Reason.WRONG_TYPE, "value")


def _seconds(cell: str) -> float | str:
    if not cell:
        raise RejectError(Reason.MISSING_FIELD, "timestamp")
    try:
        return cell if "_" in cell else float(cell)
    except ValueError:
        return cell  # perhaps ISO 8601
