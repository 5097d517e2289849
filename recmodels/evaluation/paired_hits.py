"""Paired hits: two models scored on the same events, and the difference of their hit rates."""

from collections.abc import Mapping
from typing import Any

from recmodels.evaluation.bootstrap import Interval
from recmodels.evaluation.confidence_sequence import ConfidenceSequence


class PairedHits:
    """Hits of a champion and of a challenger on the same events.

    Events on which both hit or both miss say nothing of the difference. So its interval is narrow where the models
    agree on most events. It is valid at every look (`recmodels.evaluation.confidence_sequence`).

    Attributes:
        champion_hits, challenger_hits: Number of events whose item was in the list of each.
        wins: Number of events on which the challenger alone hit.
        losses: Number of events on which the champion alone hit.
        difference: Hit rate of the challenger minus that of the champion.

    >>> pair = PairedHits()
    >>> for event in range(1_000):
    ...     pair.update(event % 5 == 0, event % 4 == 0)
    >>> pair.scored, pair.champion_hit_rate, pair.challenger_hit_rate, pair.wins, pair.losses
    (1000, 0.2, 0.25, 200, 150)
    >>> pair.interval().holds_zero
    True
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.champion_hits = 0
        self.challenger_hits = 0
        self.wins = 0
        self.losses = 0
        self.difference = ConfidenceSequence(-1.0, 1.0)

    def update(self, champion_hit: bool, challenger_hit: bool) -> None:
        """Score one event."""
        self.champion_hits += champion_hit
        self.challenger_hits += challenger_hit
        self.wins += challenger_hit and not champion_hit
        self.losses += champion_hit and not challenger_hit
        self.difference.update(float(challenger_hit) - float(champion_hit))

    @property
    def scored(self) -> int:
        """Number of events."""
        return self.difference.count

    @property
    def champion_hit_rate(self) -> float:
        """Share of the events that the champion hit, or 0 without events."""
        return self.champion_hits / self.scored if self.scored else 0.0

    @property
    def challenger_hit_rate(self) -> float:
        """Share of the events that the challenger hit, or 0 without events."""
        return self.challenger_hits / self.scored if self.scored else 0.0

    def interval(self, level: float = 0.95) -> Interval:
        """Return the difference of the hit rates with its interval at this moment."""
        return self.difference.interval(level)

    def numbers(self) -> dict[str, float]:
        """Return the state as numbers."""
        counts = {name: getattr(self, name) for name in ("champion_hits", "challenger_hits", "wins", "losses")}
        return {**counts, **self.difference.numbers()}

    def take_over(self, numbers: Mapping[str, Any]) -> None:
        """Take over what `numbers` returned."""
        self.champion_hits, self.challenger_hits = int(numbers["champion_hits"]), int(numbers["challenger_hits"])
        self.wins, self.losses = int(numbers["wins"]), int(numbers["losses"])
        self.difference.take_over(numbers)
