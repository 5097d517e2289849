"""Find out the dialect of a CSV file: its delimiter, header, columns, decimal comma and times."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from csv import Error as CsvError
from typing import Final

from flows.errors import LogError
from flows.formats.column_names import REQUIRED, field_of, guess, likely
from flows.formats.csv_events import FIELDS, MISSING, CellReader, with_mail_dates
from flows.formats.file_format import NAMES_OF_DELIMITERS, SKIPPED, FileFormat, FileOptions, Kind
from flows.formats.reasons import RejectError
from flows.formats.record_cutting import QuotedRecords
from flows.formats.time_detection import detect_times
from flows.formats.times import TimeFormat, forms_of, unit_of

DELIMITERS: Final = (",", ";", "\t", "|", "::", "\x01", " ")
LEAST_COLUMNS: Final = 3
"""User, item and timestamp."""
LARGEST_VALUE: Final = 1_000.0
"""A larger number is taken for an id, not for a value, where columns have no names."""
_WITH_COMMA: Final = re.compile(r"[-+]?\d+,\d+")
_WITH_POINT: Final = re.compile(r"[-+]?\d+\.\d+")


def detect_csv(place: str, lines: Sequence[bytes], encoding: str, newline: bytes, options: FileOptions) -> FileFormat:
    """Return how a CSV file is read.

    Args:
        place: Names the file, for messages.
        lines: The first ones.
        encoding, newline: Encoding and newline of the file.
        options: What is told of it.

    Raises:
        LogError: There is no header and `columns` is not given, a field has no column, or a time is ambiguous.
    """
    delimiter = options.delimiter or _delimiter(lines, newline, options)
    quotes = len(delimiter) == 1 and (delimiter != "\t" or any(_is_quoted(line, delimiter) for line in lines))
    rows = list(_rows(lines, delimiter, quotes, newline))
    if not rows:
        raise LogError(f"{place}: expected CSV; its first {len(lines)} lines hold no record. Check how it was written.")
    rows = [with_mail_dates(row, len(options.columns or rows[0])) for row in rows]
    header = _has_header(rows, options) if options.header is None else options.header
    said = f"cells separated by {NAMES_OF_DELIMITERS.get(delimiter, repr(delimiter))}"
    named = f"{place}:1"
    if options.columns is not None:
        names = list(options.columns)
        width = Counter(map(len, rows)).most_common(1)[0][0]
        if len(names) != width:
            raise LogError(
                f"{named}: expected {width} names in --columns, one for each column ({said}); got {len(names)}: "
                f"{','.join(names)}. Write - for a column to pass over."
            )
    elif header:
        names = [name.strip() for name in rows[0]]
    else:
        raise LogError(_no_header(named, rows, said))
    columns, fields = fields_of_columns(named, names, options.fields, said, is_shared=options.is_shared)
    data = rows[1:] if header else rows
    cells = {field: [row[place] for row in data if len(row) == len(names)] for place, field in enumerate(columns)}
    comma = options.decimal_comma if options.decimal_comma is not None else _has_decimal_comma(cells)
    own = names[columns.index("timestamp")]  # the header stands again where files were put together
    samples = [_plain(cell, comma) for cell in cells["timestamp"] if cell and cell not in MISSING and cell != own]
    times, notes = detect_times(place, samples, options)
    return FileFormat(
        Kind.CSV,
        encoding,
        newline,
        delimiter,
        quotes,
        header,
        tuple(columns),
        comma,
        fields,
        times,
        notes,
    )


def fields_of_columns(
    place: str, header: Sequence[str], map: Mapping[str, str], said: str = "", *, is_shared: bool = False
) -> tuple[list[str], dict[str, str]]:
    """Name the field that each column holds; an empty name for a column that holds none.

    Args:
        place: Place of the header, for messages.
        header: The names of the columns.
        map: Field to column, where their names differ.
        said: How the columns are separated, for messages.
        is_shared: Whether a column in `map` that is not there may be meant for another of several files.

    Returns:
        The fields by column, and field to column where their names differ, given or guessed.

    Raises:
        LogError: A required field has no column, a field has two, or `map` names a column that does not exist.

    >>> fields_of_columns("ratings.csv:1", ["userId", "item", "timestamp", "tag"], {"user": "userId"})
    (['user', 'item', 'timestamp', ''], {'user': 'userId'})
    """
    found = f"found {', '.join(header) or 'an empty line'}{f' ({said})' if said else ''}"
    told = {field: column for field, column in map.items() if column in header or not column}
    for field, column in map.items():
        if field not in FIELDS:
            raise LogError(f"--map {field}={column}: expected one of the fields {', '.join(FIELDS)}; found {field!r}.")
        if field not in told and not (is_shared and (field in header or field not in REQUIRED)):
            raise LogError(
                f"{place}: --map {field}={column}: there is no column {column!r}; {found}. Name one of these."
            )
    taken = set(told.values())
    column_of = {field: field for field in FIELDS if field not in told and field not in taken and field in header}
    column_of |= {field: column for field, column in told.items() if column}
    guessed = {}
    if any(field not in column_of for field in REQUIRED):
        guessed = {field: column for field, column in guess(header, column_of).items() if map.get(field) != ""}
    column_of |= guessed
    missing = [field for field in REQUIRED if field not in column_of]
    if missing:
        advice = " ".join(f"--map {field}={likely(field, header)}" for field in missing)
        raise LogError(
            f"{place}: expected the columns {', '.join(REQUIRED)}; {found}; "
            f"missing {', '.join(missing)}. Say which columns hold them: {advice}"
        )
    for column in column_of.values():
        if header.count(column) > 1 or list(column_of.values()).count(column) > 1:
            raise LogError(f"{place}: expected one column for each field; {column!r} is there twice; {found}.")
    by_column = {column: field for field, column in column_of.items()}
    return [by_column.get(column, "") for column in header], told | guessed


def _delimiter(lines: Sequence[bytes], newline: bytes, options: FileOptions) -> str:
    """Choose the delimiter that gives the most columns, the same number in each record, and known names."""
    wanted = {*FIELDS, *options.fields.values(), *(options.columns or ())}
    scored: list[tuple[int, bool, float, int, int]] = []
    for order, delimiter in enumerate(DELIMITERS):
        rows = list(_rows(lines, delimiter, len(delimiter) == 1, newline))
        counts = Counter(len(row) for row in rows)
        if not counts:
            continue
        columns, same = max(counts.items(), key=lambda each: (each[1], each[0]))
        if columns < 2 or (delimiter == " " and (columns < LEAST_COLUMNS or same < len(rows))):
            continue
        known = sum(name.strip() in wanted or field_of(name) is not None for name in rows[0]) if rows else 0
        is_wide = columns >= LEAST_COLUMNS
        scored.append((known if known > 1 else 0, is_wide, same / len(rows), columns, -order))
    if not scored:
        return ","
    return DELIMITERS[-max(scored)[-1]]


def _rows(lines: Sequence[bytes], delimiter: str, quotes: bool, newline: bytes) -> Iterator[list[str]]:
    """Yield the cells of the records that can be cut; the first stays first even if it is broken."""
    read = CellReader(delimiter, quotes)
    records = [list(lines)] if not quotes else QuotedRecords(delimiter, newline)([list(lines)])
    for block in records:
        for record in block:
            with suppress(RejectError, UnicodeDecodeError, CsvError):
                yield read(record)


def _is_quoted(line: bytes, delimiter: str) -> bool:
    return any(cell.startswith(b'"') for cell in line.split(delimiter.encode()))


def _has_header(rows: Sequence[Sequence[str]], options: FileOptions) -> bool:
    first = [cell.strip() for cell in rows[0]]
    if options.columns is not None:
        at = options.columns.index("timestamp") if "timestamp" in options.columns else -1
        return first == list(options.columns) or (0 <= at < len(first) and not _may_be_time(first[at]))
    wanted = {*REQUIRED, *options.fields.values()}
    if sum(cell in wanted for cell in first) >= LEAST_COLUMNS:
        return True
    return not any(_may_be_number(cell) or _may_be_time(cell) for cell in first)


def _may_be_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _may_be_time(cell: str) -> bool:
    try:
        TimeFormat().seconds(cell)
    except RejectError as fault:
        return bool(forms_of(cell)) or "range" in str(fault.reason)
    return True


def _no_header(place: str, rows: Sequence[Sequence[str]], said: str) -> str:
    names = _likely_columns(rows)
    return (
        f"{place}: expected a header with {', '.join(REQUIRED)}; the first row is {' '.join(rows[0])[:200]!r} "
        f"({said}). Say what its {len(rows[0])} columns hold, - for one to pass over, such as "
        f"--columns {','.join(names)}; if the first row is a header, add --header."
    )


def _likely_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Guess the fields of columns without names, as advice for the user."""
    width = len(rows[0])
    columns = [[row[place] for row in rows if len(row) == width] for place in range(width)]
    names = ["-"] * width
    times = [place for place in range(width) if _are_times(columns[place])]
    if times:
        names[times[-1]] = "timestamp"
    rest = [place for place in range(width) if names[place] == "-"]
    for field, place in zip(("user", "item"), rest, strict=False):
        names[place] = field
    for place in rest[2:]:
        if "event" not in names and not any(map(_may_be_number, columns[place])):
            names[place] = "event"
        elif "value" not in names and all(_is_small(cell) for cell in columns[place]):
            names[place] = "value"
    if not times and len(rest) > 2 and "timestamp" not in names:
        names[rest[2]] = "timestamp"
    return names


def _are_times(cells: Sequence[str]) -> bool:
    numbers = [float(cell) for cell in cells if _may_be_number(cell) and "," not in cell]
    if len(numbers) == len(cells):
        unit, note = unit_of(numbers)
        return unit is not None and not note and max(numbers, default=0.0) > 0.0
    return all(_may_be_time(cell) for cell in cells if cell)


def _is_small(cell: str) -> bool:
    return _may_be_number(cell) and abs(float(cell.replace(",", "."))) <= LARGEST_VALUE


def _has_decimal_comma(cells: Mapping[str, Sequence[str]]) -> bool:
    numbers = [cell for field in ("value", "timestamp") for cell in cells.get(field, ())]
    with_comma = sum(_WITH_COMMA.fullmatch(cell) is not None for cell in numbers)
    return with_comma > 0 and not any(_WITH_POINT.fullmatch(cell) for cell in numbers)


def _plain(cell: str, comma: bool) -> str:
    return cell.replace(",", ".") if comma and _WITH_COMMA.fullmatch(cell) else cell


__all__ = ["SKIPPED", "detect_csv", "fields_of_columns"]
