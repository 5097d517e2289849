"""Source of the flow from a log of lines or JSON objects: plain, gzip or zstd, in constant memory."""

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
"""Function that returns the topic of a recording, and the partition and offset of each line."""


class LogSource(RecordSource):
    """One log file as one topic with one partition.

    A record is a line without its newline, a CSV record over several lines, or a JSON object. Offsets count records
    from 0, including blank lines but not the CSV header. A line longer than `MAX_RECORD_BYTES` is cut just beyond that
    length, and the decoder rejects it.

    Args:
        path: The file. `open_log` checks it.
        format: Format of the records. None: JSON Lines.
        partition: Number of the partition in the positions.
        positions: Returns partition and offset of each line, in order. None: records are counted from 0.
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
        """The file's name without the endings of its format."""
        return topic_of(self.path)

    @override
    def where(self, raw: Raw) -> str:
        """Return the place of a record as editors show it: `events.csv.gz:4713`. The first line, header or not, is 1.

        If a record may have several lines, it is the number of the record. For a recording it is the position in the
        topic.
        """
        if self.positions is not None:
            return raw.source
        return f"{self.path.name}:{raw.offset + (2 if self.has_header else 1)}"

    @property
    def has_header(self) -> bool:
        """Whether the first record is a header with the names of columns."""
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
    """Return the topic of a file: its name without the endings of its format.

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
    """Cut the bytes of a file into records, in blocks. A header comes as the first record.

    Args:
        format: Format of the file.
        pieces: Decompressed bytes of the file.
        is_whole: Returns, after the last piece, whether the file is complete.
    """
    pieces = transcode(pieces, format.encoding)
    if format.kind == Kind.JSON_STREAM:
        return JsonObjects(is_whole, format.skip)(pieces)
    lines = blocks_of_lines(pieces, is_whole, format.newline)
    if format.kind == Kind.CSV and format.quotes:
        return QuotedRecords(format.delimiter, format.newline)(lines)
    return lines
