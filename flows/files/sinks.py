"""Sinks that write lists and rejects to files. A resumed run has each line exactly once."""

import os
import weakref
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, Generic, TypeVar

import bytewax.operators as op
import orjson
from bytewax.dataflow import Stream, operator
from bytewax.outputs import DynamicSink, FixedPartitionedSink, StatefulSinkPartition, StatelessSinkPartition
from typing_extensions import override

from flows.errors import UsageError
from flows.files.compression import Compressor, compressor_for
from flows.formats.dead_letters import to_file_line
from flows.messages import Outgoing, Rejected

X = TypeVar("X")


class OutputFileError(UsageError):
    """A file cannot be written. The message says what was expected, what came, and what to do."""


class LineFile(FixedPartitionedSink[X, int], Generic[X]):
    """Writes one line per item to one file. It is compressed if its name ends in `.gz` or `.zst`.

    At the end of an epoch the lines are on the disk, and the file's size is the state. A resumed run truncates the file
    to that size, so no line of an unfinished epoch is there twice. A run without a state overwrites the file. In a
    compressed file each epoch is a member of its own, which gzip and zstd allow.

    Args:
        path: The file. Call `check` before the flow starts to see whether it can be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @abstractmethod
    def to_line(self, item: X) -> bytes:
        """Encode one item as a line, with its newline."""

    def check(self) -> None:
        """Raise `OutputFileError` if the file cannot be written. The file's content does not change."""
        is_new = not self.path.exists()
        if not is_new and not self.path.is_file():
            raise OutputFileError(f"{self.path}: expected a file to write; this is none. Name another.")
        try:
            self.path.open("ab").close()
            if is_new:
                self.path.unlink()
        except OSError as error:
            raise OutputFileError(
                f"{self.path}: expected a file to write; {error.strerror}. Name one in a directory of yours."
            ) from None

    @override
    def list_parts(self) -> list[str]:
        return ["file"]

    @override
    def part_fn(self, item_key: str) -> int:
        return 0

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_LinePartition[X]":
        return _LinePartition(self.path, self.to_line, resume_state)


class ListFile(LineFile[Outgoing]):
    """Writes the value of each message as a line, and a tombstone as `{"user": "u1", "items": null}`.

    Args:
        path: The file.
        key_field: Name of the key in the line of a tombstone.
    """

    def __init__(self, path: str | Path, key_field: str = "user") -> None:
        super().__init__(path)
        self.key_field = key_field

    @override
    def to_line(self, item: Outgoing) -> bytes:
        if item.value is not None:
            return item.value + b"\n"
        key = None if item.key is None else item.key.decode()
        return orjson.dumps({self.key_field: key, "items": None}, option=orjson.OPT_APPEND_NEWLINE)


class RejectFile(LineFile[Rejected]):
    """Writes each reject as a line with `source`, `reason`, `field` and `raw`. See `flows.formats.dead_letters`."""

    @override
    def to_line(self, item: Rejected) -> bytes:
        return to_file_line(item)


@operator
def write_lines(step_id: str, up: Stream[X], sink: LineFile[X]) -> None:
    """Write a stream to a file, in order."""

    def with_key(batch: list[X]) -> list[tuple[str, X]]:
        return [("file", item) for item in batch]

    op.output("file", op.flat_map_batch("key", up, with_key), sink)


def _open_at(path: Path, position: int | None) -> FileIO:
    """Open a file without a buffer: after a crash or a full disk, a buffer would be written later or raise again."""
    if position is None:
        return path.open("wb", buffering=0)
    size = path.stat().st_size if path.exists() else 0
    if size < position:
        raise OutputFileError(
            f"{path}: expected the {position:,} bytes written before the restart; found {size:,}. "
            "Put the file back, or start without the recovery directory."
        )
    file = path.open("r+b", buffering=0)
    file.truncate(position)
    file.seek(position)
    return file


class _LinePartition(StatefulSinkPartition[X, int]):
    def __init__(self, path: Path, to_line: Callable[[X], bytes], position: int | None) -> None:
        self._to_line = to_line
        self._path = path
        self._member: Compressor | None = None
        self._is_broken = False
        self._file = _open_at(path, position)
        weakref.finalize(self, self._file.close)  # after a crash the engine calls no close()

    @override
    def write_batch(self, values: list[X]) -> None:
        if self._member is None:
            self._member = compressor_for(self._path)
        lines = b"".join(map(self._to_line, values))
        self._write(self._member.compress(lines))

    @override
    def snapshot(self) -> int:
        member, self._member = self._member, None
        if member is not None:
            self._write(member.flush())
            try:
                os.fsync(self._file.fileno())
            except OSError:
                self._is_broken = True
                raise
        return self._file.tell()

    @override
    def close(self) -> None:
        # The engine also closes while it handles an exception. A second one would abort the process.
        if self._is_broken:
            with suppress(OSError):
                self._file.close()
            return
        self.snapshot()
        self._file.close()

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._is_broken = True
            raise


class Discard(DynamicSink[tuple[str, Any]]):
    """Sink that drops everything."""

    @override
    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_DiscardPart":
        return _DiscardPart()


class _DiscardPart(StatelessSinkPartition[tuple[str, Any]]):
    @override
    def write_batch(self, items: list[tuple[str, Any]]) -> None:
        pass
