"""Metrics of a shard: what it tells its peers, what it learns from them, and how far behind it is."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from flows.shards.link import ShardLink

REASONS: Final = ("garbage", "misfit", "damaged", "repeated", "old generation")


class ShardCollector(Collector):
    """Collects metrics from the link of a shard.

    Args:
        link: The link to the peers.
    """

    def __init__(self, link: ShardLink) -> None:
        self.link = link

    @override
    def collect(self) -> Iterator[Metric]:
        link, figures = self.link, self.link.figures
        yield CounterMetricFamily("freshrank_deltas_sent", "Messages to the other shards.", figures.sent)
        yield CounterMetricFamily("freshrank_deltas_sent_bytes", "Bytes of these messages.", figures.sent_bytes)
        yield CounterMetricFamily("freshrank_deltas_told_events", "Events in these messages.", figures.told)
        yield CounterMetricFamily(
            "freshrank_relearned", "Events learned again that the other shards knew.", figures.relearned
        )
        yield CounterMetricFamily("freshrank_moved", "Events of users who came from another partition.", figures.moved)
        yield CounterMetricFamily("freshrank_unkeyed", "Interactions whose record has no key.", figures.unkeyed)
        peers = link.shard.peers
        yield _by("deltas_applied_events", "Events learned from another shard.", "peer", figures.applied, peers)
        yield _by("deltas_lost", "Messages of another shard that were gone.", "peer", figures.lost, peers)
        yield _by("deltas_refused", "Messages that were not learned.", "reason", figures.refused, REASONS)
        yield _by(
            "peer_snapshots_taken_over",
            "Snapshots of another shard that were taken over.",
            "peer",
            figures.taken_over,
            peers,
        )
        yield CounterMetricFamily("freshrank_peer_snapshots_written", "Snapshots for peers.", figures.snapshots_written)
        yield CounterMetricFamily(
            "freshrank_peer_snapshots_failed", "Snapshots for peers that were not written.", figures.snapshots_failed
        )
        behind = GaugeMetricFamily("freshrank_peer_lag_deltas", "Messages not learned yet.", labels=["peer"])
        for peer, count in link.behind().items():
            behind.add_metric([str(peer)], count)
        yield behind
        silent = GaugeMetricFamily(
            "freshrank_peer_silent_seconds", "Time since the last message of another shard.", labels=["peer"]
        )
        for peer, heard in dict(figures.heard).items():
            silent.add_metric([str(peer)], link.clock() - heard)
        yield silent
        yield GaugeMetricFamily(
            "freshrank_generation", "Number of times that users were dealt out anew.", link.about.generation
        )


def _by(name: str, said: str, label: str, counts: Mapping[Any, int], every: Any) -> Metric:
    family = CounterMetricFamily(f"freshrank_{name}", said, labels=[label])
    for each in every:
        family.add_metric([str(each)], counts.get(each, 0))
    return family
