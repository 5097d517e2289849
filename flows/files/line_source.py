"""Read a recorded log as the flow's source: from a file, plain, gzip or zstd, record by record, in constant memory."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, repeat
from pathlib import Path
from typing import Final, TypeAlias

from typing_extensions import override

from flows.files.compression import Pieces
from flows.files.record_source import Progress, RecordSource
from flows.formats.file_format import FileFormat, Kind
from flows.formats.record_cutting import JsonObjects, QuotedRecords, blocks_of_lines, transcode
from flows.messages import Raw

COMPRESSED_ENDINGS: Final = (".gz", ".zst")
KIND_ENDINGS: Final = (".csv", ".jsonl", ".ndjson", ".json", ".parquet")

Positions: TypeAlias = Callable[[], tuple[str, Iterable[tuple[int, int]]]]
"""Gives the topic that a file was recorded from, and partition and offset of each line."""


class LogSource(RecordSource):
    """One log file as one topic with one partition.

    A record is a line without its newline, a CSV record over several lines, or a JSON object. Offsets count records
    from 0, blank lines too, but not the CSV header. A line longer than `MAX_RECORD_BYTES` is cut just beyond that,
    which the decoder rejects.

    Args:
        path: The file. `open_log` checks it.
        format: How it is cut into records; None: as JSON Lines.
        partition: The number of the partition that the file is read as.
        positions: Gives partition and offset of each line, in order; None: records are counted from 0.
        batch_size, limit, progress: As of `RecordSource`.
    """

    def __init__(
        self,
        path: Path,
        *,
        format: FileFormat | None = None,
        partition: int = 0,
        positions: Positions | None = None,
        batch_size: int = 1_000,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(path, batch_size=batch_size, limit=limit, progress=progress)
        self.path = path
        self.format = format or FileFormat(Kind.JSON_LINES)
        self.partition = partition
        self.positions = positions

    @property
    def topic(self) -> str:
        """The file's name without the endings that say its format."""
        return topic_of(self.path)

    @override
    def where(self, raw: Raw) -> str:
        """Name a record as editors name lines: `events.csv.gz:4713`, where the first, header or not, is 1.

        Where records are spread over lines it is the number of the record. A record that was taken from a topic is
        named by its position there.
        """
        if self.positions is not None:
            return raw.source
        return f"{self.path.name}:{raw.offset + (2 if self.has_header else 1)}"

    @property
    def has_header(self) -> bool:
        """Whether the first record names columns."""
        return self.format.kind == Kind.CSV and self.format.header

    @override
    def read(self) -> "_Records":
        return _Records(self)


class _Records:
    """One reading of a file, record by record."""

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
        records = chain.from_iterable(cut_into_records(source.format, self._pieces, self._is_whole))
        if source.has_header:
            next(records, None)
        if source.positions is None:
            return map(Raw, repeat(source.topic), repeat(source.partition), count(), records)
        topic, positions = source.positions()
        return (Raw(topic, *position, record) for position, record in zip(positions, records, strict=False))

    def _is_whole(self) -> bool:
        return self._pieces.damage is None


def topic_of(path: Path) -> str:
    """Name the topic that a file is read as: its name without the endings that say its format.

    >>> topic_of(Path("logs/clicks.jsonl.gz"))
    'clicks'
    """
    name = path.name
    for ending in (*COMPRESSED_ENDINGS, *KIND_ENDINGS):
        name = name.removesuffix(ending) or name
    return name


def cut_into_records(
    format: FileFormat, pieces: Iterable[bytes], is_whole: Callable[[], bool] = lambda: True
) -> Iterator[list[bytes]]:
    """Cut the bytes of a file into its records, which come in blocks. A header is the first of them.

    Args:
        format: How the file is read.
        pieces: Its bytes, decompressed.
        is_whole: Asked after the last piece whether the file ends there.
    """
    pieces = transcode(pieces, format.encoding)
    if format.kind == Kind.JSON_STREAM:
        return JsonObjects(is_whole)(pieces)
    lines = blocks_of_lines(pieces, is_whole, format.newline)
    if format.kind == Kind.CSV and format.quotes:
        return QuotedRecords(format.delimiter, format.newline)(lines)
    return lines
