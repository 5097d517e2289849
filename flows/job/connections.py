"""Connects the pipeline to Kafka: source, sinks, counters and metrics."""

import atexit
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version

from flows.errors import UsageError
from flows.formats.dead_letters import of_large_list, shorten, to_kafka
from flows.job.connector import Connector, Findings, JobConnections, connections_of, load_connector
from flows.job.decoder import decoder_of
from flows.job.past_plan import load_plan
from flows.job.preflight import inspect_job, make_topics, require_distinct_topics
from flows.job.shard_metrics import ShardCollector
from flows.job.sharding import create_delta_topic, link_of, require_shareable, share
from flows.kafka.errors import secrets_in
from flows.kafka.lag import Lag
from flows.kafka.outage import OutagePolicy
from flows.kafka.output_positions import latest_source_positions
from flows.kafka.position import Place
from flows.kafka.share import Share
from flows.kafka.sink import KafkaSink, OversizeFallback
from flows.kafka.source import KafkaSource
from flows.kafka.start_offsets import BeginFrom
from flows.monitoring.http_server import serve_http
from flows.monitoring.logging_setup import set_up_logging
from flows.monitoring.metrics import MetricSources, registry_of
from flows.settings import Settings
from flows.state.store import Store

logger = logging.getLogger(__name__)


class KafkaConnector:
    """Kafka topics at both ends of a job.

    Args:
        settings: The brokers, topics and group.
        begin_from: Where to begin, if the operator has chosen.

    Attributes:
        begin_at: Offsets behind a backfill, for partitions without a recovery state.
    """

    def __init__(self, settings: Settings, begin_from: BeginFrom | None = None) -> None:
        self.settings = settings
        self.begin_from = begin_from
        self.begin_at: Mapping[Place, int] = {}
        self.input_name = settings.topics.main or settings.topics.text
        self.place = settings.bootstrap

    def inspect(self) -> Findings:
        """Look at settings, brokers, topics and rights."""
        return inspect_job(self.settings)

    def prepare(self) -> None:
        """Create the output topics that are missing, if that is allowed."""
        require_distinct_topics(self.settings)
        require_shareable(self.settings)
        make_topics(self.settings)
        create_delta_topic(self.settings)

    def connect(self, stop: threading.Event | None = None, stop_at_end: bool = False) -> JobConnections:
        """Connect a flow to the topics."""
        return kafka_connections(self.settings, stop, stop_at_end, self.begin_from, self.begin_at)


def connector_of(settings: Settings, begin_from: BeginFrom | None = None) -> Connector:
    """Return the connector that the settings name.

    Args:
        settings: Those of the job.
        begin_from: Where to begin in topics of Kafka, if the operator has chosen.

    Raises:
        UsageError: It cannot be imported, or cannot begin where it is told to.
    """
    if settings.connector == "kafka":
        return KafkaConnector(settings, begin_from)
    if begin_from is not None:
        raise UsageError(f"--from-{begin_from}: only topics of Kafka have it. Leave it out, or set connector to kafka.")
    return load_connector(settings)


def kafka_connections(
    settings: Settings,
    stop: threading.Event | None = None,
    stop_at_end: bool = False,
    begin_from: BeginFrom | None = None,
    begin_at: Mapping[Place, int] | None = None,
) -> JobConnections:
    """Connect a flow to Kafka topics.

    Args:
        settings: The brokers, topics and group.
        stop: Ends the flow when it is set.
        stop_at_end: End where the topic ended when the flow began.
        begin_from: Where to begin, if the operator has chosen.
        begin_at: Offsets behind a backfill, for partitions without a recovery state.
    """
    client = settings.client()
    reading = {**client, "group.id": settings.group, "auto.offset.reset": settings.start}
    patience, shard = OutagePolicy(settings.broker_patience, stop), settings.own_shard
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
        begin_at=begin_at,
        share=None if shard is None else Share(shard.owns),
    )
    rejects = KafkaSink(client, settings.dead_letter_topic, patience=patience, shorten=shorten)
    instead = OversizeFallback(rejects, of_large_list) if settings.too_large == "dead-letter" else None
    lists = KafkaSink(client, settings.output_topic, patience=patience, instead=instead)
    item_sinks = {
        name.removesuffix("_topic"): KafkaSink(client, topic, patience=patience)
        for name, topic in settings.item_topics.items()
    }
    connections = connections_of(
        settings,
        reader,
        lists,
        rejects,
        to_kafka,
        decoder_of(settings),
        writers={"lists": lists, "dead_letters": rejects, **item_sinks},
        skipped=reader.skipped,
        answered=lambda: latest_source_positions(client, settings.output_topic),
        close=reader.close,
        **item_sinks,
    )
    connections.lags = Lag(client, connections.watched.positions)
    if shard is not None:
        share(connections, link_of(settings, shard, patience), lambda: reader.has_ended, stop)
    return connections


def connections_for_engine(settings: Settings) -> JobConnections:
    """Connect a flow that the engine's own command runs: metrics and health are served as long as the process lives.

    Args:
        settings: Everything. The engine has the recovery directory's snapshots, the steps keep their state beside them.

    Raises:
        PortError: Metrics cannot be served where the settings say.
        UsageError: A topic is both read and written, or a backfill is not finished.
    """
    set_up_logging(settings.log_format, secrets_in(settings.client()))
    if settings.shard is not None:
        raise UsageError("setting shard: expected `freshrank run`, which runs shards. The engine's command cannot.")
    connector = connector_of(settings)
    if isinstance(connector, KafkaConnector):
        require_distinct_topics(settings)
    if settings.recovery is not None and (plan := load_plan(settings.recovery)) is not None:
        if not plan.is_done:
            raise UsageError(
                f"{settings.recovery}: expected a job that is live; a backfill is not finished there. Start it with "
                "freshrank run and the same options first."
            )
        if isinstance(connector, KafkaConnector):
            connector.begin_at = plan.begin_at
    connections = connector.connect(None, False)
    if (directory := settings.recovery) is not None:
        connections.store = lambda step: Store(directory / "state" / step)
    serving = ExitStack()
    serving.enter_context(serve_metrics(settings, connections))
    atexit.register(serving.close)
    return connections


def gather(settings: Settings, connections: JobConnections) -> MetricSources:
    """Say where the numbers of a job are found."""
    link = connections.link
    return MetricSources(
        counters=connections.counters,
        latency=connections.latency,
        watched=connections.watched,
        info={"version": _version(), "model": settings.model_info.version, "input_topic": settings.input_topic},
        weights=connections.weights,
        attribution=connections.attribution if settings.attribution_window else None,
        challenge=None if settings.challenger is None else connections.challenge,
        lags=connections.lags,
        writers=connections.writers,
        skipped=connections.skipped,
        state=None if settings.recovery is None else settings.recovery / "state",
        labels={} if link is None else {"shard": str(link.shard.index)},
        others=[*connections.collectors, *([] if link is None else [ShardCollector(link)])],
    )


def _version() -> str:
    try:
        return version("freshrank")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"


@contextmanager
def serve_metrics(settings: Settings, connections: JobConnections) -> Iterator[None]:
    """Serve `/metrics` and `/healthz` while a job runs, if the settings name a port."""
    registry = registry_of(gather(settings, connections))
    host, port = settings.metrics_host, settings.metrics_port
    with serve_http(host, port, registry, connections.watched, settings.stalled_seconds) as where:
        if where is not None:
            logger.info("serving %s/metrics and %s/healthz", where, where)
        yield
