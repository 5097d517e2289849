"""Metrics of the slow member: age and loss of its weights, swaps, and what its trainer does."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override


class SlowCollector(Collector):
    """Collects metrics of a slow member.

    Args:
        figures: Returns the figures of the member, as `SlowMember.figures` does. Empty: there is none.
    """

    def __init__(self, figures: Callable[[], Mapping[str, float]]) -> None:
        self.figures = figures

    @override
    def collect(self) -> Iterator[Metric]:
        figures = self.figures()
        if not figures:
            return
        age = GaugeMetricFamily("freshrank_slow_age_events", "Events since the weights in use took their data.")
        if "age_events" in figures:
            age.add_metric([], figures["age_events"])
        yield age
        loss = GaugeMetricFamily("freshrank_slow_loss", "Loss of the slow member in nats.", labels=["of"])
        for of, name in (("live", "loss"), ("training", "training_loss")):
            loss.add_metric([of], figures[name])
        yield loss
        trusted = "Whether the blend has taken the slow member's column. 0: it is on probation."
        yield GaugeMetricFamily("freshrank_slow_trusted", trusted, figures["trusted"])
        swaps = CounterMetricFamily("freshrank_slow_swaps", "New weights of the slow member.", labels=["outcome"])
        for outcome, name in (("swapped", "swaps"), ("promoted", "promoted"), ("rolled_back", "rolled_back")):
            swaps.add_metric([outcome], figures[name])
        yield swaps
        yield GaugeMetricFamily("freshrank_slow_training", "Whether a training is at work.", figures["training"])
        yield CounterMetricFamily("freshrank_slow_failures", "Trainers that died.", figures["failures"])
