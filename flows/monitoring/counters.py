"""Counts of what happened to events, for progress, logs, metrics and the report.

The flow's thread writes these plain numbers, which costs nanoseconds; other threads only read them.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Counters:
    """Counts since the process started. Every event that was read is in exactly one of: learned,
    rejected, duplicate, held back, or it was an item event, an erasure or a request."""

    received: int = 0
    """Records that the source handed over, counted where it is watched (`flows.monitoring.watched_source`)."""
    learned: int = 0
    item_events: int = 0
    forgotten: int = 0
    requests: int = 0
    """Requests for lists. Each was answered."""
    requests_of_replay: int = 0
    """Requests, among them, that a replay put before visits: no record asked for them."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason."""
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
        return taken + self.rejected.total() + self.duplicate + self.held_back

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
        if rejected:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.rejected.most_common())
            parts.append(f"{rejected:,} rejected ({reasons})")
        return ", ".join(parts)

    def counts(self) -> dict[str, int | dict[str, int]]:
        """Return all counts by their names, for a structured log."""
        numbers = {name: value for name, value in vars(self).items() if type(value) is int}
        return {**numbers, "rejected": dict(self.rejected)}
