"""Format of a file: its kind and the options for its records, given or detected (`flows.formats.detection`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from flows.errors import UsageError
from flows.formats.csv_events import CsvDecoder
from flows.formats.field_map import check_fields
from flows.formats.json_events import JsonDecoder
from flows.formats.times import NAME_OF, TimeFormat
from flows.formats.validation import Naming
from flows.messages import Decoder


class Kind(StrEnum):
    """How a file is cut into records."""

    CSV = "CSV"
    JSON_LINES = "JSON Lines"
    JSON_STREAM = "JSON"
    """An array of objects, or objects one after the other, over any number of lines."""
    PARQUET = "Parquet"


NAMES_OF_DELIMITERS: Final = {
    ",": "comma",
    ";": "semicolon",
    "\t": "tab",
    "|": "pipe",
    " ": "space",
    "\x01": "Ctrl-A",
}
SKIPPED: Final = ("", "-", "_")
"""Names in `columns` for a column that is passed over."""


@dataclass(frozen=True)
class FileOptions:
    """Options for a file. An option that is None is detected from the first records.

    Args:
        fields: Field to the name of its column or JSON field, or a dotted path into nested objects.
        delimiter: Delimiter of the cells of CSV.
        header: Whether the first record of CSV names the columns.
        columns: The names of the columns of CSV, in their order; `-` for one to pass over.
        encoding: Of text, by its Python name, such as `latin-1`.
        decimal_comma: Whether CSV writes numbers as `4,5`.
        time_unit, time_zone, time_format: As of `flows.formats.times.TimeFormat`.
        is_shared: Whether a name in `fields` that the file lacks may be meant for another file.
    """

    fields: dict[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    header: bool | None = None
    columns: list[str] | None = None
    encoding: str | None = None
    decimal_comma: bool | None = None
    time_unit: str | None = None
    time_zone: str | None = None
    time_format: str | None = None
    is_shared: bool = False

    def __post_init__(self) -> None:
        check_fields(self.fields)
        TimeFormat(self.time_unit or "s", self.time_zone or "UTC")
        if self.delimiter is not None and (not self.delimiter or set(self.delimiter) & set('"\r\n')):
            raise UsageError(f"--delimiter: expected what stands between cells, such as ';'; got {self.delimiter!r}.")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError, AssertionError):
                raise UsageError(
                    f"--encoding: expected the name of an encoding, such as utf-8 or latin-1; got {self.encoding!r}."
                ) from None

    def over(self, other: "FileOptions") -> "FileOptions":
        """Return these options, and the other's where these say nothing.

        >>> FileOptions({"user": "uid"}).over(FileOptions({"user": "u", "item": "i"}, header=True)).fields
        {'user': 'uid', 'item': 'i'}
        """
        values: dict[str, Any] = {"fields": other.fields | self.fields}
        for each in fields(self):
            if each.name not in ("fields", "is_shared"):
                own = getattr(self, each.name)
                values[each.name] = getattr(other, each.name) if own is None else own
        return FileOptions(**values)


def options_for(path: Path, told: Sequence[tuple[str, FileOptions]]) -> FileOptions:
    """Combine the options that apply to a file.

    Args:
        path: The file.
        told: Patterns of paths or names, with options for the files that match. The first match wins.

    >>> told = [("clicks*", FileOptions(delimiter=";")), ("*", FileOptions(delimiter="|", time_unit="ms"))]
    >>> found = options_for(Path("logs/clicks-1.csv"), told)
    >>> found.delimiter, found.time_unit
    (';', 'ms')
    """
    united = FileOptions()
    for pattern, options in told:
        if pattern in (str(path), path.name) or fnmatch(str(path), pattern) or fnmatch(path.name, pattern):
            united = united.over(options)
    return united


@dataclass(frozen=True)
class FileFormat:
    """How a file is read. Nothing is left to be found.

    Attributes:
        kind: How it is cut into records.
        encoding: By its Python name; `utf-8` is read as it is.
        newline: Bytes that end a line.
        delimiter, quotes, decimal_comma: As of `flows.formats.csv_events.CsvDecoder`.
        header: Whether the first record names the columns.
        columns: The field that each column holds; empty for a column that is passed over.
        fields: Field to path where the two differ, for JSON; field to column for CSV and Parquet.
        times: How timestamps are read.
        notes: Further notes for the user, such as the zone of times that name none.
        skip: Bytes, in UTF-8, before the first object of an array that stands in an object. 0: no such array.
    """

    kind: Kind
    encoding: str = "utf-8"
    newline: bytes = b"\n"
    delimiter: str = ","
    quotes: bool = True
    header: bool = True
    columns: tuple[str, ...] = ()
    decimal_comma: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
    times: TimeFormat = field(default_factory=TimeFormat)
    notes: tuple[str, ...] = ()
    skip: int = 0

    def decoder(self, name: Naming) -> Decoder:
        """Return the decoder of the records.

        Args:
            name: How rejects name their record.
        """
        if self.kind != Kind.CSV:
            return JsonDecoder(name, self.fields if self.kind != Kind.PARQUET else None, self.times)
        return CsvDecoder(
            self.columns,
            name,
            delimiter=self.delimiter,
            quotes=self.quotes,
            decimal_comma=self.decimal_comma,
            times=self.times,
        )

    def sentence(self) -> str:
        """Say in one line how the file is read.

        >>> FileFormat(Kind.CSV, delimiter=";", times=TimeFormat("ms"), fields={"user": "userId"}).sentence()
        'CSV, semicolon, header, user = userId, times in milliseconds'
        """
        said: list[str] = [str(self.kind)]
        if self.encoding not in ("utf-8", "utf-8-sig"):
            said.append(self.encoding.upper())
        if self.kind == Kind.CSV:
            said.append(NAMES_OF_DELIMITERS.get(self.delimiter, repr(self.delimiter)))
            said.append("header" if self.header else f"no header, columns {','.join(c or '-' for c in self.columns)}")
            if self.decimal_comma:
                said.append("decimal comma")
        said += [f"{name} = {path}" if path else f"no {name}" for name, path in self.fields.items() if name != path]
        if self.times.form is not None:
            said.append(f"times as {self.times.form}")
        elif self.times.unit != "s":
            said.append(f"times in {NAME_OF[self.times.unit]}")
        return ", ".join([*said, *self.notes])
