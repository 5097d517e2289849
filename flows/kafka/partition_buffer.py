"""Buffer of fetched records for one partition, and the merge of several partitions by time."""

import heapq
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from flows.kafka.position import Place
from flows.messages import Raw

HELD_BYTES: Final = 64 * 1024 * 1024
"""Limit of the merge's buffers in bytes while it waits for a partition."""
WAIT_SECONDS: Final = 5.0
"""Longest wait for such a partition in seconds, while no partition that is behind gets nearer to its goal."""
LOOK_SECONDS: Final = 0.5
"""Most seconds of waiting that count from one look at the buffers to the next. A pause of the flow is no wait."""
FAR_BEHIND: Final = 1_000
"""Number of records that a partition must fall behind, after it has caught up, before the merge waits for it again."""


class PartitionBuffer:
    """Records of one partition that were fetched and not yet taken.

    Args:
        place: The partition.
        position: Offset of the next record to take.
        end: Offset at which reading ends. None: never.
        goal: Offset below which the partition counts as behind: its end when it was opened.
    """

    def __init__(self, place: Place, position: int, end: int | None, goal: int = 0) -> None:
        self.place = place
        self.position = position
        self.end = end
        self.goal = goal
        self.buffer: deque[Raw] = deque()
        self.reached = position
        """Last known end of the log. Markers of transactions take offsets there that no record has."""

    @property
    def next(self) -> int:
        """Offset of the next record to fetch."""
        return self.buffer[-1].offset + 1 if self.buffer else max(self.position, self.reached)

    @property
    def settled(self) -> int:
        """Offset at which a restarted job has to read. No record before it is in the buffer."""
        return self.position if self.buffer else self.next

    @property
    def has_ended(self) -> bool:
        """Whether all records up to the end have been taken."""
        return self.end is not None and self.settled >= self.end

    @property
    def is_behind(self) -> bool:
        """Whether the topic holds records below `goal` that are not fetched yet."""
        return self.next < self.goal

    def take(self) -> list[Raw]:
        """Return all records of the buffer, and advance the position."""
        batch, self.position = list(self.buffer), self.next
        self.buffer.clear()
        return batch


class TimeMerge:
    """Merges the records of several partitions by their Kafka timestamps.

    The merge waits for a partition that is behind and has no record in its buffer, since its next record may be the
    oldest. A consumer fetches partitions one after another, so the merge waits as long as records come. `HELD_BYTES`
    and `WAIT_SECONDS` bound the wait. Records of the same time keep the order of the partitions.

    Args:
        high: Returns the end of a partition as of the last fetch.
        clock: Returns monotonic seconds.
    """

    def __init__(self, high: Callable[[Place], int], clock: Callable[[], float] = time.monotonic) -> None:
        self.high = high
        self.clock = clock
        self.held = 0
        """Size of the buffered values in bytes."""
        self._heads: list[tuple[int, Place]] = []
        self._partitions: dict[Place, PartitionBuffer] = {}
        self._waited = 0.0
        self._looked: float | None = None
        """Time of the last look while the merge waits."""
        self._fetched = 0

    def watch(self, partition: PartitionBuffer) -> None:
        """Add a partition with the records of its buffer."""
        self._partitions[partition.place] = partition
        if partition.buffer:
            heapq.heappush(self._heads, (_time_of(partition.buffer[0]), partition.place))
            self.held += sum(len(raw.value or b"") for raw in partition.buffer)

    def drop(self, partition: PartitionBuffer) -> None:
        """Remove a partition."""
        self._partitions.pop(partition.place, None)
        self._heads = [head for head in self._heads if head[1] != partition.place]
        heapq.heapify(self._heads)
        self.held -= sum(len(raw.value or b"") for raw in partition.buffer)

    def add(self, partition: PartitionBuffer, raw: Raw) -> None:
        """Add a record to the buffer of its partition."""
        if not partition.buffer:
            heapq.heappush(self._heads, (_time_of(raw), partition.place))
        partition.buffer.append(raw)
        self.held += len(raw.value or b"")

    def take(self, size: int) -> list[Raw]:
        """Return the next records, at most `size`. There are none while the merge waits for a partition."""
        batch: list[Raw] = []
        heads, partitions = self._heads, self._partitions
        if self._waits():
            return batch
        while heads and len(batch) < size:
            place = heads[0][1]
            partition = partitions[place]
            raw = partition.buffer.popleft()
            batch.append(raw)
            partition.position = raw.offset + 1
            if partition.buffer:
                heapq.heapreplace(heads, (_time_of(partition.buffer[0]), place))
                continue
            heapq.heappop(heads)
            if not partition.is_behind and self.high(place) - partition.next > FAR_BEHIND:
                partition.goal = self.high(place)
            if partition.is_behind:
                break
        self.held -= sum(len(raw.value or b"") for raw in batch)
        return batch

    def _waits(self) -> bool:
        missing = [
            partition
            for partition in self._partitions.values()
            if not partition.buffer and partition.is_behind and not partition.has_ended
        ]
        if not missing or not self._heads or self.held >= HELD_BYTES:
            self._looked = None
            return False
        now, fetched = self.clock(), sum(min(each.next, each.goal) for each in self._partitions.values())
        if self._looked is None or fetched != self._fetched:
            self._waited = 0.0
        else:
            self._waited += min(now - self._looked, LOOK_SECONDS)
        self._looked, self._fetched = now, fetched
        if self._waited < WAIT_SECONDS:
            return True
        for partition in missing:
            partition.goal = partition.next
        self._looked = None
        return False


def _time_of(raw: Raw) -> int:
    return 0 if raw.carrier is None else raw.carrier.timestamp()[1]
