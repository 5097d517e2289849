"""Where in a partition the job begins, and what happens where those records are gone."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Literal, TypeAlias

from flows.kafka.errors import KafkaJobError

LostOffsets: TypeAlias = Literal["stop", "continue"]
"""What to do where retention was faster than the job: stop, or continue at the first record that is there."""

logger = logging.getLogger(__name__)

_RESETS = {"earliest": 0, "smallest": 0, "beginning": 0, "latest": 1, "largest": 1, "end": 1}


class StartOffsets:
    """Finds the offset at which each partition of a topic is begun.

    It is that of the recovery state, else the group's committed offset, else what `auto.offset.reset` says. A
    partition that was added since others were committed begins at its first record: nobody has had its events yet.

    Args:
        topic: The topic.
        group: The group, for messages.
        reset: librdkafka's `auto.offset.reset`.
        lost: What to do where the records are gone.
        committed: The group's offset of each partition; negative where there is none.
        skipped: Counts the records that were passed over, by partition.
    """

    def __init__(
        self,
        topic: str,
        group: object,
        reset: str,
        lost: LostOffsets,
        committed: Mapping[int, int],
        skipped: Counter[int],
    ) -> None:
        self.topic = topic
        self.group = group
        self.reset = reset
        self.lost = lost
        self.committed = committed
        self.skipped = skipped

    def begin(self, number: int, resume: int | None, low: int, high: int, *, is_new: bool = False) -> int:
        """Return the offset to begin at.

        Args:
            number: The partition.
            resume: Its offset in the recovery state, if it is there.
            low: Offset of the first record that it holds.
            high: Offset of the next record to come.
            is_new: It was added while the job runs.

        Raises:
            KafkaTrouble: There is no offset to begin at, or its record is gone.
        """
        committed = self.committed.get(number, -1)
        if resume is not None:
            start, origin = resume, "the recovery state"
        elif committed >= 0:
            start, origin = committed, f"group {self.group!r}"
        elif is_new or any(offset >= 0 for offset in self.committed.values()):
            start, origin = low, "a new partition, from its start"
        elif self.reset in _RESETS:
            start, origin = (low, high)[_RESETS[self.reset]], f"auto.offset.reset {self.reset}"
        else:
            raise KafkaJobError(
                f"{self.topic}/{number}: expected a recovery state or an offset of group {self.group!r} to start from,"
                f" found neither, and auto.offset.reset is {self.reset!r}. Set `start` to earliest or latest."
            )
        if not low <= start <= high:
            return self.go_on(number, start, origin, low, high)
        logger.info("%s/%d: reading from offset %d (%s)", self.topic, number, start, origin)
        return start

    def go_on(self, number: int, offset: int, origin: str, low: int, high: int) -> int:
        """Return the offset to go on at, where the record at `offset` is not there; see `begin`."""
        if offset > high:
            # Nothing tells which of the records that are there the job has had.
            raise KafkaJobError(
                f"{self.topic}/{number}: expected to go on at offset {offset} ({origin}), but the topic holds {low} to"
                f" {high}: it is shorter than it was, or another of the same name. Restore it, or start with an empty"
                " `recovery` directory and another `group`."
            )
        gone = low - offset
        if self.lost == "stop":
            raise KafkaJobError(
                f"{self.topic}/{number}: expected to go on at offset {offset} ({origin}), but the topic holds {low} to"
                f" {high}: {gone} records are gone, as its retention removed them first. Restore them, or accept the"
                " gap: set `lost_offsets` to continue."
            )
        self.skipped[number] += gone
        logger.warning(
            "%s/%d: %d records are gone, as the topic's retention removed them first: passed over from offset %d (%s)"
            " to %d (`lost_offsets` is continue)",
            self.topic, number, gone, offset, origin, low,
        )  # fmt: skip
        return low
