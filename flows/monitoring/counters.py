"""Counts of what happened to events, for progress, logs, metrics and the report.

The flow's thread writes these plain numbers, which costs nanoseconds; other threads only read them.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

MOST_TYPES: Final = 100
"""Types of event that are counted one by one. All others are counted together: a type may hold anything."""
OTHER_TYPES: Final = "(other types)"
SAMPLE_BYTES: Final = 1_024
"""Bytes of the first reject of each kind that are kept."""


class Fault(NamedTuple):
    """The first record that was rejected for a reason."""

    source: str
    raw: bytes | None


@dataclass
class Counters:
    """Counts since the process started. Every event that was read is in exactly one of: learned,
    rejected, ignored, duplicate, held back, or it was an item event, an erasure or a request."""

    received: int = 0
    """Records that the source handed over, counted where it is watched (`flows.monitoring.watched_source`)."""
    learned: int = 0
    item_events: int = 0
    forgotten: int = 0
    requests: int = 0
    """Requests for lists. Each was answered."""
    requests_of_replay: int = 0
    """Requests, among them, that a replay put before visits: no record asked for them."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Records that are no events and no faults, such as tombstones, by reason."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason."""
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rejects by reason and field."""
    samples: dict[tuple[str, str], Fault] = field(default_factory=dict)
    """The first reject by reason and field."""
    event_types: Counter[str] = field(default_factory=Counter)
    """Interactions by type of event, without repeats and rejects."""
    duplicate: int = 0
    left_out: int = 0
    """Interactions that a replay's `where` leaves out: as if they had not been in the log."""
    late: int = 0
    """Counted, but learned all the same."""
    ahead: int = 0
    """Events with a time far ahead of all others, learned as of the watermark."""
    held_back: int = 0
    """Events of users who act like bots: neither learned nor answered."""
    emitted: int = 0
    suppressed: int = 0
    """Lists that the emission policy kept in."""
    fallbacks: int = 0
    """Fallback lists, among the emitted."""
    refreshed: int = 0
    """Lists, among the emitted, that no event of their user asked for."""
    withdrawn: int = 0
    """Tombstones, among the emitted, for users who have been away too long."""
    redelivered: int = 0
    """Lists, among the emitted, that the output topic held already when the job resumed."""
    held: dict[str, int] = field(default_factory=dict)
    """Offset of the last event that the output topic had a list for when the job resumed, by `topic/partition`."""
    scored: int = 0
    """Events whose user's list just before was known."""
    hits: int = 0
    """Events whose item was in that list."""
    event_time: float | None = None
    """The watermark: the largest trusted event time in Unix seconds."""

    @property
    def read(self) -> int:
        """Number of records that came in."""
        taken = self.learned + self.item_events + self.forgotten + self.requests - self.requests_of_replay
        return taken + self.rejected.total() + self.ignored.total() + self.duplicate + self.held_back

    def note_reject(self, source: str, reason: str, field: str, raw: bytes | None) -> None:
        """Count a reject, and keep the first of its kind."""
        self.rejected[reason] += 1
        self.faults[reason, field] += 1
        if (reason, field) not in self.samples:
            self.samples[reason, field] = Fault(source, None if raw is None else raw[:SAMPLE_BYTES])

    def note_type(self, event: str) -> None:
        """Count an interaction by its type of event.

        >>> counters = Counters()
        >>> for number in range(102):
        ...     counters.note_type(f"type {number}")
        >>> len(counters.event_types), counters.event_types["(other types)"]
        (101, 2)
        """
        if event not in self.event_types and len(self.event_types) >= MOST_TYPES:
            event = OTHER_TYPES
        self.event_types[event] += 1

    def reasons(self) -> str:
        """Say why records were rejected, with the field at fault: `20 missing field user`."""
        return ", ".join(f"{count:,} {reason} {field}".rstrip() for (reason, field), count in self.faults.most_common())

    def is_redelivered(self, source: str) -> bool:
        """Say whether the output topic held the list that answers an event already when the job resumed.

        >>> counters = Counters(held={"events/0": 7})
        >>> [counters.is_redelivered(f"events/0/{offset}") for offset in (6, 7, 8)], counters.held
        ([True, True, False], {})
        """
        partition, _, offset = source.rpartition("/")
        last = self.held.get(partition)
        if last is None:
            return False
        if int(offset) > last:
            del self.held[partition]  # passed: it is not asked about again
            return False
        return True

    def sentence(self) -> str:
        """Say it in one line, leaving out what did not happen."""
        parts = [f"{self.learned:,} events learned", f"{self.emitted:,} lists emitted"]
        rejected = self.rejected.total()
        for count, what in (
            (self.redelivered, "of them a second time"),
            (self.requests, "of them answers to requests"),
            (self.fallbacks, "of them fallback lists"),
            (self.refreshed, "of them while their user was away"),
            (self.withdrawn, "of them withdrawals"),
            (self.item_events, "item events"),
            (self.forgotten, "users forgotten"),
            (self.suppressed, "lists kept in"),
            (self.duplicate, "repeats of an event id dropped"),
            (self.left_out, "left out by --where"),
            (self.held_back, "events held back, as their users act like bots"),
            (self.late, "late events"),
            (self.ahead, "events with a time far ahead"),
        ):
            if count:
                parts.append(f"{count:,} {what}")
        if self.ignored:
            parts.append(", ".join(f"{count:,} ignored ({reason})" for reason, count in self.ignored.most_common()))
        if rejected:
            parts.append(f"{rejected:,} rejected ({self.reasons()})")
        return ", ".join(parts)

    def counts(self) -> dict[str, int | dict[str, int]]:
        """Return all counts by their names, for a structured log."""
        numbers = {name: value for name, value in vars(self).items() if type(value) is int}
        return {
            **numbers,
            "ignored": dict(self.ignored),
            "rejected": dict(self.rejected),
            "event_types": dict(self.event_types),
        }


def describe_types(types: Mapping[str, int], rewards: Mapping[str, float], by_value: Collection[str]) -> list[str]:
    """Say which types of event came, how often and with which reward, and which of them no reward names.

    >>> print(*describe_types({"view": 20, "refund": 3}, {"view": 0.2, "return": -1.0}, ()), sep="\\n")
    event types: view 20 (reward 0.2), refund 3 (reward 1, not named)
    No reward names refund, so that each counts 1. If that is wrong, set it: rewards = { "refund" = 0.2 }; below 0 it
    speaks against the item.
    """
    told = []
    unnamed = [name for name in types if name not in rewards]
    for name, count in sorted(types.items(), key=lambda each: -each[1]):
        said = f"reward {rewards.get(name, 1.0):g}" + (" × value" if name in by_value else "")
        told.append(f"{name} {count:,} ({said}{', not named' if name in unnamed else ''})")
    lines = [f"event types: {', '.join(told)}"] if told else []
    if unnamed and len(types) > 1:
        alike = {name: known for name in unnamed for known in rewards if known.lower() == name.lower()}
        meant = "".join(f" {name} differs from {known} in its case." for name, known in alike.items())
        lines.append(
            f"No reward names {', '.join(unnamed)}, so that each counts 1.{meant} If that is wrong, set it: "
            f'rewards = {{ "{unnamed[-1]}" = 0.2 }}; below 0 it speaks against the item.'
        )
    return lines
