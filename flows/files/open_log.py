"""Opening of a log: detects the format of a file, and reports faults before the flow starts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from flows.errors import LogError
from flows.files.compression import Pieces, decompressor_for
from flows.files.line_source import COMPRESSED_ENDINGS, LogSource
from flows.files.parquet import MAGIC, open_parquet
from flows.files.record_source import Progress, RecordSource
from flows.files.recording import positions_of
from flows.formats.detection import EXPECTED, detect
from flows.formats.file_format import FileFormat, FileOptions, Kind, options_for
from flows.formats.times import TimeFormat
from flows.messages import Decoder

__all__ = ["Log", "LogError", "open_log"]

JSON_ENDINGS = (".jsonl", ".ndjson", ".json")


class Log(NamedTuple):
    """An opened log: the source of its records, and their decoder."""

    source: RecordSource
    decoder: Decoder


def open_log(
    path: str | Path,
    map: Mapping[str, str] | None = None,
    *,
    file_options: Sequence[tuple[str, FileOptions]] = (),
    is_one_of_several: bool = False,
    partition: int = 0,
    batch_size: int = 1_000,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Log:
    """Detect the format of a file by its start, and prepare to read it as a log.

    The first bytes show compression and Parquet. The endings `.jsonl`, `.ndjson` and `.json` mean JSON. With another
    ending the first records decide between JSON and CSV (`flows.formats.detection`). Records of a recording
    (`flows.files.recording`) keep their positions in the topic.

    Args:
        path: The file.
        map: Name of the column or JSON field of each field with another name: `{"user": "userId"}`.
        file_options: Patterns of paths or names, with options for the files that match. The first match wins.
        is_one_of_several: Whether a column of `map` may belong to another file.
        partition: Number of the partition in the positions.
        batch_size, limit, progress: As of `LogSource`.

    Raises:
        LogError: The file is missing, not a file, unreadable, empty, binary or damaged at its start, or its columns
            cannot be detected. The message says which option to give.
        UsageError: An option is not valid.
    """
    path = Path(path)
    options = options_for(path, [("*", FileOptions(dict(map or {}))), *file_options])
    options = replace(options, is_shared=is_one_of_several)
    if _check_file(path) == MAGIC:
        source, format = open_parquet(
            path, options, partition=partition, batch_size=batch_size, limit=limit, progress=progress
        )
        source.said = (f"{path.name}: {format.sentence()}",)
        return Log(source, format.decoder(source.where))
    positions, pieces = positions_of(path), Pieces(path)
    if positions is not None:  # a recording may begin with anything
        times = TimeFormat(options.time_unit or "s", options.time_zone or "UTC", options.time_format)
        format = FileFormat(Kind.JSON_LINES, fields=options.fields, times=times)
    else:
        format = detect(str(path), _up_to_damage(pieces), options, is_json=_is_named_json(path))
    records = LogSource(
        path,
        format=format,
        partition=partition,
        positions=positions,
        batch_size=batch_size,
        limit=limit,
        progress=progress,
    )
    records.said = (f"{path.name}: {format.sentence()}",)
    return Log(records, format.decoder(records.where))


def _up_to_damage(pieces: Pieces) -> Iterator[bytes]:
    """Yield the bytes of a file. Raise `LogError` if it is damaged before the first of them."""
    is_empty = True
    for piece in pieces:
        is_empty = is_empty and not piece
        yield piece
    if is_empty and pieces.damage:
        raise LogError(f"{pieces.path}: {EXPECTED}; {pieces.damage}. Get a whole copy of it.")


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


def _is_named_json(path: Path) -> bool:
    endings = [suffix.lower() for suffix in path.suffixes if suffix not in COMPRESSED_ENDINGS]
    return bool(endings) and endings[-1] in JSON_ENDINGS
