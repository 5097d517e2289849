"""Read a recorded log as the flow's source: from a file, plain, gzip or zstd, one record a line, in constant memory."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from typing_extensions import override

from flows.compression import Pieces
from flows.fields import MAX_RECORD_BYTES
from flows.messages import Raw

COMPRESSED_ENDINGS: Final = (".gz", ".zst")
KIND_ENDINGS: Final = (".csv", ".jsonl", ".ndjson", ".json", ".parquet")

Progress: TypeAlias = Callable[[int, int, int], None]
"""Told after each batch: bytes read of the file as it is stored, bytes of the whole file, records read."""

Positions: TypeAlias = Callable[[], tuple[str, Iterable[tuple[int, int]]]]
"""Gives the topic that a file was recorded from, and partition and offset of each line."""


class Reading(Protocol):
    """One reading of a log, from its first record: iterate over it once."""

    @property
    def size(self) -> int:
        """Bytes of what is read, as it is stored."""

    @property
    def consumed(self) -> int:
        """How many of them have been read."""

    @property
    def damage(self) -> str | None:
        """What is wrong with it and about where, once the iteration has ended there."""

    def __iter__(self) -> Iterator[Raw]: ...


class RecordSource(FixedPartitionedSource[Raw, int]):
    """Records that lie ready, as one partition of the flow. The state is the number of the next record.

    What is read may turn out damaged midway. The flow then ends as if the log did: each record that was whole is
    delivered, and `damage` tells, so that the lists so far are written before the caller reports the error.

    Args:
        name: Names what is read, for messages.
        batch_size: Records per batch.
        limit: Read only the first so many records of the log, whether resumed or not.
        progress: Told how far the reading is.

    Attributes:
        damage: A message that says what is wrong with the log and about where, or None. Known once the flow
            has ended.
    """

    def __init__(
        self,
        name: object,
        *,
        batch_size: int = 1_000,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.name = name
        self.batch_size = batch_size
        self.limit = limit
        self.progress = progress
        self.damage: str | None = None

    @abstractmethod
    def read(self) -> Reading:
        """Begin to read from the first record."""

    @abstractmethod
    def where(self, raw: Raw) -> str:
        """Name a record for people."""

    def say(self, damage: str, whole: int) -> str:
        """Say what is wrong with the log, of which so many records are whole."""
        return (
            f"{self.name}: expected a whole file; {damage}. "
            f"The {whole:,} whole records before that are read. Get a whole copy of the file."
        )

    @override
    def list_parts(self) -> list[str]:
        return ["log"]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_LogPartition":
        return _LogPartition(self, resume_state or 0)


class _LogPartition(StatefulSourcePartition[Raw, int]):
    def __init__(self, source: RecordSource, offset: int) -> None:
        self._source = source
        self._offset = offset
        self._reading = source.read()
        self._records = islice(iter(self._reading), offset, source.limit)

    @override
    def next_batch(self) -> list[Raw]:
        batch, reading = list(islice(self._records, self._source.batch_size)), self._reading
        self._offset += len(batch)
        if self._source.progress is not None:
            self._source.progress(reading.consumed, reading.size, self._offset)
        if not batch:
            if reading.damage:
                self._source.damage = self._source.say(reading.damage, self._offset)
            raise StopIteration
        return batch

    @override
    def snapshot(self) -> int:
        return self._offset


class LogSource(RecordSource):
    """One log file as one topic with one partition, a record a line.

    A record is a physical line without its newline, so a quoted CSV field cannot hold a newline: the decoder
    finds two malformed rows. Offsets count lines from 0, blank ones too, but not the CSV header. A line
    longer than `MAX_RECORD_BYTES` is cut just beyond that, which the decoder rejects.

    Args:
        path: The file. `open_log` checks it.
        header: Whether the first line is a CSV header.
        partition: The number of the partition that the file is read as.
        positions: Gives partition and offset of each line, in order; None: lines are counted from 0.
        batch_size, limit, progress: As of `RecordSource`.
    """

    def __init__(
        self,
        path: Path,
        *,
        header: bool = False,
        partition: int = 0,
        positions: Positions | None = None,
        batch_size: int = 1_000,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(path, batch_size=batch_size, limit=limit, progress=progress)
        self.path = path
        self.header = header
        self.partition = partition
        self.positions = positions

    @property
    def topic(self) -> str:
        """The file's name without the endings that say its format."""
        return topic_of(self.path)

    @override
    def where(self, raw: Raw) -> str:
        """Name a record as editors do: `events.csv.gz:4713`, where the first line, header or not, is 1.

        A record that was taken from a topic is named by its position there.
        """
        if self.positions is not None:
            return raw.source
        return f"{self.path.name}:{raw.offset + (2 if self.header else 1)}"

    @override
    def read(self) -> "_Lines":
        return _Lines(self)


class _Lines:
    """One reading of a file, line by line."""

    def __init__(self, source: LogSource) -> None:
        self._source = source
        self._pieces = Pieces(source.path)

    @property
    def size(self) -> int:
        return self._pieces.size

    @property
    def consumed(self) -> int:
        return self._pieces.consumed

    @property
    def damage(self) -> str | None:
        return self._pieces.damage

    def __iter__(self) -> Iterator[Raw]:
        source = self._source
        lines = chain.from_iterable(blocks_of_lines(self._pieces, lambda: self._pieces.damage is None))
        if source.header:
            next(lines, None)
        if source.positions is None:
            return map(Raw, repeat(source.topic), repeat(source.partition), count(), lines)
        topic, positions = source.positions()
        return (Raw(topic, *position, line) for position, line in zip(positions, lines, strict=False))


def topic_of(path: Path) -> str:
    """Name the topic that a file is read as: its name without the endings that say its format.

    >>> topic_of(Path("logs/clicks.jsonl.gz"))
    'clicks'
    """
    name = path.name
    for ending in (*COMPRESSED_ENDINGS, *KIND_ENDINGS):
        name = name.removesuffix(ending) or name
    return name


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
