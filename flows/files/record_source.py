"""Base of the sources that read recorded logs: batches, progress, and resuming."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol, TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from typing_extensions import override

from flows.messages import Raw

Progress: TypeAlias = Callable[[int, int, int], None]
"""Function called after each batch with the stored bytes read, the stored bytes of the file, and the records read."""


class Reading(Protocol):
    """One pass over a log from its first record. Iterate over it once."""

    @property
    def size(self) -> int:
        """Size of the stored log in bytes."""

    @property
    def consumed(self) -> int:
        """Number of stored bytes that have been read."""

    @property
    def damage(self) -> str | None:
        """The fault at which the iteration ended, and its approximate place. None if there is none."""

    def __iter__(self) -> Iterator[Raw]: ...


class RecordSource(FixedPartitionedSource[Raw, int]):
    """A recorded log as one partition of the flow. The state is the number of the next record.

    At damage in the middle of a log the flow ends as at its end. All good records are delivered, and their lists are
    written. Then the caller reports `damage`.

    Args:
        name: Name of the log, for messages.
        batch_size: Number of records in a batch.
        limit: Number of records to read from the start of the log, whether resumed or not. None: all.
        progress: Called after each batch.

    Attributes:
        said: A sentence for each file that says how it is read.
        resumed_at: Number of the record at which the flow began.
        damage: A message with the fault of the log and its approximate place, or None. It is set once the flow has
            ended.
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
        """Start a pass over the log from its first record."""

    @abstractmethod
    def where(self, raw: Raw) -> str:
        """Return the place of a record, for messages."""

    def say(self, damage: str, whole: int) -> str:
        """Return a message about damage after `whole` good records."""
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
