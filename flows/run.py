"""Run: Kafka in, Kafka out, until stopped."""

import atexit
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Any

from flows.dead_letters import of_large_list, shorten, to_kafka
from flows.decode import JsonDecoder
from flows.engine import recovery_in, run_flow
from flows.health import served
from flows.kafka_admin import create_topic, probe
from flows.kafka_held import last_answered
from flows.kafka_lag import Lag
from flows.kafka_patience import Patience
from flows.kafka_rights import Need, Right, missing_rights
from flows.kafka_sink import Instead, KafkaSink
from flows.kafka_source import KafkaSource
from flows.kafka_trouble import secrets_in
from flows.logs import set_up_logging
from flows.metrics import Gathered, registry_of
from flows.recommend import Ends, build_flow
from flows.settings import Settings
from flows.store import Store
from flows.tally import Tally
from flows.watch import Watched

logger = logging.getLogger(__name__)

SAY_SECONDS = 30.0
"""Time between two lines that say how far the job is."""


@dataclass(kw_only=True)
class KafkaEnds(Ends):
    """The ends of a flow between Kafka topics, by what they are."""

    reader: KafkaSource
    watched: Watched
    writers: dict[str, KafkaSink]


def kafka_ends(settings: Settings, stop: threading.Event | None = None, stop_at_end: bool = False) -> KafkaEnds:
    """Connect a flow to Kafka topics.

    Args:
        settings: The brokers, topics and group.
        stop: Ends the flow when it is set.
        stop_at_end: End where the topic ended when the flow began.
    """
    client = settings.client()
    reading = {**client, "group.id": settings.group, "auto.offset.reset": settings.start}
    patience = Patience(settings.broker_patience, stop)
    reader = KafkaSource(
        reading,
        settings.input_topic,
        batch_size=settings.batch,
        stop=stop,
        stop_at_end=stop_at_end,
        patience=patience,
        lost=settings.lost_offsets,
    )
    tally = Tally()
    watched = Watched(reader, tally, settings.max_reject_rate)
    rejects = KafkaSink(client, settings.dead_letter_topic, patience=patience, shorten=shorten)
    instead = Instead(rejects, of_large_list) if settings.too_large == "dead-letter" else None
    lists = KafkaSink(client, settings.output_topic, patience=patience, instead=instead)
    return KafkaEnds(
        source=watched,
        decoder=JsonDecoder(),
        lists=lists,
        dead_letters=rejects,
        dead_letter=to_kafka,
        tally=tally,
        reader=reader,
        watched=watched,
        writers={"lists": lists, "dead_letters": rejects},
    )


def ends_for_the_engine(settings: Settings) -> KafkaEnds:
    """Connect a flow that the engine's own command runs: metrics and health are served as long as the process lives.

    Args:
        settings: Everything. The engine has the recovery directory's snapshots, the steps keep their state beside them.

    Raises:
        PortError: Metrics cannot be served where the settings say.
    """
    set_up_logging(settings.log_format, secrets_in(settings.client()))
    ends = kafka_ends(settings)
    if (directory := settings.recovery) is not None:
        ends.store = lambda step: Store(directory / "state" / step)
    serving = ExitStack()
    serving.enter_context(_served(settings, ends))
    atexit.register(serving.close)
    return ends


def gather(settings: Settings, ends: KafkaEnds) -> Gathered:
    """Say where the numbers of a job are found."""
    return Gathered(
        tally=ends.tally,
        latency=ends.latency,
        watched=ends.watched,
        info={"version": _version(), "model": settings.model_version, "input_topic": settings.input_topic},
        lags=Lag(settings.client(), settings.input_topic, ends.watched.positions),
        writers=ends.writers,
        skipped=ends.reader.skipped,
        state=None if settings.recovery is None else settings.recovery / "state",
    )


def _version() -> str:
    try:
        return version("freshrank")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"


def find_faults(settings: Settings) -> list[str]:
    """Say what keeps the job from running; topics that it may create are no fault. Nothing where all is well."""
    topics = {"input_topic": settings.input_topic}
    if not settings.create_topics:
        topics |= {"output_topic": settings.output_topic, "dead_letter_topic": settings.dead_letter_topic}
    client = settings.client()
    return probe(client, topics) or missing_rights(client, *_needs(settings))


def _needs(settings: Settings) -> tuple[list[Need], Need]:
    topics = [
        Need("input_topic", settings.input_topic, Right.READ),
        Need("output_topic", settings.output_topic, Right.WRITE),
        Need("dead_letter_topic", settings.dead_letter_topic, Right.WRITE),
    ]
    return topics, Need("group", settings.group, Right.READ)


def make_topics(settings: Settings) -> list[str]:
    """Create the output topics where they are missing and may be created; return warnings about those there are."""
    if not settings.create_topics:
        return []
    client, size = settings.client(), {"partitions": settings.partitions, "replication": settings.replication}
    warnings = [
        create_topic(client, settings.output_topic, compacted=True, **size),
        create_topic(client, settings.dead_letter_topic, compacted=False, **size),
    ]
    return [warning for warning in warnings if warning]


def run(settings: Settings, stop_at_end: bool = False) -> Tally:
    """Run the job until a signal stops it, and return what it did.

    Args:
        settings: Everything.
        stop_at_end: End where the input topic ended when the job began.

    Raises:
        KafkaTrouble: What it needs of Kafka is not there.
        PortError: Metrics cannot be served where the settings say.
        RecoveryError: The recovery directory cannot be used.
        TooManyRejectsError: More records are rejected than the settings allow.
    """
    for warning in make_topics(settings):
        logger.warning(warning)
    job = {
        "model": settings.model,
        "repeats": settings.repeats,
        "input": settings.input_topic,
    }
    with stopped_by_signals() as stop, recovery_in(settings.recovery, job) as recovery:
        ends = kafka_ends(settings, stop, stop_at_end)
        if recovery is not None:
            ends.store = recovery.store
        else:
            logger.warning("no `recovery` directory is set: what is learned is lost when the job stops")
        flow = build_flow(settings, ends)
        logger.info(
            "%s: reading %s, writing %s at %s",
            settings.model,
            settings.input_topic,
            settings.output_topic,
            settings.bootstrap,
        )
        ends.tally.held = last_answered(settings.client(), settings.output_topic)
        with _served(settings, ends), _told_regularly(ends.tally):
            run_flow(flow, recovery, settings.epoch_seconds)
        ends.reader.close()
        logger.info("stopped: %s", ends.tally.sentence(), extra=ends.tally.counts())
    return ends.tally


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set. A second signal ends the process at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        logger.info("%s: finishing; once more to end at once", signal.Signals(number).name)
        stop.set()

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _served(settings: Settings, ends: KafkaEnds) -> Iterator[None]:
    registry = registry_of(gather(settings, ends))
    host, port = settings.metrics_host, settings.metrics_port
    with served(host, port, registry, ends.watched, settings.stalled_seconds) as where:
        if where is not None:
            logger.info("serving %s/metrics and %s/healthz", where, where)
        yield


@contextmanager
def _told_regularly(tally: Tally) -> Iterator[None]:
    done = threading.Event()

    def tell() -> None:
        last, then = tally.read, time.monotonic()
        while not done.wait(SAY_SECONDS):
            read, now = tally.read, time.monotonic()
            rate = (read - last) / (now - then)
            counts = {"events_per_second": round(rate, 1), **tally.counts()}
            logger.info("%.0f events/s; so far %s", rate, tally.sentence(), extra=counts)
            last, then = read, now

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
