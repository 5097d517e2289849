"""Counts of what happened to events, for progress, logs, metrics and the report.

The flow's thread writes these plain numbers, which costs nanoseconds; other threads only read them.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from flows.messages import RecordPosition
from recmodels.exploration import Explorer
from recmodels.rules.tally import Tally

MOST_TYPES: Final = 100
"""Number of types of event with counters of their own. Further types share one, since a type may be any text."""
OTHER_TYPES: Final = "(other types)"
SAMPLE_BYTES: Final = 1_024
"""Number of bytes that are kept of the first reject of each kind."""


class Fault(NamedTuple):
    """The first record that was rejected for a reason."""

    source: str
    raw: bytes | None


@dataclass
class Counters:
    """Counts since the process started.

    Each record counts in exactly one field: learned, rejected, ignored, duplicate, held back, or one of the kinds item
    event, erasure and request.
    """

    received: int = 0
    """Records that the source handed over, counted where it is watched (`flows.monitoring.instrumented_source`)."""
    learned: int = 0
    undone: int = 0
    """Events, among the learned, that took an earlier one back."""
    not_undone: int = 0
    """Events, among the learned, that found nothing to take back. They are learned as events against their item."""
    item_events: int = 0
    forgotten: int = 0
    requests: int = 0
    """Requests for lists. Each was answered."""
    requests_of_replay: int = 0
    """Requests, among them, that a replay inserted before visits."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Valid records that are not events, such as tombstones, by reason."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Rejects by reason."""
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rejects by reason and field."""
    samples: dict[tuple[str, str], Fault] = field(default_factory=dict)
    """The first reject by reason and field."""
    event_types: Counter[str] = field(default_factory=Counter)
    """Interactions by type of event, without repeats and rejects."""
    duplicate: int = 0
    left_out: int = 0
    """Interactions that a replay's `where` removes."""
    late: int = 0
    """Late events. They are learned, too."""
    ahead: int = 0
    """Events with a time far ahead of all others, learned as of the watermark."""
    held_back: int = 0
    """Events of users who act like bots: neither learned nor answered."""
    emitted: int = 0
    suppressed: int = 0
    """Lists that the emission policy did not send."""
    fallbacks: int = 0
    """Fallback lists, among the emitted."""
    refreshed: int = 0
    """Lists, among the emitted, that were refreshed without an event of their user."""
    withdrawn: int = 0
    """Tombstones, among the emitted, for users who were idle too long."""
    related: int = 0
    """Lists of related items that went out, tombstones too."""
    trending: int = 0
    """Lists of trending items that went out, tombstones too."""
    redelivered: int = 0
    """Lists, among the emitted, that were on the output topic already when the job resumed."""
    held: dict[tuple[str, int], int] = field(default_factory=dict)
    """Offset of the last event with a list on the output topic when the job resumed, by topic and partition."""
    scored: int = 0
    """Events whose user's list just before was known."""
    hits: int = 0
    """Events whose item was in that list."""
    rules: Tally | None = None
    """What rules did to lists. None: there are no rules."""
    earlier_rules: dict[str, Any] | None = None
    """What they did in an earlier process of the same replay, until it is taken over."""
    explorer: Explorer | None = None
    """Counts slots with an item on trial. None: nothing is explored."""
    event_time: float | None = None
    """The watermark: the largest trusted event time in Unix seconds."""

    def note_rules(self, tally: Tally | None, earlier: dict[str, Any] | None = None) -> None:
        """Take the tally of the rules, and what they did in an earlier process, in any order.

        Args:
            tally: Counts on. None: it is known already, or there are no rules.
            earlier: Counts of an earlier process. None: there is none, or they are known already.
        """
        self.rules, self.earlier_rules = tally or self.rules, earlier or self.earlier_rules
        if self.rules is not None and self.earlier_rules is not None:
            self.rules.take_over(self.earlier_rules)
            self.earlier_rules = None

    @property
    def read(self) -> int:
        """Number of records that came in."""
        taken = self.learned + self.item_events + self.forgotten + self.requests - self.requests_of_replay
        return taken + self.rejected.total() + self.ignored.total() + self.duplicate + self.held_back

    def note_reject(self, source: str, reason: str, field: str, raw: bytes | None) -> None:
        """Count a reject, and keep the first of its kind.

        Args:
            source: Position of the record.
            reason: One of the fixed reasons.
            field: Name of the invalid field, or empty.
            raw: Bytes of the record.
        """
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
        """Return the reasons of rejects with the invalid fields: `20 missing field user`."""
        return ", ".join(f"{count:,} {reason} {field}".rstrip() for (reason, field), count in self.faults.most_common())

    def is_redelivered(self, at: RecordPosition | None) -> bool:
        """Say whether the list of an event was on the output topic already when the job resumed.

        >>> counters = Counters(held={("events", 0): 7})
        >>> [counters.is_redelivered(("events", 0, offset)) for offset in (6, 7, 8)], counters.held
        ([True, True, False], {})
        """
        if at is None:
            return False
        topic, partition, offset = at
        last = self.held.get((topic, partition))
        if last is None:
            return False
        if offset > last:
            del self.held[topic, partition]  # passed: it is not asked about again
            return False
        return True

    def sentence(self) -> str:
        """Return the counts as one line, without those that are 0."""
        parts = [f"{self.learned:,} events learned", f"{self.emitted:,} lists emitted"]
        rejected = self.rejected.total()
        for count, what in (
            (self.redelivered, "of them a second time"),
            (self.requests, "of them answers to requests"),
            (self.fallbacks, "of them fallback lists"),
            (self.refreshed, "of them while their user was away"),
            (self.withdrawn, "of them withdrawals"),
            (self.related, "lists of related items"),
            (self.trending, "lists of trending items"),
            (self.undone, "events taken back"),
            (self.not_undone, "that were to take one back and found none"),
            (self.item_events, "item events"),
            (self.forgotten, "users forgotten"),
            (self.suppressed, "lists kept in"),
            (0 if self.rules is None else self.rules.short, "lists that rules left shorter"),
            (0 if self.rules is None else self.rules.emptied, "of them empty"),
            (0 if self.explorer is None else self.explorer.totals[0], "slots of items on trial answered"),
            (0 if self.explorer is None else self.explorer.totals[1], "of them by taking the item"),
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


def describe_types(
    types: Mapping[str, int],
    rewards: Mapping[str, float],
    by_value: Collection[str],
    undo: Mapping[str, str] | None = None,
) -> list[str]:
    """Return sentences about the types of event: their counts and rewards, and the types without a reward of their own.

    Args:
        types: Number of events by type.
        rewards: Reward by type.
        by_value: Types whose reward is multiplied by the value.

    >>> print(*describe_types({"view": 20, "refund": 3}, {"view": 0.2, "return": -1.0}, ()), sep="\\n")
    event types: view 20 (reward 0.2), refund 3 (reward 1, not named)
    No reward names refund, so that each counts 1. If that is wrong, set it: rewards = { "refund" = 0.2 }; below 0 it
    speaks against the item. If it takes another type back: undo = { "refund" = "view" }.
    >>> describe_types({"like": 20, "unlike": 3}, {}, (), {"unlike": "like"})[0]
    'event types: like 20 (reward 1, not named), unlike 3 (takes back like)'
    """
    told, undo = [], undo or {}
    unnamed = [name for name in types if name not in rewards and name not in undo]
    for name, count in sorted(types.items(), key=lambda each: -each[1]):
        if name in undo:
            told.append(f"{name} {count:,} (takes back {undo[name]})")
            continue
        said = f"reward {rewards.get(name, 1.0):g}" + (" × value" if name in by_value else "")
        told.append(f"{name} {count:,} ({said}{', not named' if name in unnamed else ''})")
    lines = [f"event types: {', '.join(told)}"] if told else []
    if unnamed and len(types) > 1:
        alike = {name: known for name in unnamed for known in rewards if known.lower() == name.lower()}
        meant = "".join(f" {name} differs from {known} in its case." for name, known in alike.items())
        lines.append(
            f"No reward names {', '.join(unnamed)}, so that each counts 1.{meant} If that is wrong, set it: "
            f'rewards = {{ "{unnamed[-1]}" = 0.2 }}; below 0 it speaks against the item. '
            f'If it takes another type back: undo = {{ "{unnamed[-1]}" = "{_others(types, unnamed[-1])}" }}.'
        )
    return lines


def _others(types: Mapping[str, int], name: str) -> str:
    """Return the commonest type but one."""
    return max((other for other in types if other != name), key=lambda other: types[other])
