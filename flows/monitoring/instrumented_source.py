"""Instrumented source: counts records, and tracks positions, the time of the last poll, and the pause of each snapshot.

The engine polls a source only when all earlier records have gone through the flow. So polls show the progress of the
job, and the time between a snapshot and the next poll is the pause of the snapshot.
"""

import time
from collections import Counter
from datetime import datetime
from typing import Any, Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from typing_extensions import override

from flows.errors import JobError
from flows.messages import Raw
from flows.monitoring.counters import Counters
from flows.monitoring.histogram import LatencyHistogram

REJECT_WINDOW: Final = 1_000
"""Records over which the share of rejects is taken."""


class TooManyRejectsError(JobError):
    """More of the input is unreadable than the setting `max_reject_rate` allows."""


class InstrumentedSource(FixedPartitionedSource[Raw, Any]):
    """A source with counters around another source. The records stay the same.

    Args:
        source: The source.
        counters: Counts received records, and has the number of rejects.
        max_reject_rate: Stop the job when more than this share of `REJECT_WINDOW` records is rejected. 1 means never.

    Attributes:
        positions: Offset of the record to come next, by topic and partition, as soon as it is known.
        asked: `time.monotonic()` of the last poll. None before the first one.
        pauses: Seconds of pause at each snapshot, from the first partition's snapshot to the next poll.
        last_pause: The latest of them, in seconds.

    Raises:
        TooManyRejectsError: From the running flow.
    """

    def __init__(
        self, source: FixedPartitionedSource[Raw, Any], counters: Counters, max_reject_rate: float = 1.0
    ) -> None:
        self.source = source
        self.counters = counters
        self.max_reject_rate = max_reject_rate
        self.positions: dict[tuple[str, int], int] = {}
        self.asked: float | None = None
        self.pauses = LatencyHistogram()
        self.last_pause: float | None = None
        self.is_merged = False
        """Whether one partition gives the records of several."""
        self._paused_at: float | None = None
        self._window_received = 0
        self._window_rejected: Counter[str] = Counter()

    @override
    def list_parts(self) -> list[str]:
        return self.source.list_parts()

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> "_WatchedPart":
        return _WatchedPart(self.source.build_part(step_id, for_part, resume_state), self)

    def note_question(self) -> None:
        """Note a poll. If there was a snapshot, it is durable now."""
        self.asked = now = time.monotonic()
        if self._paused_at is not None:
            self.last_pause = now - self._paused_at
            self.pauses.add(self.last_pause)
            self._paused_at = None

    def note_records(self, batch: list[Raw]) -> None:
        """Count the records, and check the reject rate of earlier ones."""
        first, last = batch[0], batch[-1]
        self.positions[last.topic, last.partition] = last.offset + 1
        if first.partition != last.partition or first.topic != last.topic or self.is_merged:
            self.positions.update(((raw.topic, raw.partition), raw.offset + 1) for raw in batch)
        counters = self.counters
        if counters.received - self._window_received >= REJECT_WINDOW:
            self._check_rejects()
        counters.received += len(batch)

    def note_snapshot(self, state: Any) -> None:
        """Note a snapshot, at which the flow pauses. It has the positions of all Kafka partitions, idle ones too."""
        if self._paused_at is None:
            self._paused_at = time.monotonic()
        if isinstance(state, dict) and "offsets" in state:
            at = {name.rpartition("/"): offset for name, offset in state["offsets"].items()}
            self.positions.update(((topic, int(number)), offset) for (topic, _, number), offset in at.items())
            self.is_merged = len(at) > 1

    def _check_rejects(self) -> None:
        received, rejected = (
            self.counters.received - self._window_received,
            self.counters.rejected - self._window_rejected,
        )
        self._window_received, self._window_rejected = self.counters.received, self.counters.rejected.copy()
        if rejected.total() > self.max_reject_rate * received:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in rejected.most_common(3))
            raise TooManyRejectsError(
                f"expected at most {self.max_reject_rate:.1%} of the records to be rejected; of the last {received:,} "
                f"{rejected.total():,} were: {reasons}. The dead letters say which. Correct what writes them, or raise "
                "`max_reject_rate`, and start again: nothing is lost."
            )


class _WatchedPart(StatefulSourcePartition[Raw, Any]):
    def __init__(self, part: StatefulSourcePartition[Raw, Any], watched: InstrumentedSource) -> None:
        self._part = part
        self._watched = watched

    @override
    def next_batch(self) -> list[Raw]:
        self._watched.note_question()
        batch = list(self._part.next_batch())
        if batch:
            self._watched.note_records(batch)
        return batch

    @override
    def next_awake(self) -> datetime | None:
        return self._part.next_awake()

    @override
    def snapshot(self) -> Any:
        state = self._part.snapshot()
        self._watched.note_snapshot(state)
        return state

    @override
    def close(self) -> None:
        self._part.close()
