"""Titles of items, from a CSV file with the columns `item` and `title`."""

from contextlib import suppress
from csv import Error as CsvError
from pathlib import Path
from typing import Final

from flows.errors import UsageError
from flows.files.compression import Pieces
from flows.formats.csv_events import CellReader
from flows.formats.detection import encoding_of
from flows.formats.reasons import RejectError
from flows.formats.record_cutting import QuotedRecords, blocks_of_lines, transcode

DELIMITERS: Final = (",", ";", "\t", "|", "::")


def read_titles(path: str | Path) -> dict[str, str]:
    """Read the titles of items, by item. Rows without a title are skipped.

    Args:
        path: CSV with any common delimiter, with or without a byte order mark. It may be plain, `.gz` or `.zst`.

    Raises:
        UsageError: The file is not such a CSV file.
    """
    path = Path(path)
    pieces = Pieces(path)
    data = b"".join(pieces)
    if pieces.damage:
        raise UsageError(f"{path}: expected a CSV file of items; it cannot be read: {pieces.damage}.")
    data = b"".join(transcode([data], encoding_of(data)))
    newline = b"\r" if b"\n" not in data else b"\n"
    first = data.split(newline, 1)[0].decode(errors="replace")
    delimiter = max(DELIMITERS, key=lambda each: ({"item", "title"} <= _names(first, each), -DELIMITERS.index(each)))
    if not {"item", "title"} <= _names(first, delimiter):
        raise UsageError(
            f"{path}: expected a CSV header with item and title; found {first[:100]!r}. Name the columns so."
        )
    read, titles, places = CellReader(delimiter), dict[str, str](), list[int]()
    for block in QuotedRecords(delimiter, newline)(blocks_of_lines([data], newline=newline)):
        for record in block:
            with suppress(RejectError, UnicodeDecodeError, CsvError, IndexError):
                row = read(record)
                if not places:
                    names = [cell.strip() for cell in row]
                    places = [names.index("item"), names.index("title")]
                elif title := row[places[1]]:
                    titles[row[places[0]]] = title
    return titles


def _names(line: str, delimiter: str) -> set[str]:
    return {name.strip().strip('"') for name in line.split(delimiter)}
