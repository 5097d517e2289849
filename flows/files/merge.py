"""Several logs read as one, by time, without holding more than one record of each."""

import heapq
import math
from collections.abc import Iterator, Sequence
from operator import itemgetter

from msgspec.structs import force_setattr
from typing_extensions import override

from flows.errors import LogError
from flows.files.open_log import Log
from flows.files.record_source import Progress, Reading, RecordSource
from flows.messages import Decoder, Event, ItemEvent, Raw, Rejected


class Marked(Raw):
    """A record of one of several logs, which knows how it is decoded, or what it was decoded to."""

    decoder: Decoder
    decoded: Event | Rejected | None


def mark(raw: Raw, decoder: Decoder, decoded: Event | Rejected | None = None) -> Marked:
    """Note how a record is decoded, or what it was decoded to."""
    marked = Marked(*raw)
    marked.decoder = decoder
    marked.decoded = decoded
    return marked


def decode_marked(raw: Raw, arrived: float) -> Event | Rejected:
    """Decode a record of one of several logs, if that was not done when its time was read."""
    marked: Marked = raw  # type: ignore[assignment]  # whatever comes here is marked
    found = marked.decoded
    if found is None:
        return marked.decoder(raw, arrived)
    if not isinstance(found, Rejected | ItemEvent):
        force_setattr(found, "arrived", arrived)  # nobody else has it yet
    return found


def timed(log: Log, reading: Reading) -> Iterator[tuple[float, Raw, Event | Rejected]]:
    """Read a log with the time of each record, and what it is decoded to.

    A record that is no event stays behind the one before it.
    """
    time = -math.inf
    for raw in reading:
        decoded = log.decoder(raw, 0.0)
        if not isinstance(decoded, Rejected):
            time = decoded.timestamp
        yield time, raw, decoded


class MergedSource(RecordSource):
    """Several logs as one, by time; records of the same time in the order in which the logs are given.

    Args:
        logs: Each sorted by time.
        name, limit, batch_size, progress: As of `RecordSource`.

    Raises:
        LogError: While it is read: a log is not sorted. The message says where.
    """

    def __init__(
        self,
        logs: Sequence[Log],
        name: object,
        *,
        batch_size: int = 1_000,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(name, batch_size=batch_size, limit=limit, progress=progress)
        self.logs = logs

    @override
    def where(self, raw: Raw) -> str:
        return raw.source

    @override
    def say(self, damage: str, whole: int) -> str:
        return f"{damage} The {whole:,} whole records of all logs are read. Get a whole copy of the file."

    @override
    def read(self) -> "_Merged":
        return _Merged(self.logs)


class _Merged:
    """One reading of several logs."""

    def __init__(self, logs: Sequence[Log]) -> None:
        self._logs = logs
        self._readings = [log.source.read() for log in logs]

    @property
    def size(self) -> int:
        return sum(reading.size for reading in self._readings)

    @property
    def consumed(self) -> int:
        return sum(reading.consumed for reading in self._readings)

    @property
    def damage(self) -> str | None:
        return damage_of(self._logs, self._readings)

    def __iter__(self) -> Iterator[Raw]:
        pairs = [_in_order(log, reading) for log, reading in zip(self._logs, self._readings, strict=True)]
        for _, raw in heapq.merge(*pairs, key=itemgetter(0)):
            yield raw


def damage_of(logs: Sequence[Log], readings: Sequence[Reading]) -> str | None:
    """Say which of several logs broke off, and where."""
    for log, reading in zip(logs, readings, strict=True):
        if reading.damage:
            return f"{log.source.name}: expected a whole file; {reading.damage}."
    return None


def _in_order(log: Log, reading: Reading) -> Iterator[tuple[float, Raw]]:
    newest = -math.inf
    for time, raw, decoded in timed(log, reading):
        if time < newest:
            raise LogError(
                f"{log.source.where(raw)}: expected a log sorted by time, to merge it with others; this record's time "
                f"is {time:.3f}, after one of {newest:.3f}. Sort them with --sort."
            )
        newest = time
        yield time, mark(raw, log.decoder, decoded)
