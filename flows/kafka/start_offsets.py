"""Where in a partition the job begins, and what happens where those records are gone or the topic is another one."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from flows.errors import UsageError
from flows.kafka.errors import KafkaJobError
from flows.kafka.position import Place, Position, name_of

LostOffsets: TypeAlias = Literal["stop", "continue"]
"""What to do where records are gone before they were read: stop, or continue at the first record that is there."""
BeginFrom: TypeAlias = Literal["state", "group", "start"]
"""Where to begin, whatever else is known: at the recovery state, at the group's offsets, or at the first record."""

OUR_MARK: Final = "freshrank"
"""First word of the metadata of the offsets that the job commits. The topic's id follows."""

logger = logging.getLogger(__name__)

_RESETS = {"earliest": 0, "smallest": 0, "beginning": 0, "latest": 1, "largest": 1, "end": 1}


class StartError(UsageError):
    """It is not clear where to begin: the operator has to choose."""


class Committed(NamedTuple):
    """What a group has committed for a partition."""

    offset: int
    """Negative where there is none."""
    metadata: str

    @property
    def is_ours(self) -> bool:
        """Whether a job of version 0.2.0 or later has committed it."""
        return self.metadata.startswith(OUR_MARK)

    @property
    def topic_id(self) -> str | None:
        """The topic's id when it was committed, if it says so."""
        return self.metadata.removeprefix(OUR_MARK).strip() or None if self.is_ours else None


class StartOffsets:
    """Finds the offset at which each partition is begun.

    It is that of the recovery state, else the group's committed offset, else what `auto.offset.reset` says. A
    partition that was added since others were committed begins at its first record: nobody has had its events yet.

    Args:
        group: The group, for messages.
        reset: librdkafka's `auto.offset.reset`.
        lost: What to do where the records are gone.
        begin_from: Where to begin, if the operator has chosen.
        skipped: Counts the records that were passed over, by partition.
    """

    def __init__(
        self, group: object, reset: str, lost: LostOffsets, begin_from: BeginFrom | None, skipped: Counter[Place]
    ) -> None:
        self.group = group
        self.reset = reset
        self.lost = lost
        self.begin_from = begin_from
        self.skipped = skipped
        self.committed: dict[Place, Committed] = {}
        self.topic_ids: Mapping[str, str] = {}
        """The ids that the topics have now."""

    def resolve(self, place: Place, saved: Position | None, low: int, high: int, *, is_new: bool = False) -> int:
        """Return the offset to begin at.

        Args:
            place: The partition.
            saved: The recovery state that holds its offset, if there is one.
            low: Offset of the first record that it holds.
            high: Offset of the next record to come.
            is_new: It was added while the job runs.

        Raises:
            KafkaJobError: There is no offset to begin at, or its record is gone.
            StartError: The group's offset was changed by somebody else.
        """
        committed = self.committed.get(place, Committed(-1, ""))
        if saved is not None and self.begin_from is None:
            self._check_reset(place, saved, committed)
        if saved is not None and self.begin_from in (None, "state"):
            start, origin, topic_id = saved.offsets[place], "the recovery state", saved.topic_ids.get(place[0])
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
        """Refuse to begin with an empty state where the group has read before; called when all partitions are open.

        Args:
            is_resumed: Whether the recovery directory had a state of any partition.

        Raises:
            StartError: The state is empty, the group has offsets, and nobody has chosen.
        """
        found = {place: each.offset for place, each in self.committed.items() if each.offset > 0}
        if is_resumed or self.begin_from is not None or not found:
            return
        place, offset = max(found.items(), key=lambda item: item[1])
        raise StartError(
            f"the recovery directory holds no state, but group {self.group!r} has read {name_of(place)} to offset"
            f" {offset:,}: the model would be empty. Restore the directory; or start once with `freshrank run"
            " --from-start` to learn the topic from its first record, or with `--from-group` to learn only what is new."
        )

    def handle_gap(self, place: Place, offset: int, origin: str, low: int, high: int) -> int:
        """Return the offset to go on at, where the record at `offset` is not there; see `begin`."""
        if offset > high:
            # Nothing tells which of the records that are there the job has had.
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
