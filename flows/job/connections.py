"""Connects the pipeline to Kafka: source, sinks, counters and metrics."""

import atexit
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from flows.formats.dead_letters import of_large_list, shorten, to_kafka
from flows.job.decoder import decoder_of
from flows.job.preflight import require_distinct_topics
from flows.kafka.errors import secrets_in
from flows.kafka.lag import Lag
from flows.kafka.outage import OutagePolicy
from flows.kafka.sink import KafkaSink, OversizeFallback
from flows.kafka.source import KafkaSource
from flows.kafka.start_offsets import BeginFrom
from flows.monitoring.counters import Counters
from flows.monitoring.http_server import served
from flows.monitoring.logging_setup import set_up_logging
from flows.monitoring.metrics import MetricSources, registry_of
from flows.monitoring.watched_source import WatchedSource
from flows.monitoring.weights import WeightsObserver
from flows.pipeline import Connections
from flows.settings import Settings
from flows.state.store import Store

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class KafkaConnections(Connections):
    """The ends of a flow between Kafka topics, by what they are."""

    reader: KafkaSource
    watched: WatchedSource
    writers: dict[str, KafkaSink]
    weights: WeightsObserver | None = None
    """Watches the weights of the model, where metrics are served."""


def kafka_connections(
    settings: Settings,
    stop: threading.Event | None = None,
    stop_at_end: bool = False,
    begin_from: BeginFrom | None = None,
) -> KafkaConnections:
    """Connect a flow to Kafka topics.

    Args:
        settings: The brokers, topics and group.
        stop: Ends the flow when it is set.
        stop_at_end: End where the topic ended when the flow began.
        begin_from: Where to begin, if the operator has chosen.
    """
    client = settings.client()
    reading = {**client, "group.id": settings.group, "auto.offset.reset": settings.start}
    patience = OutagePolicy(settings.broker_patience, stop)
    reader = KafkaSource(
        reading,
        settings.input_topic,
        batch_size=settings.batch,
        stop=stop,
        stop_at_end=stop_at_end,
        patience=patience,
        lost=settings.lost_offsets,
        begin_from=begin_from,
        expects_state=settings.recovery is not None,
    )
    counters = Counters()
    watched = WatchedSource(reader, counters, settings.max_reject_rate)
    rejects = KafkaSink(client, settings.dead_letter_topic, patience=patience, shorten=shorten)
    instead = OversizeFallback(rejects, of_large_list) if settings.too_large == "dead-letter" else None
    lists = KafkaSink(client, settings.output_topic, patience=patience, instead=instead)
    weights = WeightsObserver() if settings.metrics_port else None
    return KafkaConnections(
        watch=weights,
        weights=weights,
        source=watched,
        decoder=decoder_of(settings),
        lists=lists,
        dead_letters=rejects,
        dead_letter=to_kafka,
        counters=counters,
        reader=reader,
        watched=watched,
        writers={"lists": lists, "dead_letters": rejects},
    )


def connections_for_engine(settings: Settings) -> KafkaConnections:
    """Connect a flow that the engine's own command runs: metrics and health are served as long as the process lives.

    Args:
        settings: Everything. The engine has the recovery directory's snapshots, the steps keep their state beside them.

    Raises:
        PortError: Metrics cannot be served where the settings say.
        UsageError: A topic is both read and written.
    """
    set_up_logging(settings.log_format, secrets_in(settings.client()))
    require_distinct_topics(settings)
    connections = kafka_connections(settings)
    if (directory := settings.recovery) is not None:
        connections.store = lambda step: Store(directory / "state" / step)
    serving = ExitStack()
    serving.enter_context(serve_metrics(settings, connections))
    atexit.register(serving.close)
    return connections


def gather(settings: Settings, connections: KafkaConnections) -> MetricSources:
    """Say where the numbers of a job are found."""
    return MetricSources(
        counters=connections.counters,
        latency=connections.latency,
        watched=connections.watched,
        info={"version": _version(), "model": settings.model_info.version, "input_topic": settings.input_topic},
        weights=connections.weights,
        lags=Lag(settings.client(), connections.watched.positions),
        writers=connections.writers,
        skipped=connections.reader.skipped,
        state=None if settings.recovery is None else settings.recovery / "state",
    )


def _version() -> str:
    try:
        return version("freshrank")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"


@contextmanager
def serve_metrics(settings: Settings, connections: KafkaConnections) -> Iterator[None]:
    """Serve `/metrics` and `/healthz` while a job runs, if the settings name a port."""
    registry = registry_of(gather(settings, connections))
    host, port = settings.metrics_host, settings.metrics_port
    with served(host, port, registry, connections.watched, settings.stalled_seconds) as where:
        if where is not None:
            logger.info("serving %s/metrics and %s/healthz", where, where)
        yield
