"""Decode one record of a CSV log into an interaction."""

import csv
import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from flows.formats.times import TimeFormat
from flows.formats.validation import MAX_RECORD_BYTES, Naming, Reason, RejectError, interaction, position
from flows.messages import Interaction, Raw, Rejected

REQUIRED: Final = ("user", "item", "timestamp")
FIELDS: Final = (*REQUIRED, "event", "value", "id", "session", "list")
"""The fields a CSV log can hold."""
MISSING: Final = frozenset(("\\N", "NULL", "null"))
"""Cells that databases write where there is no value. An empty cell means the same."""


_WEEKDAYS: Final = frozenset(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
_DAY_AND_MONTH: Final = re.compile(r"\s*\d{1,2} [A-Z][a-z]{2} \d{4} \d{1,2}:\d{2}")


def with_mail_dates(row: list[str], width: int) -> list[str]:
    """Join the two halves of dates as in mail, which a comma has cut, if the row has too many cells.

    >>> with_mail_dates(["u1", "i9", "Fri", " 01 Mar 2024 10:00:00 GMT"], width=3)
    ['u1', 'i9', 'Fri, 01 Mar 2024 10:00:00 GMT']
    """
    place = 0
    while len(row) > width and place < len(row) - 1:
        if row[place].strip() in _WEEKDAYS and _DAY_AND_MONTH.match(row[place + 1]):
            row = [*row[:place], f"{row[place]},{row[place + 1]}", *row[place + 2 :]]
        place += 1
    return row


def well_quoted(delimiter: str) -> str:
    """Return the pattern of one cell as RFC 4180 has it: in quotes, or without any quote."""
    return rf'(?:"(?:[^"]|"")*+"|[^"{re.escape(delimiter)}]*+)'


class CsvDecoder:
    """Turns the CSV record in a `Raw` into an `Interaction`, or says why not in a `Rejected`. Never raises.

    Quotes are those of RFC 4180: a record may hold newlines between them. An empty cell, `\\N` or `NULL` means: not
    given. Other cells are taken as they are: spaces belong to an id.

    Args:
        columns: The field each column holds, in the order of the columns: one of `FIELDS`, or any other text
            for a column to pass over. `user`, `item` and `timestamp` must be there.
        name: How rejects name their record.
        delimiter: Delimiter of the cells, such as `;` or `::`.
        quotes: Whether cells may be quoted. Otherwise a quote is a character like any other.
        decimal_comma: Whether numbers are written as `4,5`.
        times: How timestamps are read.

    >>> decode = CsvDecoder(["user", "item", "timestamp", "title", "value"])
    >>> event = decode(Raw("events", 0, 0, b'u1,i9,1382021321.5,"Hope, and more",4'), arrived=0.0)
    >>> event.user, event.value, event.event, event.source
    ('u1', 4.0, 'interaction', 'events/0/0')
    >>> print(decode(Raw("events", 0, 1, b"u1,i9,yesterday,,4"), arrived=0.0).reason)
    not a time
    >>> decode = CsvDecoder(["user", "item", "value", "timestamp"], delimiter=";", decimal_comma=True)
    >>> decode(Raw("events", 0, 2, b"u1;i9;4,5;1382021321"), arrived=0.0).value
    4.5
    """

    def __init__(
        self,
        columns: Sequence[str],
        name: Naming = position,
        *,
        delimiter: str = ",",
        quotes: bool = True,
        decimal_comma: bool = False,
        times: TimeFormat | None = None,
    ) -> None:
        absent = [field for field in REQUIRED if field not in columns]
        if absent:
            raise ValueError(f"expected columns for user, item and timestamp; missing {', '.join(absent)}")
        self.columns = tuple(columns)
        self.name = name
        self.times = times or TimeFormat()
        self._cells = CellReader(delimiter, quotes)
        self._decimal_comma = decimal_comma
        self._is_plain = self.times.is_plain
        self._width = len(self.columns)
        # A column that is absent reads the empty cell that __call__ puts behind the row's last.
        self._pick = itemgetter(*(columns.index(f) if f in columns else len(columns) for f in FIELDS))

    def __call__(self, raw: Raw, arrived: float) -> Interaction | Rejected:
        """Decode one record. `arrived` is the `time.perf_counter()` that the event will carry."""
        try:
            row = self._cells(raw.value)
            if len(row) != self._width:
                row = with_mail_dates(row, self._width)
                if len(row) != self._width:
                    raise RejectError(Reason.MALFORMED_ROW)
            row.append("")
            if not MISSING.isdisjoint(row):
                self._check_given(row)
                row = ["" if cell in MISSING else cell for cell in row]
            user, item, timestamp, event, value, id, session, source_list = self._pick(row)
            # Most numbers are plain: this runs for every event.
            try:
                time = float(timestamp) if self._is_plain and "_" not in timestamp else self._seconds(timestamp)
            except ValueError:
                time = self._seconds(timestamp)
            number: float | None = None
            if value:
                try:
                    number = float(value) if "_" not in value else self._number(value)
                except ValueError:
                    number = self._number(value)
            return interaction(raw, arrived, user, item, time, event, number, id, session, None, source_list)
        except UnicodeDecodeError:
            fault = RejectError(Reason.NOT_UTF8)
        except csv.Error:
            fault = RejectError(Reason.MALFORMED_ROW)
        except RejectError as found:
            fault = found
        return Rejected(self.name(raw), fault.reason, fault.field, raw.value, raw.carrier)

    def _check_given(self, row: Sequence[str]) -> None:
        for field, cell in zip(REQUIRED, self._pick(row), strict=False):
            if cell in MISSING:
                raise RejectError(Reason.MISSING_FIELD, field)

    def _number(self, cell: str) -> float:
        try:
            return _float(cell, self._decimal_comma)
        except ValueError:
            raise RejectError(Reason.WRONG_TYPE, "value") from None

    def _seconds(self, cell: str) -> float:
        if not cell:
            raise RejectError(Reason.MISSING_FIELD, "timestamp")
        try:
            number = _float(cell, self._decimal_comma)
        except ValueError:
            return self.times.seconds(cell)
        return number if self.times.is_plain else self.times.seconds(number)


class CellReader:
    """Cuts one CSV record into its cells.

    Args:
        delimiter, quotes: As of `CsvDecoder`.

    >>> CellReader("::")(b"1::1193::5"), CellReader(";")(b'a;"b;c";d')
    (['1', '1193', '5'], ['a', 'b;c', 'd'])
    """

    def __init__(self, delimiter: str = ",", quotes: bool = True) -> None:
        self.delimiter = delimiter
        self.quotes = quotes and len(delimiter) == 1
        cell = well_quoted(delimiter)
        # The csv module takes a quote inside a bare cell, and so half of a record whose other half is lost.
        self._well_quoted = re.compile(f"{cell}(?:{re.escape(delimiter)}{cell})*+")

    def __call__(self, record: bytes | None) -> list[str]:
        """Return the cells.

        Raises:
            RejectError, UnicodeDecodeError, csv.Error: It is no record.
        """
        if not record or record == b"\r":
            raise RejectError(Reason.EMPTY_RECORD)
        if len(record) > MAX_RECORD_BYTES:
            raise RejectError(Reason.RECORD_TOO_LONG)
        text = record.decode()
        if text[-1] == "\r":
            text = text[:-1]
        if '"' not in text or not self.quotes:
            return text.split(self.delimiter)
        if not self._well_quoted.fullmatch(text):
            raise RejectError(Reason.MALFORMED_ROW)
        return next(csv.reader([text], strict=True, delimiter=self.delimiter))


def _float(cell: str, decimal_comma: bool) -> float:
    """Read a number. Python would read 1_000, too."""
    if "_" in cell:
        raise ValueError(cell)
    if decimal_comma and "," in cell:
        cell = cell.replace(".", "").replace(",", ".")
    return float(cell)
