"""Run: Kafka in, Kafka out, until stopped."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from flows.dead_letters import to_kafka
from flows.decode import JsonDecoder
from flows.engine import recovery_in, run_flow
from flows.kafka_admin import create_topic, probe
from flows.kafka_sink import KafkaSink
from flows.kafka_source import KafkaSource
from flows.recommend import Ends, build_flow
from flows.settings import Settings
from flows.tally import Tally

logger = logging.getLogger(__name__)

SAY_SECONDS = 30.0
"""Time between two lines that say how far the job is."""


def kafka_ends(settings: Settings, stop: threading.Event | None = None, stop_at_end: bool = False) -> Ends:
    """Connect a flow to Kafka topics.

    Args:
        settings: The brokers, topics and group.
        stop: Ends the flow when it is set.
        stop_at_end: End where the topic ended when the flow began.
    """
    client = settings.client()
    reading = {**client, "group.id": settings.group, "auto.offset.reset": settings.start}
    source = KafkaSource(reading, settings.input_topic, batch_size=settings.batch, stop=stop, stop_at_end=stop_at_end)
    return Ends(
        source=source,
        decoder=JsonDecoder(),
        lists=KafkaSink(client, settings.output_topic),
        dead_letters=KafkaSink(client, settings.dead_letter_topic),
        dead_letter=to_kafka,
    )


def find_faults(settings: Settings) -> list[str]:
    """Say what keeps the job from running, or that nothing does; topics that it may create are no fault."""
    topics = {"input_topic": settings.input_topic}
    if not settings.create_topics:
        topics |= {"output_topic": settings.output_topic, "dead_letter_topic": settings.dead_letter_topic}
    return probe(settings.client(), topics)


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
        RecoveryError: The recovery directory cannot be used.
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
        with _told_regularly(ends.tally):
            run_flow(flow, recovery, settings.epoch_seconds)
        ends.source.close()  # type: ignore[attr-defined]  # a KafkaSource, see kafka_ends
        logger.info("stopped: %s", ends.tally.sentence())
    return ends.tally


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set. A second signal ends the process at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
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
def _told_regularly(tally: Tally) -> Iterator[None]:
    done = threading.Event()

    def tell() -> None:
        last, then = tally.read, time.monotonic()
        while not done.wait(SAY_SECONDS):
            read, now = tally.read, time.monotonic()
            logger.info("%.0f events/s; so far %s", (read - last) / (now - then), tally.sentence())
            last, then = read, now

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
