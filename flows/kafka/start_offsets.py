"""Start offsets: where a partition begins, and what happens if those records are gone or the topic was recreated."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from flows.errors import UsageError
from flows.kafka.errors import KafkaJobError
from flows.kafka.position import Place, Position, name_of

LostOffsets: TypeAlias = Literal["stop", "continue"]
"""What to do if retention removed records before they were read: stop, or continue at the first record left."""
BeginFrom: TypeAlias = Literal["state", "group", "start"]
"""The operator's choice of the start: the recovery state, the group's offsets, or the first record."""

OUR_MARK: Final = "freshrank"
"""First word of the metadata that the job commits with an offset. The topic's id follows."""

logger = logging.getLogger(__name__)

_RESETS = {"earliest": 0, "smallest": 0, "beginning": 0, "latest": 1, "largest": 1, "end": 1}


class StartError(UsageError):
    """The start offset is ambiguous, and the operator has to choose."""


class Committed(NamedTuple):
    """Offset and metadata that a group has committed for a partition."""

    offset: int
    """Negative if there is none."""
    metadata: str

    @property
    def is_ours(self) -> bool:
        """Whether a job of version 0.2.0 or later committed the offset."""
        return self.metadata.startswith(OUR_MARK)

    @property
    def topic_id(self) -> str | None:
        """The topic's id at the time of the commit, if the metadata has it."""
        return self.metadata.removeprefix(OUR_MARK).strip() or None if self.is_ours else None


class StartOffsets:
    """Finds the start offset of each partition.

    It is the offset of the recovery state, else the one behind a backfill, else the group's committed offset, else the
    one of `auto.offset.reset`. A partition that was added after others were committed starts at its first record, since
    nothing has read it yet.

    Args:
        group: Name of the group, for messages.
        reset: librdkafka's `auto.offset.reset`.
        lost: What to do if the records are gone.
        begin_from: The operator's choice, if there is one.
        skipped: Counts the skipped records, by partition.
        begin_at: Offsets behind a backfill, for partitions without a recovery state.
    """

    def __init__(
        self,
        group: object,
        reset: str,
        lost: LostOffsets,
        begin_from: BeginFrom | None,
        skipped: Counter[Place],
        begin_at: Mapping[Place, int] | None = None,
    ) -> None:
        self.group = group
        self.reset = reset
        self.lost = lost
        self.begin_from = begin_from
        self.skipped = skipped
        self.begin_at = begin_at or {}
        self.committed: dict[Place, Committed] = {}
        self.topic_ids: Mapping[str, str] = {}
        """The present ids of the topics."""

    def resolve(self, place: Place, saved: Position | None, low: int, high: int, *, is_new: bool = False) -> int:
        """Return the start offset of a partition.

        Args:
            place: The partition.
            saved: The recovery state with its offset, if there is one.
            low: Offset of the first record in the partition.
            high: Offset of the next record to come.
            is_new: Whether the partition was added while the job runs.

        Raises:
            KafkaJobError: There is no start offset, or its record is gone.
            StartError: Another program has changed the group's offset.
        """
        committed = self.committed.get(place, Committed(-1, ""))
        if saved is not None and self.begin_from is None:
            self._check_reset(place, saved, committed)
        if saved is not None and self.begin_from in (None, "state"):
            start, origin, topic_id = saved.offsets[place], "the recovery state", saved.topic_ids.get(place[0])
        elif saved is None and place in self.begin_at:
            start, origin, topic_id = self.begin_at[place], "behind the backfill", None
        elif self.begin_from == "start":
            start, origin, topic_id = low, "--from-start", None
        elif committed.offset >= 0:
            start, origin, topic_id = committed.offset, f"group {self.group!r}", committed.topic_id
        elif is_new or any(each.offset >= 0 for other, each in self.committed.items() if other[0] == place[0]):
            start, origin, topic_id = low, "a new partition, from its start", None
        elif self.reset in _RESETS:
            start, origin, topic_id = (low, high)[_RESETS[self.reset]], f"auto.offset.reset {self.reset}", None
        else:
            raise KafkaJobError(
                f"{name_of(place)}: expected a recovery state or an offset of group {self.group!r} to start from, found"
                f" neither, and auto.offset.reset is {self.reset!r}. Set `start` to earliest or latest."
            )
        if topic_id is not None and topic_id != self.topic_ids.get(place[0], topic_id):
            return self._begin_anew(place, start, origin, low)
        if not low <= start <= high:
            return self.handle_gap(place, start, origin, low, high)
        logger.info("%s: reading from offset %d (%s)", name_of(place), start, origin)
        return start

    def check_state(self, is_resumed: bool) -> None:
        """Refuse an empty state if the group has read before. Call it when all partitions are open.

        Args:
            is_resumed: Whether the recovery directory had a state of any partition.

        Raises:
            StartError: The state is empty, the group has offsets, and the operator has not chosen.
        """
        found = {place: each.offset for place, each in self.committed.items() if each.offset > 0}
        if is_resumed or self.begin_from is not None or self.begin_at or not found:
            return
        place, offset = max(found.items(), key=lambda item: item[1])
        raise StartError(
            f"the recovery directory holds no state, but group {self.group!r} has read {name_of(place)} to offset"
            f" {offset:,}: the model would be empty. Restore the directory; or start once with `freshrank run"
            " --from-start` to learn the topic from its first record, or with `--from-group` to learn only what is new."
        )

    def handle_gap(self, place: Place, offset: int, origin: str, low: int, high: int) -> int:
        """Return the offset to continue at if there is no record at `offset`. Arguments are those of `resolve`."""
        if offset > high:
            # Nothing shows which of the present records the job has read.
            raise KafkaJobError(
                f"{name_of(place)}: expected to go on at offset {offset} ({origin}), but the topic holds {low} to"
                f" {high}: it is shorter than it was, or another of the same name. Restore it, or start once with"
                " `freshrank run --from-start`."
            )
        gone = low - offset
        if self.lost == "stop":
            raise KafkaJobError(
                f"{name_of(place)}: expected to go on at offset {offset} ({origin}), but the topic holds {low} to"
                f" {high}: {gone} records are gone, as its retention removed them first. Restore them, or accept the"
                " gap: set `lost_offsets` to continue."
            )
        self.skipped[place] += gone
        logger.warning(
            "%s: %d records are gone, as the topic's retention removed them first: passed over from offset %d (%s)"
            " to %d (`lost_offsets` is continue)",
            name_of(place), gone, offset, origin, low,
        )  # fmt: skip
        return low

    def _check_reset(self, place: Place, saved: Position, committed: Committed) -> None:
        kept = saved.offsets[place]
        if committed.offset < 0 or committed.is_ours or committed.offset == kept:
            return
        if saved.foreign is None or committed.offset == saved.foreign.get(place):
            return
        raise StartError(
            f"{name_of(place)}: somebody has set group {self.group!r} to offset {committed.offset:,}, but the recovery"
            f" state goes on at {kept:,}. Start once with `freshrank run --from-group` to obey the group (the model"
            " keeps what it has learned), or with `--from-state` to ignore the change."
        )

    def _begin_anew(self, place: Place, offset: int, origin: str, low: int) -> int:
        said = f"topic {place[0]!r} was deleted and made anew since the job read it to offset {offset:,} ({origin})"
        if self.lost == "stop":
            raise KafkaJobError(
                f"{name_of(place)}: {said}. To keep the model and read the new topic from its first record, set"
                " `lost_offsets` to continue; to learn anew, set `recovery` to another directory."
            )
        logger.warning("%s: %s; reading from offset %d (`lost_offsets` is continue)", name_of(place), said, low)
        return low
