"""Counts of what happened to events, for progress, logs and the report."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """What has happened since the process started. Every event that was read is in exactly one of: learned,
    rejected, duplicate, or it was an item event or an erasure."""

    learned: int = 0
    item_events: int = 0
    forgotten: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason."""
    duplicate: int = 0
    late: int = 0
    """Counted, but learned all the same."""
    emitted: int = 0
    suppressed: int = 0
    """Lists that the emission policy held back."""

    @property
    def read(self) -> int:
        """How many records came in."""
        return self.learned + self.item_events + self.forgotten + self.rejected.total() + self.duplicate

    def sentence(self) -> str:
        """Say it in one line, leaving out what did not happen."""
        parts = [f"{self.learned:,} events learned", f"{self.emitted:,} lists emitted"]
        rejected = self.rejected.total()
        for count, what in (
            (self.item_events, "item events"),
            (self.forgotten, "users forgotten"),
            (self.suppressed, "lists held back"),
            (self.duplicate, "repeats of an event id dropped"),
            (self.late, "late events"),
        ):
            if count:
                parts.append(f"{count:,} {what}")
        if rejected:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.rejected.most_common())
            parts.append(f"{rejected:,} rejected ({reasons})")
        return ", ".join(parts)
