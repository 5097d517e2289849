"""Source of the flow from a Parquet file, one row group at a time. It needs the extra `freshrank[parquet]`.

Each row becomes the JSON record of the same event on the input topic. So the rules of `flows.formats.validation` hold,
and a reject shows the row as text.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from typing_extensions import override

from flows.errors import LogError, how_to_install
from flows.files.line_source import topic_of
from flows.files.record_source import Progress, Reading, RecordSource
from flows.formats.csv_detection import fields_of_columns
from flows.formats.detection import MOST_RECORDS
from flows.formats.file_format import FileFormat, FileOptions, Kind
from flows.formats.time_detection import detect_times
from flows.formats.times import TimeFormat
from flows.messages import Raw

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAGIC: Final = b"PAR1"
"""The first bytes of a Parquet file."""
ROWS: Final = 8_192
"""Number of rows that are decoded at once, within a row group."""


class ParquetSource(RecordSource):
    """One Parquet file as one topic with one partition, a record a row. Offsets count rows from 0.

    Ids are text, or whole numbers that become text. `timestamp` is a number of Unix seconds, ISO 8601 text with an
    offset, or a timestamp or date, in UTC if it has no zone. Null and NaN mean that the value is missing.

    Args:
        path: The file. `open_parquet` checks it.
        columns: Name of the column of each field.
        partition, batch_size, limit, progress: As of `LogSource`.
    """

    def __init__(
        self,
        path: Path,
        columns: dict[str, str],
        *,
        partition: int = 0,
        batch_size: int = 1_000,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(path, batch_size=batch_size, limit=limit, progress=progress)
        self.path = path
        self.columns = columns
        self.partition = partition

    @override
    def where(self, raw: Raw) -> str:
        """Return the place of a record by its row, from 1: `events.parquet:4713`."""
        return f"{self.path.name}:{raw.offset + 1}"

    @override
    def read(self) -> Reading:
        return _Rows(self)


def open_parquet(path: Path, options: FileOptions, **reading: Any) -> tuple[ParquetSource, FileFormat]:
    """Check the columns of a Parquet file, and prepare to read it as a log.

    Args:
        path: The file.
        options: Options for the file.
        reading: As of `ParquetSource`.

    Raises:
        LogError: pyarrow is not installed, the file is damaged, or a column is missing or of a type that cannot hold
            its field.
    """
    from pyarrow import types as t

    file = _open(path)
    schema = file.schema_arrow
    held, fields = fields_of_columns(str(path), schema.names, options.fields, is_shared=options.is_shared)
    columns = {field: name for field, name in zip(held, schema.names, strict=True) if field}
    for field, column in columns.items():
        _check_type(f"{path}: column {column!r}", field, schema.field(column).type)
    type = schema.field(columns["timestamp"]).type
    if t.is_timestamp(type) or t.is_date(type):
        times, notes = TimeFormat(), tuple[str, ...]()
    else:
        first = next(file.iter_batches(MOST_RECORDS, columns=[columns["timestamp"]]), None)
        samples = [] if first is None else [time for time in _values("timestamp", first[0]) if time is not None]
        times, notes = detect_times(str(path), samples, options)
    format = FileFormat(Kind.PARQUET, fields=fields, times=times, notes=notes)
    return ParquetSource(path, columns, **reading), format


class _Rows:
    """One reading of a file, row by row."""

    def __init__(self, source: ParquetSource) -> None:
        self._source = source
        self.size = source.path.stat().st_size
        self.consumed = 0
        self.damage: str | None = None

    def __iter__(self) -> Iterator[Raw]:
        import pyarrow as pa

        source, row = self._source, 0
        try:
            file = _open(source.path)
            rows = max(file.metadata.num_rows, 1)
            for batch in file.iter_batches(ROWS, columns=list(source.columns.values())):
                columns = [_values(field, batch[column]) for field, column in source.columns.items()]
                for record in _records(list(source.columns), columns):
                    yield Raw(topic_of(source.path), source.partition, row, record)
                    row += 1
                self.consumed = self.size * row // rows
        except (pa.ArrowException, OSError) as error:
            self.damage = f"the file is broken about row {row:,} ({error})"


def _records(fields: Sequence[str], columns: Sequence[list[Any]]) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode
    for row in zip(*columns, strict=True):
        yield encode({field: value for field, value in zip(fields, row, strict=True) if value is not None})


def _open(path: Path) -> "pq.ParquetFile":
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise LogError(f"{path}: reading Parquet needs pyarrow. Install it: {how_to_install('parquet')}.") from None
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise LogError(f"{path}: expected a Parquet file; {error}. Get a whole copy of it.") from None


def _check_type(place: str, field: str, type: "pa.DataType") -> None:
    from pyarrow import types as t

    plain = type.value_type if t.is_dictionary(type) else type
    is_text = t.is_string(plain) or t.is_large_string(plain) or t.is_string_view(plain)
    is_number = t.is_integer(plain) or t.is_floating(plain) or t.is_decimal(plain)
    if field == "timestamp":
        fits, wanted = is_text or is_number or t.is_timestamp(plain) or t.is_date(plain), "a time, number or text"
    elif field == "value":
        fits, wanted = is_number or t.is_boolean(plain), "a number"
    else:
        fits, wanted = is_text or t.is_integer(plain), "text or whole numbers"
    if not (fits or t.is_null(plain)):
        raise LogError(f"{place}: expected {wanted} for the field {field}; found {type}. Cast the column.")


def _values(field: str, column: "pa.Array") -> list[Any]:
    """Return the cells of a column as values for JSON."""
    import pyarrow as pa
    from pyarrow import types as t

    if t.is_dictionary(column.type):
        column = column.dictionary_decode()
    if field not in ("timestamp", "value"):
        return list(column.cast(pa.string()).to_pylist())
    if t.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if t.is_timestamp(column.type):
        per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[column.type.unit]
        return [None if ticks is None else ticks / per_second for ticks in column.cast(pa.int64()).to_pylist()]
    if t.is_string(column.type) or t.is_large_string(column.type) or t.is_string_view(column.type):
        return list(column.to_pylist())
    return list(column.cast(pa.float64()).to_pylist())
