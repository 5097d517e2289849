"""A source of recorded records for the engine, with progress and resume."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol, TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from typing_extensions import override

from flows.messages import Raw

Progress: TypeAlias = Callable[[int, int, int], None]
"""Told after each batch: bytes read of the file as it is stored, bytes of the whole file, records read."""


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
        said: How each file is read, in a sentence.
        resumed_at: Number of the record at which the flow began.
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
        self.said: tuple[str, ...] = ()
        self.resumed_at = 0
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
        self.resumed_at = resume_state or 0
        return _LogPartition(self, self.resumed_at)


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
