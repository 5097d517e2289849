"""Metrics of the job in Prometheus's format, collected at each scrape.

The flow itself only counts in `Counters`, and its source is instrumented (`flows.monitoring.instrumented_source`).
docs/operations.md explains each metric for operators.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from flows.formats.validation import Reason
from flows.monitoring.attribution import OUTCOMES, REASONS, Attribution
from flows.monitoring.challenge import Challenge
from flows.monitoring.counters import Counters
from flows.monitoring.histogram import LatencyHistogram
from flows.monitoring.instrumented_source import InstrumentedSource
from flows.monitoring.weights import WeightsObserver
from recmodels.rules.tally import Tally

EDGES: Final = [50e-6 * 2**doubling for doubling in range(19)]
"""Edges of the buckets of histograms in seconds, from 50 µs to 13 s."""

COUNTERS: Final = {
    "received": "Records that the source handed over.",
    "learned": "Interactions that the model has learned.",
    "undone": "Interactions, among the learned, that took an earlier one back.",
    "not_undone": "Interactions, among the learned, that were to take one back and found none.",
    "item_events": "Item events that the model has taken in.",
    "forgotten": "Erasures of users.",
    "requests": "Requests for lists; each was answered.",
    "duplicate": "Events dropped because their id had been seen.",
    "held_back": "Events of users who act like bots; neither learned nor answered.",
    "late": "Events older than the newest before them; learned all the same.",
    "ahead": "Events with a time far ahead of all others; learned as of the newest time that is believed.",
    "emitted": "Lists that the emission policy let out, tombstones too.",
    "suppressed": "Lists that the emission policy kept in.",
    "fallbacks": "Fallback lists, among the emitted.",
    "refreshed": "Lists, among the emitted, that no event of their user asked for.",
    "withdrawn": "Tombstones, among the emitted, for users who have been away too long.",
    "related": "Lists of related items that went out.",
    "trending": "Lists of trending items that went out.",
    "redelivered": "Lists, among the emitted, that the output topic held already when the job resumed.",
    "scored": "Events whose user's list just before was known.",
    "hits": "Events whose item was in that list.",
}
"""Fields of `Counters` that are metrics of their own, with their descriptions."""


class Writer(Protocol):
    """A sink that counts delivered and oversize messages."""

    delivered: int
    too_large: int


@dataclass(frozen=True)
class MetricSources:
    """Sources of the metrics.

    Attributes:
        info: Labels of the job, such as its version and model.
        labels: Labels of every metric of the job, such as its shard.
        others: Collectors of further metrics.
        lags: Returns the lag of each partition in records.
        writers: The sinks that count deliveries, by name.
        skipped: Number of records of each partition that retention removed before they were read.
        state: Directory with the state of the steps.
        weights: Observer of the model's weights. None: there is none.
        challenge: What is measured of a challenger. None: there is none.
        attribution: What came of the lists. None: it is not known.
    """

    counters: Counters
    latency: LatencyHistogram
    watched: InstrumentedSource
    info: Mapping[str, str] = field(default_factory=dict)
    lags: Callable[[], Mapping[tuple[str, int], int]] = dict
    writers: Mapping[str, Writer] = field(default_factory=dict)
    skipped: Mapping[tuple[str, int], int] = field(default_factory=dict)
    state: Path | None = None
    weights: WeightsObserver | None = None
    challenge: Challenge | None = None
    attribution: Attribution | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    others: Sequence[Collector] = ()


class JobCollector(Collector):
    """Collects metrics from the counters of a job."""

    def __init__(self, gathered: MetricSources) -> None:
        self._gathered = gathered

    @override
    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("freshrank", "What is running.", dict(self._gathered.info))
        yield from self._counters()
        yield from self._gauges()
        if self._gathered.challenge is not None:
            yield from _of_challenge(self._gathered.challenge)
        if self._gathered.attribution is not None:
            yield from _of_attribution(self._gathered.attribution)
        yield _histogram("list_latency", "From the arrival of an event to its encoded list.", self._gathered.latency)
        yield _histogram("epoch_pause", "How long snapshots held up the flow.", self._gathered.watched.pauses)

    def _counters(self) -> Iterator[Metric]:
        counters = self._gathered.counters
        for name, said in COUNTERS.items():
            yield CounterMetricFamily(f"freshrank_{name}", said, getattr(counters, name))
        rejected = CounterMetricFamily("freshrank_rejected", "Records that are no events.", labels=["reason"])
        counts = {str(reason): 0 for reason in Reason} | dict(counters.rejected)
        for reason, count in counts.items():
            rejected.add_metric([reason], count)
        yield rejected
        ignored = CounterMetricFamily("freshrank_ignored", "Records without an event, by reason.", labels=["reason"])
        for reason, count in ({"tombstone": 0, "delete": 0} | dict(counters.ignored)).items():
            ignored.add_metric([reason], count)
        yield ignored
        yield from _rules(counters)
        yield _explored(counters)
        types = CounterMetricFamily("freshrank_events", "Interactions by their type.", labels=["type"])
        for name, count in dict(counters.event_types).items():
            types.add_metric([name], count)
        yield types
        delivered = CounterMetricFamily("freshrank_delivered", "Messages that the brokers have.", labels=["to"])
        for to, writer in self._gathered.writers.items():
            delivered.add_metric([to], writer.delivered)
        yield delivered
        large = CounterMetricFamily("freshrank_too_large", "Messages too large for their topic.", labels=["to"])
        for to, writer in self._gathered.writers.items():
            large.add_metric([to], writer.too_large)
        yield large
        skipped = CounterMetricFamily(
            "freshrank_skipped", "Records gone before they were read.", labels=["partition", "topic"]
        )
        for (topic, number), count in dict(self._gathered.skipped).items():
            skipped.add_metric([str(number), topic], count)
        yield skipped

    def _gauges(self) -> Iterator[Metric]:
        gathered, watched = self._gathered, self._gathered.watched
        lag = GaugeMetricFamily("freshrank_lag_records", "Records not handed over yet.", labels=["partition", "topic"])
        for (topic, number), records in gathered.lags().items():
            lag.add_metric([str(number), topic], records)
        yield lag
        time_of = gathered.counters.event_time
        yield _gauge(
            "event_age_seconds", "Age of the newest event.", None if time_of is None else time.time() - time_of
        )
        asked = watched.asked
        idle = None if asked is None else time.monotonic() - asked
        yield _gauge("since_progress_seconds", "Time since the flow last asked for records.", idle)
        yield _gauge("last_epoch_pause_seconds", "How long the latest snapshot held up the flow.", watched.last_pause)
        if gathered.weights is not None:
            weights = GaugeMetricFamily("freshrank_weight", "Weight of a member, on average.", labels=["member"])
            for member, value in gathered.weights.weights.items():
                weights.add_metric([member], value)
            yield weights
            newest = max(gathered.weights.drifts, default=None)
            yield _gauge("newest_drift_event", "Number of the newest event after which the model saw drift.", newest)
        state = GaugeMetricFamily("freshrank_state_bytes", "State on the disk.", labels=["step"])
        for step, size in _sizes(gathered.state).items():
            state.add_metric([step], size)
        yield state


def _of_challenge(challenge: Challenge) -> Iterator[Metric]:
    hits, found = challenge.hits, challenge.hits.interval()
    learned, scored = challenge.learned, hits.scored
    yield CounterMetricFamily("freshrank_challenger_learned", "Events that the challenger has learned.", learned)
    yield CounterMetricFamily("freshrank_challenger_scored", "Events on which both models were scored.", scored)
    counted = CounterMetricFamily("freshrank_challenger_hits", "Of these, the hits of each model.", labels=["of"])
    counted.add_metric(["champion"], hits.champion_hits)
    counted.add_metric(["challenger"], hits.challenger_hits)
    yield counted
    said = "Hit rate of the challenger minus that of the champion, with its always-valid interval of 95 %."
    difference = GaugeMetricFamily("freshrank_challenger_difference", said, labels=["bound"])
    for bound, value in found._asdict().items():
        difference.add_metric([bound], value)
    yield difference
    yield _gauge("challenger_failed", "Whether the challenger has stopped after an error.", float(challenge.has_failed))


def _of_attribution(figures: Attribution) -> Iterator[Metric]:
    lists = CounterMetricFamily("freshrank_attributed_lists", "Lists by what is known of them.", labels=["state"])
    for state, count in (
        ("sent", figures.lists),
        ("closed", figures.closed),
        ("shown", figures.shown_lists),
        ("unanswered", figures.unanswered),
    ):
        lists.add_metric([state], count)
    yield lists
    outcomes = CounterMetricFamily("freshrank_outcomes", "Outcomes of lists.", labels=["outcome"])
    for name in OUTCOMES:
        outcomes.add_metric([name], figures.outcomes[name])
    yield outcomes
    lost = CounterMetricFamily("freshrank_unattributed", "Outcomes that belong to no list.", labels=["reason"])
    for name in REASONS:
        lost.add_metric([name], figures.unattributed[name])
    yield lost
    said = "Click rate and hit rates by variant, with their always-valid intervals of 95 %."
    rates = GaugeMetricFamily("freshrank_shown_rate", said, labels=["rate", "variant", "bound"])
    for (rate, variant), sequence in dict(figures.rates).items():
        for bound, value in sequence.interval()._asdict().items():
            rates.add_metric([rate, variant, bound], value)
    yield rates
    said = "Preference of users for the challenger in interleaved lists, from -1 to 1, with its always-valid interval."
    preference = GaugeMetricFamily("freshrank_preference", said, labels=["bound"])
    if figures.preference.count:
        for bound, value in figures.preference.interval()._asdict().items():
            preference.add_metric([bound], value)
    yield preference
    places = CounterMetricFamily("freshrank_shown_items", "Shown items by place, from 1.", labels=["place", "outcome"])
    for place, (shown, taken) in enumerate(zip(figures.shown, figures.taken, strict=True), start=1):
        if shown:
            places.add_metric([str(place), "shown"], shown)
            places.add_metric([str(place), "taken"], taken)
    yield places


def _rules(counters: Counters) -> Iterator[Metric]:
    """Return what rules did to lists. All are 0 in a job without rules."""
    tally = counters.rules or Tally()
    yield CounterMetricFamily("freshrank_rules_short", "Lists that rules left shorter than asked for.", tally.short)
    yield CounterMetricFamily("freshrank_rules_emptied", "Lists, among these, without any item.", tally.emptied)
    removed = CounterMetricFamily("freshrank_rules_removed", "Items that a rule kept out of a list.", labels=["rule"])
    for rule, count in dict(tally.removed).items():
        removed.add_metric([rule], count)
    yield removed


def _explored(counters: Counters) -> Metric:
    """Return the outcomes of slots with an item on trial. All are 0 in a job that explores nothing."""
    shown, taken = (0, 0) if counters.explorer is None else counters.explorer.totals
    slots = CounterMetricFamily(
        "freshrank_explored_slots", "Slots of items on trial with an outcome.", labels=["outcome"]
    )
    slots.add_metric(["shown"], shown)
    slots.add_metric(["taken"], taken)
    return slots


class Labelled(Collector):
    """Adds labels to every metric of a collector."""

    def __init__(self, collector: Collector, labels: Mapping[str, str]) -> None:
        self._collector = collector
        self._labels = labels

    @override
    def collect(self) -> Iterator[Metric]:
        for family in self._collector.collect():
            family.samples = [each._replace(labels={**each.labels, **self._labels}) for each in family.samples]
            yield family


def registry_of(gathered: MetricSources) -> CollectorRegistry:
    """Return a registry of the job's own, since the engine uses the client's global one."""
    registry = CollectorRegistry()
    for collector in (JobCollector(gathered), *gathered.others):
        registry.register(Labelled(collector, gathered.labels) if gathered.labels else collector)
    ProcessCollector(registry=registry)
    return registry


def _gauge(name: str, said: str, value: float | None) -> Metric:
    """Return a gauge, without a sample while its value is unknown."""
    family = GaugeMetricFamily(f"freshrank_{name}", said)
    if value is not None:
        family.add_metric([], value)
    return family


def _histogram(name: str, said: str, histogram: LatencyHistogram) -> Metric:
    buckets, count, total = histogram.cumulative(EDGES)
    named = [(repr(edge), float(below)) for edge, below in buckets]
    return HistogramMetricFamily(f"freshrank_{name}_seconds", said, [*named, ("+Inf", float(count))], sum_value=total)


def _sizes(state: Path | None) -> dict[str, int]:
    """Return the bytes in the directory of each step. Files may disappear meanwhile."""
    sizes: dict[str, int] = {}
    if state is None or not state.is_dir():
        return sizes
    for path in state.glob("*/*"):
        try:
            sizes[path.parent.name] = sizes.get(path.parent.name, 0) + path.stat().st_size
        except FileNotFoundError:
            continue
    return sizes
