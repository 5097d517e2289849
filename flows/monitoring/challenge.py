"""Challenge: what is measured of a challenger beside the champion, for metrics, logs and the report."""

from collections.abc import Callable
from typing import Any

from recmodels.evaluation.paired_hits import PairedHits


class Challenge:
    """What is known of a challenger. The flow's thread writes it, and others read it.

    Attributes:
        model: Specification of the challenger. Empty: there is none.
        champion: Specification of the champion.
        k: Length of the lists that count.
        share: Share of events on which both are scored.
        hits: Hits of both.
        learned: Number of events that the challenger has learned.
        failure: Why the challenger has stopped, in one line. None: it has not.
        finish: Has the challenger learn the events that wait for their lot. Call it when the flow has ended.

    >>> challenge = Challenge()
    >>> challenge.model, challenge.k = "popularity", 10
    >>> for event in range(5_000):
    ...     challenge.hits.update(event % 5 == 0, event % 10 == 0)
    >>> challenge.sentence()
    'challenger popularity: hit rate 0.1000 against 0.2000 of the champion on 5,000 events. Difference -0.1000,
    always-valid 95 % interval -0.1161 to -0.0839: the challenger is worse.'
    """

    name = "challenger"

    def __init__(self) -> None:
        self.model = ""
        self.champion = ""
        self.k = 10
        self.share = 1.0
        self.hits = PairedHits()
        self.learned = 0
        self.failure: str | None = None
        self.finish: Callable[[], None] = lambda: None

    @property
    def has_failed(self) -> bool:
        """Whether the challenger has stopped."""
        return self.failure is not None

    def verdict(self) -> str:
        """Say what the interval says: "better", "worse" or "not told apart"."""
        found = self.hits.interval()
        return "better" if found.low > 0.0 else "worse" if found.high < 0.0 else "not told apart"

    def sentence(self) -> str:
        """Return what is known in one line."""
        if not self.hits.scored:
            return f"challenger {self.model}: no event was scored yet."
        hits, found = self.hits, self.hits.interval()
        verdict = self.verdict()
        said = "the two are not told apart yet" if verdict == "not told apart" else f"the challenger is {verdict}"
        return (
            f"challenger {self.model}: hit rate {hits.challenger_hit_rate:.4f} against {hits.champion_hit_rate:.4f} of "
            f"the champion on {hits.scored:,} events. Difference {found.mean:+.4f}, always-valid 95 % interval "
            f"{found.low:+.4f} to {found.high:+.4f}: {said}."
        )

    def report(self) -> dict[str, Any]:
        """Return everything as the report of a replay says it."""
        hits, found = self.hits, self.hits.interval()
        return {
            "model": self.model,
            "champion": self.champion,
            "share": self.share,
            "learned": self.learned,
            "scored": hits.scored,
            f"champion_hit_rate@{self.k}": hits.champion_hit_rate,
            f"challenger_hit_rate@{self.k}": hits.challenger_hit_rate,
            "wins": hits.wins,
            "losses": hits.losses,
            "difference": {**found._asdict(), "level": 0.95},
            "verdict": self.verdict(),
            "failure": self.failure,
        }
