"""Open a log: find out what a file is, and say before the flow starts what is wrong with it."""

import codecs
import csv
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from flows.errors import LogError
from flows.files.compression import Pieces, decompressor_for
from flows.files.line_source import COMPRESSED_ENDINGS, LogSource, blocks_of_lines
from flows.files.parquet import MAGIC, open_parquet
from flows.files.record_source import Progress, RecordSource
from flows.files.recording import positions_of
from flows.formats.csv_events import FIELDS, REQUIRED, CsvDecoder
from flows.formats.json_events import JsonDecoder
from flows.messages import Decoder

__all__ = ["Log", "LogError", "fields_of_columns", "open_log"]

EXPECTED = "expected an event log: CSV or JSON Lines, plain, .gz or .zst, or Parquet"


class Log(NamedTuple):
    """An opened log: where its records come from and what decodes them."""

    source: RecordSource
    decoder: Decoder


def open_log(
    path: str | Path,
    map: Mapping[str, str] | None = None,
    *,
    partition: int = 0,
    batch_size: int = 1_000,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Log:
    """Look at the start of a file and prepare to read it as a log.

    The ending of the file's name says whether it is JSON Lines (`.jsonl`, `.ndjson`, `.json`) or CSV
    (`.csv`); under another name the first character does: a log that begins with `{` is JSON Lines.
    Compression shows in the bytes, and so does Parquet. A recording (`flows.files.recording`) keeps the positions
    that its records had in their topic.

    Args:
        path: The file.
        map: For CSV and Parquet, the name of a field's column where the two differ: `{"user": "userId"}`.
        partition: The number of the partition that the file is read as.
        batch_size, limit, progress: As of `LogSource`.

    Raises:
        LogError: The file is missing, not a file, unreadable, empty, binary or damaged at its start, or its
            header has no column for a field.
    """
    path = Path(path)
    if _check_file(path) == MAGIC:
        fields = partial(fields_of_columns, str(path), map=map or {})
        source = open_parquet(path, fields, partition=partition, batch_size=batch_size, limit=limit, progress=progress)
        return Log(source, JsonDecoder(source.where))
    pieces = Pieces(path)
    block = next(blocks_of_lines(pieces, lambda: pieces.damage is None), None)
    if block is None:
        if pieces.damage:
            raise LogError(f"{path}: {EXPECTED}; {pieces.damage}. Get a whole copy of it.")
        raise LogError(f"{path}: {EXPECTED}; the file is empty. Check how it was written.")
    first, positions = block[0].removeprefix(codecs.BOM_UTF8).strip(), positions_of(path)
    if positions is None and not first.startswith(b"{") and not _is_text(first):
        raise LogError(
            f"{path}: {EXPECTED}; it begins with {first[:20]!r}: a binary file, or text that is not UTF-8. "
            "Export it as UTF-8 text."
        )
    is_json = positions is not None or _is_json(path, first)  # a recording may begin with anything
    lines = LogSource(
        path,
        header=not is_json,
        partition=partition,
        positions=positions,
        batch_size=batch_size,
        limit=limit,
        progress=progress,
    )
    if is_json:
        if positions is None and first.startswith(b"["):
            raise LogError(
                f"{path}:1: expected one JSON object a line; this is a JSON array. "
                f"Convert it: jq -c '.[]' {shlex.quote(str(path))} > events.jsonl"
            )
        if map:
            raise LogError(f"{path}: --map renames CSV columns, but this is JSON Lines. Leave --map out.")
        return Log(lines, JsonDecoder(lines.where))
    columns = fields_of_columns(f"{path}:1", _header(path, first), map or {})
    return Log(lines, CsvDecoder(columns, lines.where))


def fields_of_columns(place: str, header: Sequence[str], map: Mapping[str, str]) -> list[str]:
    """Name the field that each column of a CSV header holds; an empty name for a column that holds none.

    Args:
        place: Where the header stands, for messages.
        header: The names of the columns.
        map: Field to column, where their names differ.

    Raises:
        LogError: A required field has no column, a field has two, or `map` names what does not exist.

    >>> fields_of_columns("ratings.csv:1", ["userId", "item", "timestamp", "tag"], {"user": "userId"})
    ['user', 'item', 'timestamp', '']
    """
    found = f"found {', '.join(header) or 'an empty line'}"
    for field, column in map.items():
        if field not in FIELDS:
            raise LogError(f"--map {field}={column}: expected one of the fields {', '.join(FIELDS)}; found {field!r}.")
        if column not in header:
            raise LogError(f"{place}: --map {field}={column}: there is no column {column!r}; {found}.")
    column_of = {field: field for field in FIELDS if field not in map.values()} | dict(map)
    missing = [field for field in REQUIRED if column_of.get(field) not in header]
    if missing:
        advice = " ".join(f"--map {field}={_likely(field, header)}" for field in missing)
        raise LogError(
            f"{place}: expected the columns {', '.join(REQUIRED)}; {found}; "
            f"missing {', '.join(missing)}. Say which columns hold them: {advice}"
        )
    for column in column_of.values():
        if header.count(column) > 1 or list(column_of.values()).count(column) > 1:
            raise LogError(f"{place}: expected one column for each field; {column!r} is there twice; {found}.")
    field_of = {column: field for field, column in column_of.items()}
    return [field_of.get(column, "") for column in header]


def _check_file(path: Path) -> bytes:
    """Return the first four bytes of a file that may be a log."""
    try:
        if path.is_dir():
            raise LogError(f"{path}: {EXPECTED}; this is a directory. Name one file in it.")
        if path.exists() and not path.is_file():
            raise LogError(f"{path}: {EXPECTED}; this is no regular file. Write the stream to a file first.")
        with path.open("rb") as file:
            magic = file.read(4)
    except (FileNotFoundError, NotADirectoryError):
        raise LogError(f"{path}: {EXPECTED}; there is no such file. Check the path.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise LogError(f"{path}: {EXPECTED}; it cannot be read: {error}. Check its permissions.") from None
    if magic and path.suffix in COMPRESSED_ENDINGS and decompressor_for(magic) is None:
        raise LogError(
            f"{path}: expected {path.suffix[1:]} data as the name says; the file begins with {magic!r}. "
            "Get a whole copy of it, or rename it if it is not compressed."
        )
    return magic


def _is_text(line: bytes) -> bool:
    try:
        return "\0" not in line.decode()
    except UnicodeDecodeError:
        return False


def _is_json(path: Path, first: bytes) -> bool:
    endings = [suffix.lower() for suffix in path.suffixes if suffix not in COMPRESSED_ENDINGS]
    if endings and endings[-1] in (".jsonl", ".ndjson", ".json"):
        return True
    return first.lstrip(b"[ \t").startswith(b"{") and endings[-1:] != [".csv"]


def _header(path: Path, line: bytes) -> list[str]:
    try:
        names = next(csv.reader([line.decode()], strict=True), [])
    except csv.Error as error:
        raise LogError(f"{path}:1: expected a CSV header; found a malformed line ({error}).") from None
    return [name.strip() for name in names]


def _likely(field: str, header: Sequence[str]) -> str:
    return next((name for name in header if field in name.lower() and name not in FIELDS), "COLUMN")
