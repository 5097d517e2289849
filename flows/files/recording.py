"""Recording: a log that was read from a topic, with a second file that holds the position of each line in the topic.

The log is an ordinary one, with one record a line. The file `events.jsonl.gz.positions` belongs to `events.jsonl.gz`.
It has a header, and a line `[partition, offset, count]` for each run of consecutive records. So the lists of a replay
have the same positions as the job's lists. Without that file, positions count the lines.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from flows.errors import LogError
from flows.files.compression import compressor_for
from flows.files.line_source import Positions
from flows.files.sinks import OutputFileError
from flows.messages import Raw
from flows.state.atomic_files import sync_directory

FORMAT: Final = 1
"""Version of the layout of a file of positions."""
HEADER_BYTES: Final = 512
"""Bytes reserved for the header, which is written last. A topic's name has at most 249 characters."""
RECORDS_PER_BLOCK: Final = 1_000
"""Number of records that are compressed and written at once."""
ENDINGS: Final = (".jsonl", ".jsonl.gz", ".jsonl.zst")


def record(topic: str, records: Iterable[Raw], path: Path) -> int:
    """Write records as a log with a file of their positions.

    Both files get their names when they are complete and on the disk. Until then they are named `.NAME.part`, and a
    failure removes them. So an interrupted recording cannot be taken for a complete one.

    A newline inside a record, which JSON allows between its parts, becomes a space, since a record is a line.

    Args:
        topic: Name of the topic.
        records: The records in the order of a replay.
        path: The file. It is compressed if its name ends in `.gz` or `.zst`.

    Returns:
        Number of records.

    Raises:
        OutputFileError: The file cannot be written, or exists.
        LogError: There are no records.
    """
    check_recording(path)
    with _whole(path) as log, _whole(_positions_path(path)) as positions:
        positions.write(b" " * HEADER_BYTES)
        compressor, run, count = compressor_for(path), [0, -1, 0], 0
        rest = iter(records)
        while block := list(islice(rest, RECORDS_PER_BLOCK)):
            count += len(block)
            log.write(compressor.compress(b"".join(map(_line, block))))
            for raw in block:
                if raw.partition == run[0] and raw.offset == run[1] + run[2]:
                    run[2] += 1
                    continue
                _write_run(positions, run)
                run = [raw.partition, raw.offset, 1]
        if not count:
            raise LogError(f"topic {topic!r}: expected records in that range; there are none. Name another range.")
        _write_run(positions, run)
        log.write(compressor.flush())
        header = {"format": FORMAT, "topic": topic, "records": count, "log_bytes": log.tell()}
        positions.seek(0)
        positions.write(orjson.dumps(header).ljust(HEADER_BYTES - 1) + b"\n")
    return count


def check_recording(path: Path) -> None:
    """Raise `OutputFileError` unless a new recording can be written to this path."""
    if not path.name.endswith(ENDINGS):
        raise OutputFileError(f"{path}: expected a file to record to whose name ends in {', '.join(ENDINGS)}.")
    if path.exists():
        raise OutputFileError(f"{path}: expected a file to make; it is there already. Replay it, or name another.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise OutputFileError(
            f"{path}: expected a file to make; its directory is not there or not yours. Name another."
        )


def positions_of(path: Path) -> Positions | None:
    """Return the positions of a recording's lines in their topic; None for any other log.

    Raises:
        LogError: The file of positions belongs to another log or another version.
    """
    beside = _positions_path(path)
    if not path.name.endswith(ENDINGS):
        return None
    try:
        with beside.open("rb") as file:
            header = orjson.loads(file.read(HEADER_BYTES))
        if header["format"] != FORMAT:
            raise LogError(
                f"{beside}: expected format {FORMAT}; found {header['format']!r}. Update freshrank, or remove it."
            )
        if header["log_bytes"] != path.stat().st_size:
            raise LogError(
                f"{beside}: expected a log of {header['log_bytes']:,} bytes beside it; {path.name} has "
                f"{path.stat().st_size:,}. Put its own log back, or remove this file to count lines instead."
            )
        return partial(_read, beside, str(header["topic"]), int(header["records"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LogError(f"{beside}: expected the positions of a recording; {error}. Remove it to count lines.") from None


def _read(beside: Path, topic: str, records: int) -> tuple[str, Iterator[tuple[int, int]]]:
    def each() -> Iterator[tuple[int, int]]:
        told = 0
        with beside.open("rb") as file:
            file.seek(HEADER_BYTES)
            for line in file:
                partition, first, count = orjson.loads(line)
                told += count
                for offset in range(first, first + count):
                    yield partition, offset
        if told != records:
            raise LogError(f"{beside}: expected the positions of {records:,} records; found {told:,}. Remove it.")

    return topic, each()


def _positions_path(log: Path) -> Path:
    return log.with_name(f"{log.name}.positions")


def _line(raw: Raw) -> bytes:
    return (raw.value or b"").replace(b"\n", b" ") + b"\n"


def _write_run(positions: BinaryIO, run: list[int]) -> None:
    if run[2]:
        positions.write(orjson.dumps(run) + b"\n")


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name when it is complete."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
