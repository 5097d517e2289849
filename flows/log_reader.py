"""Read a recorded log from a file, plain, gzip or zstd: one record a line, in constant memory."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import Final, TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from typing_extensions import override

from flows.compression import Pieces
from flows.fields import MAX_RECORD_BYTES
from flows.messages import Raw

COMPRESSED_ENDINGS: Final = (".gz", ".zst")
KIND_ENDINGS: Final = (".csv", ".jsonl", ".ndjson", ".json")

Progress: TypeAlias = Callable[[int, int, int], None]
"""Told after each batch: bytes read of the file as it is stored, bytes of the whole file, records read."""


class LogSource(FixedPartitionedSource[Raw, int]):
    """One log file as one topic with one partition. The state is the offset of the next record.

    A record is a physical line without its newline, so a quoted CSV field cannot hold a newline: the decoder
    finds two malformed rows. Offsets count lines from 0, blank ones too, but not the CSV header. A line
    longer than `MAX_RECORD_BYTES` is cut just beyond that, which the decoder rejects.

    A compressed file may turn out damaged midway. The flow then ends as if the log did: each line that was
    whole is delivered, and `damage` tells, so that the lists so far are written before the caller reports the
    error.

    Args:
        path: The file. `open_log` checks it.
        header: Whether the first line is a CSV header.
        batch_size: Records per batch.
        limit: Read only the first so many records of the log, whether resumed or not.
        progress: Told how far the reading is.

    Attributes:
        damage: A message that says what is wrong with the file and about where, or None. Known once the flow
            has ended.
    """

    def __init__(
        self,
        path: Path,
        *,
        header: bool = False,
        batch_size: int = 1_000,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.path = path
        self.header = header
        self.batch_size = batch_size
        self.limit = limit
        self.progress = progress
        self.damage: str | None = None

    @property
    def topic(self) -> str:
        """The file's name without the endings that say its format."""
        name = self.path.name
        for ending in (*COMPRESSED_ENDINGS, *KIND_ENDINGS):
            name = name.removesuffix(ending) or name
        return name

    def where(self, raw: Raw) -> str:
        """Name a record as editors do: `events.csv.gz:4713`, where the first line, header or not, is 1."""
        return f"{self.path.name}:{raw.offset + (2 if self.header else 1)}"

    @override
    def list_parts(self) -> list[str]:
        return ["log"]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_LogPartition":
        return _LogPartition(self, resume_state or 0)


class _LogPartition(StatefulSourcePartition[Raw, int]):
    def __init__(self, source: LogSource, offset: int) -> None:
        self._source = source
        self._offset = offset
        self._pieces = Pieces(source.path)
        blocks = blocks_of_lines(self._pieces, lambda: self._pieces.damage is None)
        lines = chain.from_iterable(blocks)
        if source.header:
            next(lines, None)
        numbered = zip(repeat(source.topic), repeat(0), count(), lines, strict=False)
        self._records = map(Raw._make, islice(numbered, offset, source.limit))

    @override
    def next_batch(self) -> list[Raw]:
        batch = list(islice(self._records, self._source.batch_size))
        self._offset += len(batch)
        if self._source.progress is not None:
            self._source.progress(self._pieces.consumed, self._pieces.size, self._offset)
        if not batch:
            if self._pieces.damage:
                self._source.damage = (
                    f"{self._source.path}: expected a whole file; {self._pieces.damage}. "
                    f"The {self._offset:,} whole records before that are read. Get a whole copy of the file."
                )
            raise StopIteration
        return batch

    @override
    def snapshot(self) -> int:
        return self._offset


def blocks_of_lines(pieces: Iterable[bytes], is_whole: Callable[[], bool] = lambda: True) -> Iterator[list[bytes]]:
    r"""Cut pieces of a file into lines, which come in blocks: all the lines that end in one piece.

    Args:
        pieces: The bytes of the file.
        is_whole: Asked after the last piece whether the file ends there. If so, a last line without a newline
            counts. If not, it is dropped: it may be cut short, and half a number is a number too.

    >>> list(blocks_of_lines([b"a\nb", b"b", b"b\n\nc"]))
    [[b'a'], [b'bbb', b''], [b'c']]
    """
    tail = bytearray()
    for piece in pieces:
        first, *others = piece.split(b"\n")
        tail += first[: MAX_RECORD_BYTES + 1 - len(tail)]
        if others:
            *middle, rest = others
            block = [bytes(tail), *middle]
            tail = bytearray(rest[: MAX_RECORD_BYTES + 1])
            yield block
    if tail and is_whole():
        yield [bytes(tail)]
