"""Read a recorded log as the flow's source: from a file, plain, gzip or zstd, one record a line, in constant memory."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, repeat
from pathlib import Path
from typing import Final, TypeAlias

from typing_extensions import override

from flows.files.compression import Pieces
from flows.files.record_source import Progress, RecordSource
from flows.formats.validation import MAX_RECORD_BYTES
from flows.messages import Raw

COMPRESSED_ENDINGS: Final = (".gz", ".zst")
KIND_ENDINGS: Final = (".csv", ".jsonl", ".ndjson", ".json", ".parquet")

Positions: TypeAlias = Callable[[], tuple[str, Iterable[tuple[int, int]]]]
"""Gives the topic that a file was recorded from, and partition and offset of each line."""


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
