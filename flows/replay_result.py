"""The result of a replay: metrics, counts, the lists of the latest users, and the report as a file says it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from flows.errors import how_to_install
from flows.evaluation.item_list_scorer import ItemListScorer
from flows.evaluation.outcomes import Outcomes
from flows.evaluation.protocol import Protocol
from flows.evaluation.ranking_metrics import metrics_at, series
from flows.monitoring.attribution import Attribution
from flows.monitoring.challenge import Challenge
from flows.monitoring.counters import Counters
from flows.monitoring.histogram import LatencyHistogram
from flows.monitoring.peak_memory import peak_rss_mb
from flows.monitoring.usability import LEAST_EVENTS, why_unusable
from flows.settings import Settings
from flows.shards.simulation import Exchange
from recmodels.evaluation.metrics import Calibration

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class ReplayResult:
    """Result of a replay."""

    path: str
    settings: Settings
    counters: Counters
    users: int
    items: int
    outcomes: Outcomes
    latency: LatencyHistogram
    seconds: float
    cpu_seconds: float
    """Of all threads of the process, while the flow ran."""
    last_lists: Mapping[str, Sequence[str]]
    """The lists of the latest users, the newest first."""
    damage: str | None
    """Damage of the log at which the replay ended. None if there was none."""
    protocol: Protocol = field(default_factory=Protocol)
    """The protocol. `hit_rate` and `served_hit_rate` are at the first of its `ks`."""
    calibration: Calibration | None = None
    """How far the scores of lists can be believed, if the model says that they are probabilities."""
    filled: int = 0
    """Lists that hold an item."""
    item_lists: ItemListScorer | None = None
    """What was measured of lists of items; None: the settings ask for none."""
    challenge: Challenge | None = None
    """What was measured of a challenger; None: the settings name none."""
    attribution: Attribution | None = None
    """What came of the lists; None: the settings do not ask for it."""
    exchange: Exchange | None = None
    """What the shards told each other; None: there was one."""
    first_measured: int = 0
    """Number of the first record that is measured, from 0. It is above 0 where an older version began the replay."""

    @property
    def problem(self) -> str | None:
        """Reason why the result is meaningless, in one line with what to do. None if it is not."""
        if self.settings.recovery is not None and not self.counters.received:
            return (
                f"expected records to learn; the replay kept in {self.settings.recovery} has read all of the log "
                "before. Name another recovery directory to replay the log anew."
            )
        found = why_unusable(self.counters)
        if found is None and not self.filled and self.counters.learned >= LEAST_EVENTS and self.items > 1:
            least = "" if self.settings.min_score is None else f" The setting min_score is {self.settings.min_score:g}."
            is_ruled = self.counters.rules is not None and self.counters.rules.emptied > 0
            advice = "Loosen the rules" if is_ruled else "Lower min_score"
            found = (
                f"expected lists with items; all {self.counters.learned:,} lists of the model {self.settings.model} "
                f"are empty.{least} {advice}, or choose another model."
            )
        return found

    @property
    def event_types(self) -> dict[str, dict[str, Any]]:
        """Types of event by name: how many came, the reward of each, and whether the settings name it."""
        rewards, by_value, undo = self.settings.rewards, self.settings.by_value, self.settings.undo
        return {
            name: {
                "events": count,
                "reward": rewards.get(name, 1.0),
                "named": name in rewards,
                "by_value": name in by_value,
                **({"takes_back": undo[name]} if name in undo else {}),
            }
            for name, count in self.counters.event_types.most_common()
        }

    @property
    def metrics(self) -> dict[str, float]:
        """The measures of quality, by their names."""
        metrics = metrics_at(self.protocol.ks, self.outcomes.arrays())
        return metrics if self.calibration is None else {**metrics, "ece": self.calibration.error}

    @property
    def hit_rate(self) -> float:
        """Hit rate of the model's own lists at the first of the protocol's `ks`."""
        return self.metrics[f"hit_rate@{self.protocol.ks[0]}"]

    @property
    def served_hit_rate(self) -> float:
        """Hit rate of the lists that a reader of the topic shows, at the first of the protocol's `ks`."""
        return self.metrics[f"served_hit_rate@{self.protocol.ks[0]}"]

    @property
    def messages_per_event(self) -> float:
        """Messages on the output topic for each interaction that was learned."""
        return self.counters.emitted / max(self.counters.learned, 1)

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a row for each scored event: the columns of `outcomes`, and whether it was a hit.

        `hit` says so of the list just before the event, `served_hit` of the one the output topic held; `time` is in
        Unix seconds.

        Raises:
            ImportError: pandas is not installed.

        >>> from flows.replay import replay
        >>> from flows.sample import EVENTS
        >>> result = replay(EVENTS, Settings(repeats="exclude", model="popularity"), limit=1_000)
        >>> frame = result.to_pandas()
        >>> len(frame), bool(frame.hit.mean() == result.hit_rate)
        (1000, True)
        >>> round(float(frame[frame.user_events == 0].hit.mean()), 3)  # strangers
        0.196
        """
        try:
            import pandas
        except ImportError:
            raise ImportError(
                f"to_pandas: expected pandas to be installed. Install it: {how_to_install('pandas')}."
            ) from None
        frame = pandas.DataFrame(self.outcomes.arrays())
        for column, positions in (("hit", frame["position"]), ("served_hit", frame["served"])):
            frame[column] = (positions >= 0) & (positions < self.protocol.ks[0])
        return frame

    def report(self) -> dict[str, Any]:
        """Return everything as the report file says it."""
        rejected = self.counters.rejected.total()
        events = self.counters.read - rejected
        to_us, protocol = 1e6, self.protocol
        report: dict[str, Any] = {
            "log": {
                "path": self.path,
                "events": events,
                "rejected": rejected,
                "users": self.users,
                "items": self.items,
            },
            "model": self.settings.model,
            "repeats": self.settings.repeats,
            "top": self.settings.top,
            "scored": len(self.outcomes),
            "metrics": self.metrics,
            "messages_per_event": self.messages_per_event,
            "seconds": self.seconds,
            "events_per_second": events / self.seconds if self.seconds else 0.0,
            "cpu_seconds": self.cpu_seconds,
            "latency_us": {
                "p50": self.latency.quantile(0.5) * to_us,
                "p99": self.latency.quantile(0.99) * to_us,
                "max": self.latency.highest * to_us,
            },
            "peak_rss_mb": peak_rss_mb(),
            "late": self.counters.late,
            "left_out": self.counters.left_out,
            "event_types": self.event_types,
            **self._item_lists(),
            **({} if self.challenge is None else {"challenger": self.challenge.report()}),
            **({} if self.attribution is None else {"attribution": self.attribution.report()}),
            **({} if self.exchange is None else {"shards": self.exchange.report()}),
            **self._explored(),
            **({} if self.counters.rules is None else {"rules": self.counters.rules.numbers()}),
            **({"first_measured": self.first_measured} if self.first_measured else {}),
            "protocol": asdict(protocol),
            **({} if self.calibration is None else {"reliability": [b._asdict() for b in self.calibration.bins()]}),
        }
        if protocol.window is not None:
            report["series"] = series(self.outcomes.arrays(), protocol.window, protocol.ks)
        return report

    def _explored(self) -> dict[str, Any]:
        """Return the outcomes of slots with an item on trial."""
        if self.counters.explorer is None:
            return {}
        shown, taken = self.counters.explorer.totals
        return {"explored": {"shown": shown, "taken": taken}}

    def _item_lists(self) -> dict[str, Any]:
        """Return what was measured of related and of trending items."""
        found, counters, events = self.item_lists, self.counters, max(self.counters.learned, 1)
        if found is None:
            return {}
        return {
            kind: {
                f"hit_rate@{found.k}": count.rate,
                "scored": count.scored,
                "lists": found.lists[kind],
                "messages_per_event": messages / events,
            }
            for kind, count, messages in (
                ("related", found.related, counters.related),
                ("trending", found.trending, counters.trending),
            )
            if getattr(self.settings, kind)
        }
