"""Logs sorted by time: in memory where they are small, else by runs on the disk that are merged as they are read."""

import heapq
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import BinaryIO, Final, TypeAlias

import msgspec
from typing_extensions import override

from flows.files.merge import damage_of, mark, timed
from flows.files.open_log import Log
from flows.files.record_source import Progress, RecordSource
from flows.messages import Raw

RUN_BYTES: Final = 128 * 1024 * 1024
"""About so much memory is taken before a sorted run goes to the disk."""
RECORD_BYTES: Final = 400
"""Memory that a record takes beside its bytes."""
BLOCK: Final = 256
"""Records of a run that are read at once."""

_Entry: TypeAlias = tuple[float, int, int, str, int, int, bytes | None]
"""Time, number in the order of reading, number of the log, and the record. No two have the same number."""
_Run: TypeAlias = list[_Entry]


class SortedSource(RecordSource):
    """Logs sorted by time. Records of the same time keep their order, and all keep their positions.

    Records that cannot be decoded keep their place after the preceding record. The constructor reads and sorts the
    logs. It takes about `run_bytes` of memory. Larger logs need temporary files (`TMPDIR`) of the size of the
    uncompressed logs, which are deleted when the process ends.

    Args:
        logs: In any order.
        name, limit, batch_size, progress: As of `RecordSource`.
        run_bytes: Memory for records that are being sorted.
    """

    def __init__(
        self,
        logs: Sequence[Log],
        name: object,
        *,
        batch_size: int = 1_000,
        limit: int | None = None,
        progress: Progress | None = None,
        run_bytes: int = RUN_BYTES,
    ) -> None:
        super().__init__(name, batch_size=batch_size, limit=limit, progress=progress)
        self.logs = logs
        readings = [log.source.read() for log in logs]
        self._runs = _Runs(run_bytes)
        number = 0
        for place, (log, reading) in enumerate(zip(logs, readings, strict=True)):
            for time, raw, _ in timed(log, reading):
                self._runs.add((time, number, place, *raw[:4]))
                number += 1
        self._runs.finish()
        self.count = number
        self.broken = damage_of(logs, readings)

    @override
    def where(self, raw: Raw) -> str:
        return raw.source

    @override
    def say(self, damage: str, whole: int) -> str:
        return f"{damage} The {whole:,} whole records of all logs are read. Get a whole copy of the file."

    @override
    def read(self) -> "_Sorted":
        return _Sorted(self, self._runs)


class _Sorted:
    """One reading of what has been sorted. Its size is counted in records."""

    def __init__(self, source: SortedSource, runs: "_Runs") -> None:
        self._source = source
        self._runs = runs
        self.size = source.count
        self.consumed = 0
        self.damage = source.broken

    def __iter__(self) -> Iterator[Raw]:
        decoders = [log.decoder for log in self._source.logs]
        for entry in self._runs:
            self.consumed += 1
            yield mark(Raw(*entry[3:]), decoders[entry[2]])


class _Runs:
    """Sorted runs: the last in memory, the others in one temporary file."""

    def __init__(self, run_bytes: int) -> None:
        self._run_bytes = run_bytes
        self._bytes = 0
        self._last: _Run = []
        self._starts: list[int] = []
        self._file: BinaryIO | None = None

    def add(self, entry: _Entry) -> None:
        self._last.append(entry)
        self._bytes += len(entry[-1] or b"") + RECORD_BYTES
        if self._bytes >= self._run_bytes:
            self._spill()

    def finish(self) -> None:
        self._last.sort()
        if self._file is not None:
            self._file.flush()

    def __iter__(self) -> Iterator[_Entry]:
        return heapq.merge(self._last, *map(self._stored, self._starts))

    def _spill(self) -> None:
        self._last.sort()
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the runs are read
            weakref.finalize(self, self._file.close)
        self._starts.append(self._file.tell())
        for block in _blocks(self._last):
            encoded = msgspec.msgpack.encode(block)
            self._file.write(len(encoded).to_bytes(4, "little") + encoded)
        self._file.write(bytes(4))  # the end of the run
        self._last, self._bytes = [], 0

    def _stored(self, place: int) -> Iterator[_Entry]:
        assert self._file is not None
        decode, descriptor = msgspec.msgpack.Decoder(list[_Entry]).decode, self._file.fileno()
        while size := int.from_bytes(os.pread(descriptor, 4, place), "little"):
            yield from decode(os.pread(descriptor, size, place + 4))
            place += 4 + size


def _blocks(run: Iterable[_Entry]) -> Iterator[_Run]:
    rest = iter(run)
    for first in rest:
        yield list(chain([first], islice(rest, BLOCK - 1)))
